"""One SSE connection of a client (docs/protocol.md §1), over httpx and httpx-sse, with the time of each step."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, cast

import anyio.lowlevel
import httpx
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from ..types import Position
from .connection import (
    CONNECT_SECONDS,
    MAX_EVENT_BYTES,
    MAX_RETRY_SECONDS,
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
    verdict_event,
)
from .environment import Proxy, find_proxy, plain_context, tls_context, trusting_context
from .failures import (
    ConnectionFailed,
    FailureReason,
    shorten,
    status_failure,
    too_large_failure,
    translate_errors,
)
from .target import Target

READABLE_ENCODINGS = ("", "identity", "gzip", "deflate")


@asynccontextmanager
async def open_sse(target: Target, options: ConnectOptions) -> AsyncIterator[OpenConnection]:
    """Connect and read the response head.

    Raises `ConnectionFailed` for anything but a 200 with the content type text/event-stream.
    """
    await warm_up()
    proxy = find_proxy(target, TransportName.SSE)
    url = target.url(TransportName.SSE)
    async with AsyncExitStack() as stack:
        # The yield stays outside of translate_errors: an OSError of the caller is no failure of this connection.
        with translate_errors(url, options.timeout, None if proxy is None else str(proxy)):
            client = await stack.enter_async_context(http_client(target, options.timeout, proxy))
            timing = Timing()
            request = aconnect_sse(
                client,
                "GET",
                target.sse,
                headers=_headers(target, options),
                extensions=_trace_connect(timing),
            )
            source = await stack.enter_async_context(request)
        timing.mark(Step.HEAD)
        response = source.response
        head = ResponseHead(response.status_code, response.http_version, response.headers)
        _require_event_stream(url, head)
        response.stream = _WatchedStream(response.stream, lambda: timing.mark(Step.FIRST_BYTE))
        text = _EventText(response, url)
        yield OpenConnection(TransportName.SSE, timing, head, _events(text, url, options, timing))


async def warm_up() -> None:
    """Import what httpx and anyio import at their first use, so that no server's timing includes it."""
    await anyio.lowlevel.checkpoint()
    _load_http_transport()


@functools.cache
def _load_http_transport() -> None:
    httpx.AsyncHTTPTransport(verify=plain_context())


def http_client(target: Target, timeout: float, proxy: Proxy | None) -> httpx.AsyncClient:
    """Return a client for one connection, which waits for `timeout` seconds at most for each read."""
    # One client per connection: a shared pool walks over all its connections for each new one.
    limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
    tls = tls_context(target.sse)
    return httpx.AsyncClient(verify=tls, timeout=limits, trust_env=False, proxy=_http_proxy(proxy))


def _http_proxy(proxy: Proxy | None) -> httpx.Proxy | None:
    if proxy is None:
        return None
    tls = trusting_context() if proxy.url.startswith("https:") else None
    return httpx.Proxy(proxy.url, ssl_context=tls)


def _headers(target: Target, options: ConnectOptions) -> dict[str, str]:
    headers = {**target.headers, "accept-encoding": "gzip, deflate" if options.compression else "identity"}
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


class _EventText:
    """The decoded text of a response body, as far as EventSource uses a response.

    Bounds what one event may hold: EventSource itself collects a line without an end for ever.
    """

    def __init__(self, response: httpx.Response, url: str) -> None:
        self.headers = response.headers
        self._response = response
        self._url = url
        self._pending = 0  # characters since the end of an event

    async def aiter_text(self) -> AsyncIterator[str]:
        async for text in self._response.aiter_text():
            ended = max(text.rfind("\n\n"), text.rfind("\n\r\n"), text.rfind("\r\r"))
            self._pending = len(text) - ended if ended >= 0 else self._pending + len(text)
            if self._pending > MAX_EVENT_BYTES:
                raise too_large_failure(self._url)
            yield text

    def event_ended(self) -> None:
        """Begin to count anew. Ends that two chunks share between them are not seen above."""
        self._pending = 0


def _require_event_stream(url: str, head: ResponseHead) -> None:
    if head.status != 200:
        raise status_failure(TransportName.SSE, url, head)
    content_type = head.headers.get("content-type", "no content type")
    encoding = head.headers.get("content-encoding", "identity").strip().lower()
    if content_type.partition(";")[0].strip().lower() != "text/event-stream":
        hint = "check the path (usually /dashboard/stream) and what a proxy does with it"
        message = f"{url} sent {shorten(content_type)} instead of text/event-stream: {hint}."
        raise ConnectionFailed(FailureReason.CONTENT_TYPE, message, head)
    if encoding not in READABLE_ENCODINGS:
        hint = "leave text/event-stream out of what the proxy compresses"
        message = f"{url} is compressed ({shorten(encoding)}), which was not asked for: {hint}."
        raise ConnectionFailed(FailureReason.CONTENT_TYPE, message, head)


async def _events(
    text: _EventText, url: str, options: ConnectOptions, timing: Timing
) -> AsyncGenerator[Event, None]:
    source = EventSource(cast(httpx.Response, text))
    with translate_errors(url, options.timeout):
        async for raw_event in source.aiter_sse():
            text.event_ended()
            event = read_event(raw_event)
            timing.mark_event(event.kind)
            yield event


def read_event(raw: ServerSentEvent) -> Event:
    """Interpret one event of the stream; unknown ones become EventKind.OTHER."""
    position = Position.parse(raw.id)
    retry = _retry_seconds(raw.retry)
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
            asked = _retry_seconds(as_int(data.get("retry_ms")))
            return Event(EventKind.GOODBYE, raw.data, retry=retry if asked is None else asked)
        case name:
            return Event(EventKind.OTHER, f"{name} {raw.data}", retry=retry)


def _retry_seconds(ms: int | None) -> float | None:
    return None if ms is None else min(ms, MAX_RETRY_SECONDS * 1000) / 1000


def _unix_seconds(rfc3339: object) -> float | None:
    try:
        return datetime.fromisoformat(rfc3339).timestamp() if isinstance(rfc3339, str) else None
    except (ValueError, OverflowError):  # the latter for a local time before the first year
        return None
