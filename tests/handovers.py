"""uvicorn's protocols with ours in front on a real uvloop and real sockets, without a process of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from starlette.middleware.exceptions import ExceptionMiddleware
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from dashboard_rt.http.responses import exception_handlers
from dashboard_rt.hub.connections import Connections
from dashboard_rt.server.handover import HttpProtocol, WebSocketProtocol
from dashboard_rt.server.limits import LIMITS, ServerLimits
from dashboard_rt.server.listeners import SEND_BUFFER
from dashboard_rt.settings import Settings
from dashboard_rt.transports.cable.endpoint import CableEndpoint
from dashboard_rt.transports.sse import SseEndpoint
from dashboard_rt.types import Kind
from tests.patience import HANG_LIMIT
from tests.simulation import FakeLog, Process

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
App = Callable[[Any, Any, Any], Awaitable[None]]


class World:
    """The live side of a process, and an app with its two endpoints and whatever a test adds."""

    def __init__(self, limits: ServerLimits | None = None) -> None:
        self.app_state = {LIMITS: limits} if limits is not None else {}
        self.settings = Settings.read({"STREAMS": "dashboard_updates:state,events:log", "SEND_TIMEOUT": "10"})
        self.log = FakeLog({"dashboard_updates": Kind.STATE, "events": Kind.LOG})
        self.process = Process(self.log, self.settings)
        self.connections: Connections = self.process.connections
        telemetry = self.process.telemetry
        self.routes: dict[str, App] = {
            "/dashboard/stream": SseEndpoint(self.connections, self.settings, telemetry, None),
            "/cable": CableEndpoint(self.connections, self.settings, telemetry, None),
        }
        self._handled = ExceptionMiddleware(self._dispatch, handlers=dict(exception_handlers))
        self.scopes: list[Any] = []
        self.state = ServerState()
        self.faults: list[Any] = []
        self.peers: list[Peer] = []
        self.port = 0

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await self._handled(scope, receive, send)

    async def _dispatch(self, scope: Any, receive: Any, send: Any) -> None:
        await self.routes.get(scope["path"], not_found)(scope, receive, send)

    def publish(self, stream: str, count: int) -> None:
        self.process.follower.on_notification(self.log.append(stream, count))

    async def connect(self) -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.peers.append(peer)
        return peer

    async def upgrade(self, early: bytes = b"") -> Peer:
        """A connected cable client; its welcome is still to come."""
        peer = await self.connect()
        peer.say(handshake("/cable") + early)
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
        return peer


async def not_found(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"none"})


def get(path: str, version: str = "1.1", *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "host: a.example", *lines, "", ""]).encode()


def handshake(path: str, *lines: str, key: str = KEY, version: str = "13") -> bytes:
    about = ["upgrade: websocket", "connection: Upgrade", f"sec-websocket-key: {key}"]
    return get(path, "1.1", *about, f"sec-websocket-version: {version}", *lines)


def frame(data: bytes | str, opcode: Opcode = Opcode.TEXT, fin: bool = True) -> bytes:
    """As a client sends it."""
    return Frame(opcode, data.encode() if isinstance(data, str) else data, fin).serialize(mask=True)


class Peer:
    """The far end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._parser = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self._frames: list[Frame] = []

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def until(self, end: bytes) -> bytes:
        return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        return await self.reader.read()

    async def frame(self) -> Frame:
        while not self._frames:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self._parser.receive_data(data)
            self._frames += self._parser.events_received()  # type: ignore[arg-type]
        return self._frames.pop(0)

    async def text(self) -> str:
        got = await self.frame()
        assert got.opcode is Opcode.TEXT, got
        return bytes(got.data).decode()

    async def close_code(self) -> int:
        while (got := await self.frame()).opcode is not Opcode.CLOSE:
            pass
        return int.from_bytes(got.data[:2])

    def leave(self) -> None:
        self._parser.parser.close()  # it refers back to its object
        self.writer.close()


@asynccontextmanager
async def served(world: World, protocol: type = HttpProtocol, **config: Any) -> AsyncIterator[World]:
    """Serve until the block ends; any error that reached the event loop fails the test."""
    options: dict[str, Any] = {
        "interface": "asgi3",
        "log_config": None,
        "lifespan": "off",
        "ws_per_message_deflate": False,
        **config,
    }
    settings = Config(world.app, http=protocol, ws=WebSocketProtocol, access_log=False, **options)
    settings.load()
    await world.process.start()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: world.faults.append(context))

    def connection() -> Any:
        return protocol(config=settings, server_state=world.state, app_state=dict(world.app_state))

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # as `serve` does
    server = await loop.create_server(connection, sock=listener)
    world.port = listener.getsockname()[1]
    try:
        yield world
    finally:
        server.close()
        for peer in world.peers:
            peer.writer.transport.abort()
        await turns()
    assert world.faults == []


def run(
    work: Callable[[World], Coroutine[Any, Any, None]],
    uvloop_: bool = True,
    limits: ServerLimits | None = None,
    **config: Any,
) -> None:
    """`work` with a served world, on uvloop or on asyncio's own loop."""

    async def limited() -> None:
        async with asyncio.timeout(HANG_LIMIT), served(World(limits), **config) as world:
            await work(world)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop_ else None) as runner:
        runner.run(limited())


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that has no event of its own; the limit is `run`'s."""
    while not condition():  # noqa: ASYNC110  what is waited for knows no event
        await asyncio.sleep(0.001)


async def turns(count: int = 20) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)
