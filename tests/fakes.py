"""A small real server that speaks both transports of docs/protocol.md, and can be told to get things wrong.

It runs in a thread with its own loop, so that commands which start a loop of their own can be tried on it. Its
log is a clock: update `id` exists from `id * period` seconds on, so every client sees the same ids.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

EXT = "actioncable-v1-ext-json"
EPOCH = "k3f9"


@dataclass
class Behaviour:
    """What the server does; the defaults are right."""

    period: float = 0.01
    heartbeat: float | None = 0.05
    drop: int | None = None  # ids that can be divided by it are left out
    double: int | None = None
    hold: float = 0.0  # seconds that a buffering proxy would collect
    gzip: bool = False
    deflate: bool = False
    status: int = 200
    content_type: str = "text/event-stream; charset=utf-8"
    headers: dict[str, str] = field(default_factory=lambda: {"x-accel-buffering": "no"})
    subprotocol: str | None = EXT
    cut_after: int | None = None  # updates after which each connection ends
    goodbye: str | None = None  # said before it ends
    reconnect: bool = True
    retry_ms: int = 20
    origin: str | None = None  # the only origin that is let in
    verdict: bool = True
    reject: bool = False
    mute: bool = False  # the head, then nothing
    health: str | None = None  # the body of /health; None: there is no such path


class Fake:
    """The server: its address, its behaviour, and the positions that clients came back with."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.born = time.monotonic() - 1000 * behaviour.period
        self.resumed: list[str | None] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.app = Starlette(
            routes=[
                Route("/dashboard/stream", self.stream),
                WebSocketRoute("/cable", self.cable),
                Route("/health", self.health),
            ]
        )

    @property
    def head(self) -> int:
        """The newest id."""
        return int((time.monotonic() - self.born) / self.behaviour.period)

    def start(self, last: str | None) -> tuple[str, int]:
        """The verdict, and the cursor to go on from."""
        self.resumed.append(last)
        if last is None:
            return "fresh", self.head - 1
        epoch, _, offset = last.rpartition("-")
        return ("recovered", int(offset)) if epoch == EPOCH else ("gap", self.head - 1)

    async def sequence(self, cursor: int) -> AsyncIterator[int]:
        """The ids that this server sends, faults included; 0 is a heartbeat."""
        told, beat, sent = self.behaviour, time.monotonic(), 0
        while told.cut_after != 0:
            if told.heartbeat is not None and time.monotonic() - beat >= told.heartbeat:
                beat = time.monotonic()
                yield 0
            while cursor < self.head:
                cursor += 1
                if told.drop is None or cursor % told.drop:
                    yield cursor
                if told.double is not None and cursor % told.double == 0:
                    yield cursor
                sent += 1
                if told.cut_after is not None and sent >= told.cut_after:
                    return
            await asyncio.sleep(told.period / 2)

    async def health(self, request: Request) -> Response:
        """GET /health"""
        told = self.behaviour.health
        return PlainTextResponse("none", 404) if told is None else Response(told)

    # ---- Server-Sent Events

    async def stream(self, request: Request) -> Response:
        """GET /dashboard/stream"""
        told = self.behaviour
        if told.origin is not None and request.headers.get("origin") not in (None, told.origin):
            return PlainTextResponse("not from there", 403)
        if told.status != 200:
            return PlainTextResponse("no", told.status, {"location": "http://127.0.0.1/elsewhere"})
        body: AsyncIterator[bytes] = self.events(request.headers.get("last-event-id"))
        headers = {"content-type": told.content_type, **told.headers}
        if told.hold:
            body = held(body, told.hold)
        if told.gzip:
            body, headers["content-encoding"] = gzipped(body), "gzip"
        return StreamingResponse(body, headers=headers)

    async def events(self, last: str | None) -> AsyncIterator[bytes]:
        """The body."""
        told = self.behaviour
        if told.mute:
            await asyncio.sleep(60)
        verdict, cursor = self.start(last)
        yield f"retry: {told.retry_ms}\n\n".encode()
        if told.verdict:
            data = {"verdict": verdict, "position": f"{EPOCH}-{cursor}", "replaying": 1, "missed": None}
            yield f"event: verdict\nid: {EPOCH}-{cursor}\ndata: {json.dumps(data)}\n\n".encode()
        async for number in self.sequence(cursor):
            cursor = number or cursor
            now = datetime.now(UTC).isoformat()
            beat = f'event: heartbeat\nid: {EPOCH}-{cursor}\ndata: {{"time":"{now}"}}\n\n'
            update = f"id: {EPOCH}-{number}\ndata: {self.update(number)}\n\n"
            yield (update if number else beat).encode()
        if told.goodbye is not None:
            data = {"reason": told.goodbye, "retry_ms": told.retry_ms}
            yield f"retry: {told.retry_ms}\nevent: goodbye\ndata: {json.dumps(data)}\n\n".encode()

    @staticmethod
    def update(number: int) -> str:
        """What is published."""
        return json.dumps({"n": number, "published_at_ms": time.time() * 1000})

    # ---- Action Cable

    async def cable(self, websocket: WebSocket) -> None:
        """WS /cable"""
        told = self.behaviour
        if told.status != 200 or (
            told.origin is not None and websocket.headers.get("origin") not in (None, told.origin)
        ):
            refusal = PlainTextResponse("no", 404 if told.status == 200 else told.status)
            await websocket.send_denial_response(refusal)
            return
        await websocket.accept(subprotocol=told.subprotocol)
        with suppress(WebSocketDisconnect):
            await self.talk(websocket)

    async def talk(self, websocket: WebSocket) -> None:
        """Everything behind the handshake."""
        told = self.behaviour
        if told.mute:
            await websocket.receive_json()
        await websocket.send_json({"type": "welcome"})
        command = await websocket.receive_json()
        identifier = command["identifier"]
        if told.reject:
            await websocket.send_json({"type": "reject_subscription", "identifier": identifier})
            await websocket.receive_json()
        verdict, cursor = self.start(command.get("last_event_id"))
        known = {"verdict": verdict, "position": f"{EPOCH}-{cursor}"} if told.verdict else {}
        await websocket.send_json({"type": "confirm_subscription", "identifier": identifier, **known})
        reader = asyncio.ensure_future(read_all(websocket))
        try:
            await self.send_all(websocket, identifier, cursor, reader)
        finally:
            reader.cancel()

    async def send_all(
        self, websocket: WebSocket, identifier: str, cursor: int, reader: asyncio.Future[None]
    ) -> None:
        """Updates and pings, until the client leaves."""
        told = self.behaviour
        async for number in held_back(self.sequence(cursor), told.hold):
            if reader.done():
                return
            place = {"stream_id": "dashboard_updates", "epoch": EPOCH, "offset": number}
            data = {"identifier": identifier, "message": json.loads(self.update(number))}
            if number == 0:
                await websocket.send_json({"type": "ping", "message": int(time.time())})
            else:
                await websocket.send_json({**data, **(place if told.subprotocol == EXT else {})})
        if told.goodbye is not None:
            message = {"type": "disconnect", "reason": told.goodbye, "reconnect": told.reconnect}
            await websocket.send_json({**message, "retry_in": told.retry_ms})
        await websocket.close(1001)


