"""One Action Cable connection of a client (docs/protocol.md §2), over websockets, with the time of each step.

Offers the extended protocol first, since only its frames carry positions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    ProxyError,
)
from websockets.frames import CloseCode
from websockets.http11 import Response
from websockets.typing import Origin, Subprotocol

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
    raw_members,
    verdict_event,
)
from .environment import Proxy, find_proxy, tls_context, trusting_context
from .failures import (
    ConnectionFailed,
    FailureReason,
    bad_url_failure,
    broken_failure,
    dropped_failure,
    proxy_refusal_failure,
    shorten,
    silence_failure,
    status_failure,
    too_large_failure,
    translate_errors,
)
from .target import Target

EXT = "actioncable-v1-ext-json"
BASE = "actioncable-v1-json"
# What websockets closes with when the other side broke the protocol, or sent more than `max_size`.
OWN_FAULTS = (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG)


class _TimedConnection(ClientConnection):
    """Records when TCP and TLS were established: `connect` returns only after the WebSocket handshake."""

    connected_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected_at = time.monotonic()
        super().connection_made(transport)


class _Connect(connect):
    """Follows no redirect, as a browser's WebSocket."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@asynccontextmanager
async def open_cable(target: Target, options: ConnectOptions) -> AsyncIterator[OpenConnection]:
    """Connect and complete the WebSocket handshake; the subscription follows when the welcome arrives.

    Raises `ConnectionFailed`.
    """
    proxy = find_proxy(target, TransportName.CABLE)
    async with AsyncExitStack() as stack:
        # The yield stays outside of _translate_errors: an OSError of the caller is no failure of this connection.
        with _translate_errors(target, options, proxy):
            connecting = _prepare_connect(target, options, proxy)
            if proxy is not None:
                asyncio.get_running_loop().set_exception_handler(_report_but_second_end)
            timing = Timing()
            ws = await stack.enter_async_context(connecting)
        assert isinstance(ws, _TimedConnection) and ws.response is not None
        timing.mark_at(Step.CONNECT, ws.connected_at)
        timing.mark(Step.HEAD)
        head = _response_head(ws.response)
        head.subprotocol = ws.subprotocol
        head.extensions = tuple(extension.name for extension in ws.protocol.extensions)
        yield OpenConnection(TransportName.CABLE, timing, head, _events(ws, target, options, timing))


