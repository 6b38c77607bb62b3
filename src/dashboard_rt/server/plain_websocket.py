"""A WebSocket that is not handed over: uvicorn's class, with frames parsed in portions and no log of peers' faults.

One of the modules that know uvicorn's insides; handover.py says why they have to.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGIReceiveEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

from ..transports.connection import ABORT_EXTENSION
from .admission import NEVER, Admission
from .websocket import ALLOWANCE, PortionedInput, quiet_logger

without_requests = logging.getLogger("uvicorn.error.websocket")
without_requests.setLevel(
    logging.WARNING
)  # uvicorn logs a line for each handshake, also with access_log=False


class HandshakeProtocol(ServerProtocol):
    """websockets' parser of what follows a handshake, with the exception that `OpenProtocol` makes for a close."""

    def skip_handshake(self) -> None:
        """Expect frames: somebody else has parsed the handshake."""
        self.parser = Protocol.parse(self)
        next(self.parser)  # runs to where it waits for bytes

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class WebSocketProtocol(PortionedInput, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket class. Given as `ws=`, it makes HttpProtocol answer plain handshakes itself.

    What differs: frames are parsed in portions, and only when the app has taken those before and the answers to pings
    have room; nothing that a peer does is logged.
    """

    deadline = NEVER  # as Admission asks: the peer owes nothing that uvicorn's pings would not notice
    unparsed: bytearray | bytes | None = b""
    allowance = ALLOWANCE
    since = 0.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn.__class__ = HandshakeProtocol
        self.conn.logger = quiet_logger
        if not config.access_log:
            self.logger = without_requests
        self.inbound = Admission.of(server_state, app_state).inbound

    def start(self, transport: asyncio.Transport, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Answer a handshake that httptools has parsed, or refuse it with what websockets finds wrong.

        It does not go through websockets' own parser, which lets a connection wait for ever when it dislikes a head,
        and dislikes lines above 8 KiB.
        """
        self.connection_made(transport)
        transport.set_protocol(self)
        self.conn.skip_handshake()  # type: ignore[attr-defined]  # a HandshakeProtocol
        fields = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
        self.handle_connect(Request(target.decode("ascii"), fields))
        if not self.close_sent:  # the app runs in a later turn of the loop
            self.scope["extensions"][ABORT_EXTENSION] = transport.abort  # type: ignore[assignment]

    @property
    def streams(self) -> bool:
        """Whether the hub looks after it: until its close is sent."""
        return not self.close_sent and not self.transport.is_closing()

    def expire(self, now: float) -> None:
        """Do nothing: it has no deadline."""

    async def send(self, message: Any) -> None:
        """Send as uvicorn does; once uvicorn itself has answered a fault of the peer, the peer counts as gone."""
        if self.close_sent and self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent and self.initial_response is not None:
            self.handshake_complete = True  # refused; uvicorn would log that as an error of the app
        self.go_on()

    async def receive(self) -> ASGIReceiveEvent:
        """Receive as uvicorn does, which reads on once the app has taken everything; then parse what waits first.

        uvicorn says that the peer is gone as soon as the app has sent its close: here it is when the socket is.
        """
        message = await super().receive()
        if message["type"] == "websocket.disconnect" and self.close_timer is not None:
            message = await super().receive()  # `connection_lost` sends another one
        if self.unparsed:
            self.hold()
            self.go_on()
        return message

    def shutdown(self) -> None:
        """Close as uvicorn does at its end; a handshake that waits for its answer gets 503, not uvicorn's 500."""
        if self.transport.is_closing():
            return  # uvloop raises when a closed transport is written to
        if self.handshake_complete or self.close_sent or self.initial_response is not None:
            super().shutdown()
            return
        self.stop_keepalive()
        response = self.conn.reject(HTTPStatus.SERVICE_UNAVAILABLE, "The server is restarting: try again.\n")
        response.headers["retry-after"] = "1"
        self.conn.send_response(response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()
        self.close_sent = self.handshake_complete = True  # the app's own answer comes too late

    def send_receive_event_to_app(self) -> None:
        """Pass a message on as uvicorn does, but log no traceback for a text that is not UTF-8: the peer's fault."""
        if self.close_sent or self.curr_msg_data_type != "text" or _is_utf8(self.frames):
            super().send_receive_event_to_app()
        else:
            self.conn.fail(CloseCode.INVALID_DATA, "a text message must be UTF-8")
            self.handle_parser_exception()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop_input()
        super().connection_lost(exc)

    # ---- PortionedInput

    def data_received(self, data: bytes) -> None:
        self.take(data)

    def may_parse(self) -> bool:
        """Return whether a handshake is still coming, or the app waits for the next frames and pongs have room."""
        if not self.handshake_complete:
            return not self.handshake_initiated
        return self.writable.is_set() and (self.close_sent or self.queue.empty())

    def parse(self, portion: bytes) -> int:
        self.conn.receive_data(portion)
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()
            return 0
        frames = len(self.conn.events)
        self.handle_events()
        return frames

    def hold(self) -> None:
        self.read_paused = True
        self.transport.pause_reading()

    def release(self) -> None:
        if not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def refuse(self) -> None:
        self.conn.fail(CloseCode.POLICY_VIOLATION, "too many frames")
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Close as uvicorn does, and parse nothing more."""
        self.drop_input()
        super().handle_parser_exception()


def _is_utf8(parts: list[bytes]) -> bool:
    try:
        b"".join(parts).decode()
    except UnicodeDecodeError:
        return False
    return True
