"""A server for tests of the load client, in the test's own loop: it does what a script says, per connection."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import orjson
from websockets.frames import Frame
from websockets.protocol import Protocol, Side, State

from bench.load import cable, payload
from bench.load.client import LoadClient
from bench.load.wire import EXTENDED, Wire

IDENTIFIER = '{"channel":"x"}'
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def update(seq: int) -> bytes:
    now = time.monotonic_ns()
    return payload.stamped(payload.update(seq, now), now)


class Talk:
    """One connection, behind its request head."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.headers: dict[str, str] = {}

    async def request(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        rows = (row.partition(": ") for row in head.strip().split("\r\n")[1:])
        self.headers = {name.lower(): value for name, _, value in rows}

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def event(self, seq: int) -> None:
        self.send(b"id: e-%d\ndata: %b\n\n" % (seq, update(seq)))

    def verdict(self, word: str, at: int, replaying: int = 0) -> None:
        data = orjson.dumps({"verdict": word, "position": f"e-{at}", "replaying": replaying})
        self.send(SSE_HEAD + b"event: verdict\nid: e-%d\ndata: %b\n\n" % (at, data))

    def upgrade(self, protocol: str = EXTENDED, more: str = "") -> None:
        self.send(
            f"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {cable.ACCEPT}\r\n"
            f"sec-websocket-protocol: {protocol}\r\n{more}\r\n".encode()
        )
        self.say({"type": "welcome"})

    def say(self, message: dict[str, Any]) -> None:
        text = orjson.dumps(message)
        server = Protocol(Side.SERVER, state=State.OPEN)
        server.send_text(text)
        self.send(b"".join(server.data_to_send()))

    def message(self, seq: int, **place: Any) -> None:
        self.say({"identifier": IDENTIFIER, "message": orjson.loads(update(seq)), **place})

    def confirm(self, **more: Any) -> None:
        self.say({"identifier": IDENTIFIER, "type": "confirm_subscription", **more})

    async def frame(self) -> Frame:
        """The next frame of the client; IncompleteReadError when it has left."""
        start = await self.reader.readexactly(2)
        size = start[1] & 0x7F
        more = await self.reader.readexactly({126: 2, 127: 8}.get(size, 0))
        rest = await self.reader.readexactly(4 + (int.from_bytes(more) if more else size))
        server = Protocol(Side.SERVER, state=State.OPEN)
        server.receive_data(start + more + rest)
        (found,) = server.events_received()
        assert isinstance(found, Frame)
        return found

    async def command(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((await self.frame()).data)
        return found

    async def gone(self) -> None:
        """Until the client has left."""
        try:
            while await self.reader.read(65536):
                continue
        except ConnectionError:
            return


Script = Callable[[Talk], Awaitable[None]]


class Peer:
    """`talks` are its connections so far; a script that returns ends its connection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.talks: list[Talk] = []
        self.port = 0
        self.server: asyncio.Server | None = None
        self.failures: list[BaseException] = []

    async def listen(self) -> None:
        """On the port that it had before, if it had one."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
        self.port = self.server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Listen no more."""
        assert self.server is not None
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer, len(self.talks))
        self.talks.append(talk)
        try:
            await talk.request()
            await self.script(talk)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        except BaseException as error:
            self.failures.append(error)
            raise
        finally:
            writer.close()


def wire(peer: Peer, transport: str, **more: Any) -> Wire:
    return Wire(transport, "127.0.0.1", peer.port, "/", IDENTIFIER, **more)


def client(peer: Peer, transport: str, first: int = 1, **more: Any) -> LoadClient:
    """A load client in this process; `more` are fields of its wire."""
    fields = wire(peer, transport, **more)._asdict()
    made = LoadClient({"wire": fields, "sources": ["127.0.0.2", "127.0.0.3"], "first": first, "core": None})
    made.start()
    return made


@asynccontextmanager
async def talking(script: Script, transport: str, **more: Any) -> AsyncIterator[tuple[Peer, LoadClient]]:
    """A peer and a load client; both are gone at the end, and a script that failed is raised."""
    peer = Peer(script)
    await peer.listen()
    made = client(peer, transport, **more)
    try:
        yield peer, made
    finally:
        await made.close()
        made.stop()
        peer.refuse()
    for failure in peer.failures:
        raise failure


def publish(port: int, first: int, last: int, rate: float = 200.0) -> None:
    """Publish updates `first..last` to a real server, one after the other."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        headers = {"Authorization": "Bearer bench-token", "Content-Type": "application/json"}
        for seq in range(first, last + 1):
            connection.request("POST", "/streams/bench", update(seq), headers)
            response = connection.getresponse()
            response.read()
            assert response.status == 201
            time.sleep(1 / rate)


async def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition; AssertionError when it does not come. The limit is for a machine that is busy."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.005)