def _report_but_second_end(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what a callback raised, but not what websockets 17 raises after a proxy hung up without an answer.

    It tells its reader of the end twice. The failure itself is reported by then.
    """
    if not isinstance(context.get("exception"), EOFError):
        loop.default_exception_handler(context)


def _prepare_connect(target: Target, options: ConnectOptions, proxy: Proxy | None) -> connect:
    tls: dict[str, Any] = {"ssl": tls_context(target.cable)} if target.cable.startswith("wss:") else {}
    if proxy is not None and proxy.url.startswith("https:"):
        tls["proxy_ssl"] = trusting_context()
    return _Connect(
        target.cable,
        subprotocols=[Subprotocol(EXT), Subprotocol(BASE)],
        additional_headers=target.headers,
        origin=None if options.origin is None else Origin(options.origin),
        compression="deflate" if options.compression else None,
        open_timeout=min(options.timeout, CONNECT_SECONDS),
        close_timeout=1,
        ping_interval=None,  # Action Cable has pings of its own, and `timeout` watches them
        max_size=MAX_EVENT_BYTES,
        proxy=None if proxy is None else proxy.url,
        create_connection=_TimedConnection,
        **tls,
    )


def _response_head(response: Response) -> ResponseHead:
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    return ResponseHead(response.status_code, "HTTP/1.1", headers)


@contextmanager
def _translate_errors(target: Target, options: ConnectOptions, proxy: Proxy | None = None) -> Iterator[None]:
    """Raise `ConnectionFailed` for what websockets raises inside, and for all that failures.py translates."""
    url, shown_proxy = target.url(TransportName.CABLE), None if proxy is None else str(proxy)
    try:
        with translate_errors(url, options.timeout, shown_proxy):
            yield
    except ProxyError as error:
        status = error.response.status_code if isinstance(error, InvalidProxyStatus) else None
        raise proxy_refusal_failure(url, shown_proxy or "the proxy", status, _detail(error)) from None
    except InvalidStatus as error:
        raise status_failure(TransportName.CABLE, url, _response_head(error.response)) from None
    except NegotiationError as error:
        hint = f"something on the way changes the header, offered were {EXT} and {BASE}"
        message = f"{url} cannot be used ({_detail(error)}): {hint}."
        raise ConnectionFailed(FailureReason.SUBPROTOCOL, message) from None
    except InvalidURI as error:
        raise bad_url_failure(url, error.msg) from None
    except (InvalidHandshake, EOFError) as error:
        hint = "check that this port speaks HTTP and that a proxy passes upgrades on"
        message = f"{url} did not answer as a WebSocket ({_detail(error.__cause__ or error)}): {hint}."
        raise ConnectionFailed(FailureReason.NOT_WEBSOCKET, message) from None
    except ConnectionClosed as error:
        raise _close_failure(url, error) from None


def _detail(error: BaseException) -> str:
    return shorten(str(error) or type(error).__name__)


def _close_failure(url: str, error: ConnectionClosed) -> ConnectionFailed:
    """Describe a close that is no goodbye: the server's, or our own over what it sent (RFC 6455 §7.4.1)."""
    if error.sent is None or error.rcvd_then_sent or error.sent.code not in OWN_FAULTS:
        return dropped_failure(url, str(error))
    if error.sent.code == CloseCode.MESSAGE_TOO_BIG:
        return too_large_failure(url)
    return broken_failure(url, error.sent.reason or str(error.sent))


async def _events(
    ws: ClientConnection, target: Target, options: ConnectOptions, timing: Timing
) -> AsyncGenerator[Event, None]:
    with _translate_errors(target, options):
        while True:
            frame = await _receive(ws, target, options)
            timing.mark(Step.FIRST_BYTE)
            event = read_frame(frame, target)
            timing.mark_event(event.kind)
            # The server may have closed already: the frames before its close are still to be received.
            with suppress(ConnectionClosed):
                await _reply(ws, event, target, options)
            yield event
            if event.kind is EventKind.GOODBYE:
                return


async def _receive(ws: ClientConnection, target: Target, options: ConnectOptions) -> str | bytes:
    try:
        async with asyncio.timeout(options.timeout):
            return await ws.recv()
    except TimeoutError:
        raise silence_failure(target.url(TransportName.CABLE), options.timeout) from None


async def _reply(ws: ClientConnection, event: Event, target: Target, options: ConnectOptions) -> None:
    """Subscribe after the welcome, and answer pings."""
    if event.kind is EventKind.OTHER and json_object(event.text).get("type") == "welcome":
        command = {"command": "subscribe", "identifier": target.identifier}
        if options.position is not None:
            command["last_event_id"] = str(options.position)
        await ws.send(orjson.dumps(command).decode())
    elif event.kind is EventKind.HEARTBEAT and ws.subprotocol == EXT:
        # Servers of the extended protocol may require pongs. Sending one also shows a broken upstream path.
        await ws.send('{"command":"pong"}')


def read_frame(frame: str | bytes, target: Target) -> Event:
    """Interpret one frame; unknown ones become EventKind.OTHER.

    Raises `ConnectionFailed` when the frame rejects the subscription.
    """
    text = frame if isinstance(frame, str) else frame.decode(errors="replace")
    data = json_object(text) or _deep_frame(text)
    match data.get("type"):
        case None if "message" in data and data.get("identifier") == target.identifier:
            return Event(EventKind.UPDATE, _message_text(data, text), _update_position(data))
        case "ping":
            return Event(EventKind.HEARTBEAT, text, sent_at=_seconds(data.get("message"), per_second=1))
        case "confirm_subscription":
            return verdict_event(text, data, as_position(data.get("position")))
        case "disconnect":
            return Event(
                EventKind.GOODBYE,
                text,
                retry=_retry_seconds(data.get("retry_in")),
                may_reconnect=data.get("reconnect") is not False,
            )
        case "reject_subscription":
            raise _rejected_failure(target)
    return Event(EventKind.OTHER, text)


def _deep_frame(text: str) -> dict[str, Any]:
    """Read a frame whose message is nested too deep to be parsed; an update of 1,024 levels is, in its frame."""
    members = raw_members(text)
    if "message" not in members:
        return {}
    others = ",".join(f'"{name}":{value}' for name, value in members.items() if name != "message")
    return {**json_object(f"{{{others}}}"), "message": ...}


def _message_text(data: dict[str, Any], frame: str) -> str:
    try:
        return orjson.dumps(data["message"]).decode()
    except orjson.JSONEncodeError:  # it is nested deeper than orjson writes, or was not read at all
        return raw_members(frame)["message"]


def _rejected_failure(target: Target) -> ConnectionFailed:
    stream = target.stream or "its default stream"
    hint = "check --stream against the server's STREAMS"
    message = f"{target.url(TransportName.CABLE)} rejected the subscription to {stream}: {hint}."
    return ConnectionFailed(FailureReason.REJECTED, message)


def _update_position(data: dict[str, Any]) -> Position | None:
    """Return the position of an update's frame; frames of the v1 protocol carry none."""
    epoch, offset = data.get("epoch"), as_int(data.get("offset"))
    return Position(epoch, offset) if isinstance(epoch, str) and offset is not None else None


def _retry_seconds(ms: object) -> float | None:
    seconds = _seconds(ms, per_second=1000)
    return None if seconds is None else min(seconds, MAX_RETRY_SECONDS)


def _seconds(value: object, per_second: int) -> float | None:
    return value / per_second if isinstance(value, int | float) else None