async def read_all(websocket: WebSocket) -> None:
    """Read what the client says, so that its close is heard."""
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()


async def held(body: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """What a buffering proxy makes of a body: lumps."""
    lump, began = b"", time.monotonic()
    async for piece in body:
        lump += piece
        if time.monotonic() - began >= seconds:
            yield lump
            lump, began = b"", time.monotonic()


async def held_back(numbers: AsyncIterator[int], seconds: float) -> AsyncIterator[int]:
    """The same for frames."""
    lump: list[int] = []
    began = time.monotonic()
    async for number in numbers:
        lump.append(number)
        if time.monotonic() - began >= seconds:
            for late in lump:
                yield late
            lump, began = [], time.monotonic()


async def gzipped(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body that is compressed, but flushed."""
    packer = zlib.compressobj(wbits=31)
    async for piece in body:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)


class QuickServer(uvicorn.Server):
    """uvicorn's server, which looks every 0.1 s whether it should stop and then sleeps 0.1 s: here it does not wait."""

    async def main_loop(self) -> None:
        while not self.should_exit:  # noqa: ASYNC110  another thread sets it
            await asyncio.sleep(0.002)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0.002)
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def serving(behaviour: Behaviour | None = None) -> Iterator[Fake]:
    """Run the server until the block ends."""
    fake = Fake(behaviour or Behaviour())
    config = uvicorn.Config(
        fake.app,
        log_level="critical",
        lifespan="off",
        ws="websockets-sansio",
        ws_per_message_deflate=fake.behaviour.deflate,
        timeout_graceful_shutdown=0,
    )
    server = QuickServer(config)
    thread = threading.Thread(target=server.run, args=([fake.socket],))
    thread.start()
    try:
        yield fake
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        fake.socket.close()
