"""One SSE connection as a client sees it (protocol §1): httpx and httpx-sse, with the time of each step."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import anyio.lowlevel
import httpx
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from ..types import Position, Transport
from .failures import CONNECT_SECONDS, Failed, Head, Why, explaining, status_failure
from .nouns import (
    Heard,
    Link,
    Moment,
    Timing,
    What,
    Wish,
    as_int,
    as_position,
    as_verdict,
    json_object,
    tls_context,
)
from .target import Target


@asynccontextmanager
async def open_sse(target: Target, wish: Wish) -> AsyncIterator[Link]:
    """Connect and read the head; raises `Failed` for anything but a 200 event stream."""
    await warm_up()
    async with AsyncExitStack() as stack:
        with explaining(target.sse, wish.timeout):
            client = await stack.enter_async_context(_client(target, wish))
            timing = Timing()
            request = aconnect_sse(
                client, "GET", target.sse, headers=_headers(wish), extensions=_trace(timing)
            )
            source = await stack.enter_async_context(request)
        timing.mark(Moment.HEAD)
        response = source.response
        head = Head(response.status_code, response.http_version, response.headers)
        _check(target, head)
        response.stream = _Watched(response.stream, lambda: timing.mark(Moment.FIRST_BYTE))
        yield Link(Transport.SSE, timing, head, _listen(source, target, wish, timing))


async def warm_up() -> None:
    """Load what httpx and anyio only load at their first use: it is not the server's time."""
    await anyio.lowlevel.checkpoint()
    _load()


@functools.cache
def _load() -> None:
    httpx.AsyncHTTPTransport(verify=tls_context())


def _client(target: Target, wish: Wish) -> httpx.AsyncClient:
    # One client a connection: a shared pool walks over all its connections for each new one.
    timeout = httpx.Timeout(wish.timeout, connect=min(wish.timeout, CONNECT_SECONDS))
    return httpx.AsyncClient(verify=tls_context(), timeout=timeout, trust_env=not target.loopback)


def _headers(wish: Wish) -> dict[str, str]:
    headers = {"accept-encoding": "gzip, deflate" if wish.compression else "identity"}
    if wish.origin is not None:
        headers["origin"] = wish.origin
    if wish.position is not None:
        headers["last-event-id"] = str(wish.position)
    return headers


def _trace(timing: Timing) -> dict[str, Any]:
    async def trace(name: str, _info: object) -> None:
        # TLS follows TCP, and through a proxy there are two of each: the last one counts.
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            timing.marks.pop(Moment.CONNECT, None)
            timing.mark(Moment.CONNECT)

    return {"trace": trace}


class _Watched(httpx.AsyncByteStream):
    """The body of a response, telling when something of it comes off the wire."""

    def __init__(self, stream: object, came: Callable[[], None]) -> None:
        assert isinstance(stream, httpx.AsyncByteStream)
        self._stream = stream
        self._came = came

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._came()
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _check(target: Target, head: Head) -> None:
    if head.status != 200:
        raise status_failure(Transport.SSE, target.sse, head)
    kind = head.headers.get("content-type", "no content type")
    if kind.partition(";")[0].strip().lower() != "text/event-stream":
        hint = "check the path (usually /dashboard/stream) and what a proxy does with it"
        raise Failed(
            Why.CONTENT_TYPE, f"{target.sse} sent {kind} instead of text/event-stream: {hint}.", head
        )


async def _listen(
    source: EventSource, target: Target, wish: Wish, timing: Timing
) -> AsyncGenerator[Heard, None]:
    with explaining(target.sse, wish.timeout):
        async for event in source.aiter_sse():
            heard = read_event(event)
            timing.hear(heard.what)
            yield heard


def read_event(event: ServerSentEvent) -> Heard:
    """One event as what it means; what we do not know is OTHER."""
    position = Position.parse(event.id)
    retry = None if event.retry is None else event.retry / 1000
    data = json_object(event.data)
    match event.event:
        case "" | "message":
            # httpx-sse also hands out blocks without data (a lone `retry:`), which browsers do not dispatch.
            return Heard(What.UPDATE if event.data else What.OTHER, event.data, position, retry=retry)
        case "verdict":
            return _verdict(event.data, data, as_position(data.get("position")) or position, retry)
        case "heartbeat":
            return Heard(What.HEARTBEAT, event.data, position, retry=retry, stamp=_unix(data.get("time")))
        case "goodbye":
            told = as_int(data.get("retry_ms"))
            return Heard(What.GOODBYE, event.data, retry=retry if told is None else told / 1000)
        case name:
            return Heard(What.OTHER, f"{name} {event.data}", retry=retry)


def _verdict(text: str, data: dict[str, Any], position: Position | None, retry: float | None) -> Heard:
    return Heard(
        What.VERDICT,
        text,
        position,
        verdict=as_verdict(data.get("verdict")),
        missed=as_int(data.get("missed")),
        replaying=as_int(data.get("replaying")) or 0,
        retry=retry,
    )


def _unix(time: object) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp() if isinstance(time, str) else None
    except ValueError:
        return None
