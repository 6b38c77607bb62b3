"""One SSE connection of a client (docs/protocol.md §1), over httpx and httpx-sse, with the time of each step."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import anyio.lowlevel
import httpx
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from ..types import Position
from .connection import (
    CONNECT_SECONDS,
    ConnectOptions,
    Event,
    EventKind,
    OpenConnection,
    ResponseHead,
    Step,
    Timing,
    TransportName,
    as_int,
    as_position,
    json_object,
    tls_context,
    verdict_event,
)
from .failures import ConnectionFailed, FailureReason, status_failure, translate_errors
from .target import Target


@asynccontextmanager
async def open_sse(target: Target, options: ConnectOptions) -> AsyncIterator[OpenConnection]:
    """Connect and read the response head.

    Raises `ConnectionFailed` for anything but a 200 with the content type text/event-stream.
    """
    await warm_up()
    async with AsyncExitStack() as stack:
        # The yield stays outside of translate_errors: an OSError of the caller is no failure of this connection.
        with translate_errors(target.sse, options.timeout):
            client = await stack.enter_async_context(_http_client(target, options))
            timing = Timing()
            request = aconnect_sse(
                client, "GET", target.sse, headers=_headers(options), extensions=_trace_connect(timing)
            )
            source = await stack.enter_async_context(request)
        timing.mark(Step.HEAD)
        response = source.response
        head = ResponseHead(response.status_code, response.http_version, response.headers)
        _require_event_stream(target, head)
        response.stream = _WatchedStream(response.stream, lambda: timing.mark(Step.FIRST_BYTE))
        yield OpenConnection(TransportName.SSE, timing, head, _events(source, target, options, timing))


async def warm_up() -> None:
    """Import what httpx and anyio import at their first use, so that no server's timing includes it."""
    await anyio.lowlevel.checkpoint()
    _load_http_transport()


@functools.cache
def _load_http_transport() -> None:
    httpx.AsyncHTTPTransport(verify=tls_context())


def _http_client(target: Target, options: ConnectOptions) -> httpx.AsyncClient:
    # One client per connection: a shared pool walks over all its connections for each new one.
    timeout = httpx.Timeout(options.timeout, connect=min(options.timeout, CONNECT_SECONDS))
    return httpx.AsyncClient(verify=tls_context(), timeout=timeout, trust_env=not target.loopback)


def _headers(options: ConnectOptions) -> dict[str, str]:
    headers = {"accept-encoding": "gzip, deflate" if options.compression else "identity"}
    if options.origin is not None:
        headers["origin"] = options.origin
    if options.position is not None:
        headers["last-event-id"] = str(options.position)
    return headers


def _trace_connect(timing: Timing) -> dict[str, Any]:
    """Return the httpcore extension that records Step.CONNECT."""

    async def trace(name: str, _info: object) -> None:
        # TLS follows TCP, and through a proxy there are two of each: the last one counts.
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            timing.mark_at(Step.CONNECT, time.monotonic())

    return {"trace": trace}


class _WatchedStream(httpx.AsyncByteStream):
    """A response body that calls `on_chunk` for each chunk from the network, before anything decodes it.

    httpx-sse shows whole events only: a compressor's or a proxy's first bytes would stay unseen.
    """

    def __init__(self, stream: object, on_chunk: Callable[[], None]) -> None:
        assert isinstance(stream, httpx.AsyncByteStream)
        self._stream = stream
        self._on_chunk = on_chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._on_chunk()
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _require_event_stream(target: Target, head: ResponseHead) -> None:
    if head.status != 200:
        raise status_failure(TransportName.SSE, target.sse, head)
    content_type = head.headers.get("content-type", "no content type")
    if content_type.partition(";")[0].strip().lower() != "text/event-stream":
        hint = "check the path (usually /dashboard/stream) and what a proxy does with it"
        message = f"{target.sse} sent {content_type} instead of text/event-stream: {hint}."
        raise ConnectionFailed(FailureReason.CONTENT_TYPE, message, head)


async def _events(
    source: EventSource, target: Target, options: ConnectOptions, timing: Timing
) -> AsyncGenerator[Event, None]:
    with translate_errors(target.sse, options.timeout):
        async for raw_event in source.aiter_sse():
            event = read_event(raw_event)
            timing.mark_event(event.kind)
            yield event


def read_event(raw: ServerSentEvent) -> Event:
    """Interpret one event of the stream; unknown ones become EventKind.OTHER."""
    position = Position.parse(raw.id)
    retry = None if raw.retry is None else raw.retry / 1000
    data = json_object(raw.data)
    match raw.event:
        case "" | "message":
            # httpx-sse also yields blocks without data (a lone `retry:`), which browsers do not dispatch.
            kind = EventKind.UPDATE if raw.data else EventKind.OTHER
            return Event(kind, raw.data, position, retry=retry)
        case "verdict":
            return verdict_event(raw.data, data, as_position(data.get("position")) or position, retry)
        case "heartbeat":
            sent_at = _unix_seconds(data.get("time"))
            return Event(EventKind.HEARTBEAT, raw.data, position, retry=retry, sent_at=sent_at)
        case "goodbye":
            retry_ms = as_int(data.get("retry_ms"))
            return Event(EventKind.GOODBYE, raw.data, retry=retry if retry_ms is None else retry_ms / 1000)
        case name:
            return Event(EventKind.OTHER, f"{name} {raw.data}", retry=retry)


def _unix_seconds(rfc3339: object) -> float | None:
    try:
        return datetime.fromisoformat(rfc3339).timestamp() if isinstance(rfc3339, str) else None
    except ValueError:
        return None
