"""Our HTTP class on transports without sockets, in virtual time: what peers say byte by byte, and what they get."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from dashboard_rt.server.handover import HttpProtocol, WebSocketProtocol
from dashboard_rt.server.limits import LIMITS, ServerLimits
from tests.handovers import get
from tests.simulation import VirtualLoop

App = Callable[[Any, Any, Any], Awaitable[None]]


class Wire(asyncio.Transport):
    """A transport without a socket. What is written is taken at once, unless the peer is `stuck`."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.writes: list[bytes] = []
        self.closed = self.aborted = self.ended = self.lost = self.stuck = False
        self.reading = True
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "written behind the end"
        self.writes.append(bytes(data))
        if self.stuck:
            self.unsent += len(data)
            if self.unsent > 65536:
                self.protocol.pause_writing()

    def taken(self, count: int) -> None:
        """The peer reads some of what waits."""
        self.unsent -= count

    @property
    def said(self) -> bytes:
        """All that was written so far."""
        return b"".join(self.writes)

    def get_write_buffer_size(self) -> int:
        return 0 if self.lost else self.unsent

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if not self.unsent:
                asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.closed = self.aborted = True
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self, exc: Exception | None = None) -> None:
        """The connection is gone."""
        self.closed = True
        if not self.lost:
            self.lost = True
            if self.protocol is not None:
                self.protocol.connection_lost(exc)


class Dialogue:
    """A server without sockets, and the peers that a test connects to it."""

    def __init__(self, app: App, limits: ServerLimits | None = None, **config: Any) -> None:
        self.refusals: Counter[str] = Counter()
        self.limits = limits or ServerLimits(count=self.count)
        options: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off", **config}
        options.setdefault("ws_per_message_deflate", False)
        options.setdefault("interface", "asgi3")
        self.config = Config(app, http=HttpProtocol, ws=WebSocketProtocol, timeout_keep_alive=95, **options)
        self.config.load()
        self.state = ServerState()

    def count(self, reason: str) -> None:
        self.refusals[reason] += 1

    def connect(self) -> Wire:
        wire = Wire()
        wire.protocol = HttpProtocol(self.config, self.state, {LIMITS: self.limits})
        wire.protocol.connection_made(wire)
        return wire

    async def say(self, wire: Wire, *segments: bytes) -> None:
        """Let a peer send these, one read each, and let the app answer. What is not read is lost."""
        for segment in segments:
            if not wire.lost:
                wire.protocol.data_received(segment)
            if wire.writes or len(segments) < 100:
                await settle()
        await settle()


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def held(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run in virtual time, which jumps to the next timer when nothing else is to be done."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the method, the path and the body as JSON; `/refuse` with 401 and the body unread."""
    body = b""
    if scope["path"] == "/refuse":
        await answer(send, {"refused": True}, 401)
        return
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await answer(send, [scope["method"], scope["path"], body.decode("latin-1")])


async def answer(send: Any, value: Any, status: int = 200) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def answers(said: bytes) -> list[tuple[int, Any]]:
    """The status and JSON of every response in these bytes."""
    return list(_answers(said))


def _answers(said: bytes) -> Iterator[tuple[int, Any]]:
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        status = int(head[9:12])
        if status == 100:
            continue
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        body, said = said[:length], said[length:]
        yield status, json.loads(body)


# ---- what peers say

UP = get("/up")
H2C = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAA")


def post(path: str, body: bytes = b"", *lines: str, version: str = "1.1") -> bytes:
    head = "\r\n".join([f"POST {path} HTTP/{version}", "host: a.example", *lines, "", ""])
    return head.encode() + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def hear(app: Any, *segments: bytes) -> tuple[Dialogue, Wire]:
    dialogue = Dialogue(app)
    wire = dialogue.connect()
    await dialogue.say(wire, *segments)
    return dialogue, wire


def statuses(wire: Wire) -> list[int]:
    return [status for status, _ in answers(wire.said)]


async def later(seconds: float) -> None:
    await asyncio.sleep(seconds)
    await settle()
