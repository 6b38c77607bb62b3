"""One Action Cable connection as a client sees it (protocol §2): websockets, the extended protocol first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
)
from websockets.http11 import Response
from websockets.typing import Origin, Subprotocol

from ..types import Position, Transport
from .failures import CONNECT_SECONDS, Failed, Head, Why, dropped, explaining, silent, status_failure
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

EXT = "actioncable-v1-ext-json"
BASE = "actioncable-v1-json"


class _Connection(ClientConnection):
    """Knows when TCP and TLS were up, before the WebSocket handshake."""

    up_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.up_at = time.monotonic()
        super().connection_made(transport)


class _Connect(connect):
    """Follows no redirect, as browsers."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@asynccontextmanager
async def open_cable(target: Target, wish: Wish) -> AsyncIterator[Link]:
    """Connect and shake hands; raises `Failed`. It subscribes when the welcome is heard."""
    async with AsyncExitStack() as stack:
        with _explaining(target, wish):
            opening = _opening(target, wish)
            timing = Timing()
            ws = await stack.enter_async_context(opening)
        assert isinstance(ws, _Connection) and ws.response is not None
        timing.marks[Moment.CONNECT] = ws.up_at - timing.started
        timing.mark(Moment.HEAD)
        head = _head(ws.response)
        head.subprotocol = ws.subprotocol
        head.extensions = tuple(extension.name for extension in ws.protocol.extensions)
        yield Link(Transport.CABLE, timing, head, _listen(ws, target, wish, timing))


def _opening(target: Target, wish: Wish) -> connect:
    secure: dict[str, Any] = {"ssl": tls_context()} if urlsplit(target.cable).scheme == "wss" else {}
    return _Connect(
        target.cable,
        subprotocols=[Subprotocol(EXT), Subprotocol(BASE)],
        origin=None if wish.origin is None else Origin(wish.origin),
        compression="deflate" if wish.compression else None,
        open_timeout=min(wish.timeout, CONNECT_SECONDS),
        close_timeout=1,
        ping_interval=None,  # the protocol above has its own
        proxy=None if target.loopback else True,
        create_connection=_Connection,
        **secure,
    )


def _head(response: Response) -> Head:
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    return Head(response.status_code, "HTTP/1.1", headers)


@contextmanager
def _explaining(target: Target, wish: Wish) -> Iterator[None]:
    url = target.cable
    try:
        with explaining(url, wish.timeout):
            yield
    except InvalidStatus as error:
        raise status_failure(Transport.CABLE, url, _head(error.response)) from None
    except NegotiationError as error:
        hint = f"something on the way changes the header, offered were {EXT} and {BASE}"
        raise Failed(Why.SUBPROTOCOL, f"{url} cannot be used ({error}): {hint}.") from None
    except InvalidURI as error:
        raise Failed(Why.BAD_URL, f"{url} cannot be used ({error}): check it.") from None
    except (InvalidHandshake, EOFError) as error:
        hint = "check that this port speaks HTTP and that a proxy passes upgrades on"
        detail = error.__cause__ or error
        raise Failed(Why.NOT_WEBSOCKET, f"{url} did not answer as a WebSocket ({detail}): {hint}.") from None
    except ConnectionClosed as error:
        raise dropped(url, str(error)) from None


async def _listen(
    ws: ClientConnection, target: Target, wish: Wish, timing: Timing
) -> AsyncGenerator[Heard, None]:
    with _explaining(target, wish):
        while True:
            frame = await _receive(ws, target, wish)
            timing.mark(Moment.FIRST_BYTE)
            heard = read_frame(frame, target)
            timing.hear(heard.what)
            with suppress(
                ConnectionClosed
            ):  # what came before the close is still to be received, and then the close
                await _answer(ws, heard, target, wish)
            yield heard
            if heard.what is What.GOODBYE:
                return


async def _receive(ws: ClientConnection, target: Target, wish: Wish) -> str | bytes:
    try:
        async with asyncio.timeout(wish.timeout):
            return await ws.recv()
    except TimeoutError:
        raise silent(target.cable, wish.timeout) from None


async def _answer(ws: ClientConnection, heard: Heard, target: Target, wish: Wish) -> None:
    if heard.what is What.OTHER and json_object(heard.text).get("type") == "welcome":
        command = {"command": "subscribe", "identifier": target.identifier}
        if wish.position is not None:
            command["last_event_id"] = str(wish.position)
        await ws.send(orjson.dumps(command).decode())
    elif heard.what is What.HEARTBEAT and ws.subprotocol == EXT:
        # Servers of this protocol may ask for it; it also shows that the way up is open.
        await ws.send('{"command":"pong"}')


def read_frame(frame: str | bytes, target: Target) -> Heard:
    """One frame as what it means; what we do not know is OTHER. Raises `Failed` on a rejected subscription."""
    text = frame if isinstance(frame, str) else frame.decode(errors="replace")
    data = json_object(text)
    match data.get("type"):
        case None if "message" in data and data.get("identifier") == target.identifier:
            return Heard(What.UPDATE, orjson.dumps(data["message"]).decode(), _place(data))
        case "ping":
            return Heard(What.HEARTBEAT, text, stamp=_seconds(data.get("message"), 1))
        case "confirm_subscription":
            return _confirmed(text, data)
        case "disconnect":
            again = data.get("reconnect") is not False
            return Heard(What.GOODBYE, text, retry=_seconds(data.get("retry_in"), 1000), again=again)
        case "reject_subscription":
            raise _rejected(target)
    return Heard(What.OTHER, text)


def _rejected(target: Target) -> Failed:
    stream = target.stream or "its default stream"
    hint = "check --stream against the server's STREAMS"
    return Failed(Why.REJECTED, f"{target.cable} rejected the subscription to {stream}: {hint}.")


def _confirmed(text: str, data: dict[str, Any]) -> Heard:
    return Heard(
        What.VERDICT,
        text,
        as_position(data.get("position")),
        verdict=as_verdict(data.get("verdict")),
        missed=as_int(data.get("missed")),
        replaying=as_int(data.get("replaying")) or 0,
    )


def _place(data: dict[str, Any]) -> Position | None:
    epoch, offset = data.get("epoch"), as_int(data.get("offset"))
    return Position(epoch, offset) if isinstance(epoch, str) and offset is not None else None


def _seconds(value: object, in_a_second: int) -> float | None:
    return value / in_a_second if isinstance(value, int | float) else None
