"""The floor: one pre-encoded `write` per client and message on raw uvloop, and nothing else.

Every other row of a report is divided by this one. It speaks both wires of docs/protocol.md with the same bytes
per delivery as the app, and takes the same HTTP publish, so the load is driven alike; it keeps no log, checks no
JSON, knows one stream. It must not grow features: what is not here is what the app is being charged for.

    python bench/targets/floor.py --port 4000 [--kind state|log] [--joined]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import signal
import time
from collections.abc import Callable
from typing import cast

import orjson
import uvloop

EPOCH = "flr0"
CABLE_PING_SECONDS = 3.0
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache, no-store, no-transform\r\nx-accel-buffering: no\r\n"
    b"x-content-type-options: nosniff\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
)


def chunk(body: bytes) -> bytes:
    """One HTTP/1.1 chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def text_frame(payload: bytes) -> bytes:
    """One unmasked text frame, as a server sends it (RFC 6455 section 5.2)."""
    if len(payload) < 126:
        return b"\x81%c%b" % (len(payload), payload)
    if len(payload) < 65536:
        return b"\x81\x7e%b%b" % (len(payload).to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (len(payload).to_bytes(8, "big"), payload)


def unmasked(payload: bytes, key: bytes) -> bytes:
    """Undo a client's mask in one big-integer XOR."""
    wide = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(wide)).to_bytes(len(payload))


class Floor:
    """All clients of both wires, and the loop that writes to them."""

    def __init__(self, keeps_state: bool, joined: bool) -> None:
        self.keeps_state = keeps_state
        self.joined = joined
        self.last_id = 0
        self.newest: bytes | None = None
        self.sse: set[asyncio.WriteTransport] = set()
        self.cable: dict[bytes, set[asyncio.WriteTransport]] = {}
        self.confirms: dict[bytes, bytes] = {}

    def publish(self, texts: list[bytes], answer: Callable[[], None]) -> None:
        """Send `texts` to everybody, then `answer`. One loop turn per message, so that no version of uvloop can
        gather several messages of a client into one send(2): that would no longer be the floor."""
        if self.joined:
            self.send(texts)
            answer()
        else:
            self.step(texts, 0, answer)

    def step(self, texts: list[bytes], index: int, answer: Callable[[], None]) -> None:
        self.send([texts[index]])
        if index + 1 == len(texts):
            answer()
        else:
            asyncio.get_running_loop().call_soon(self.step, texts, index + 1, answer)

    def send(self, texts: list[bytes]) -> None:
        """One write per client, of one message unless they are joined."""
        first, self.last_id, self.newest = self.last_id + 1, self.last_id + len(texts), texts[-1]
        frames = b"".join(self.event(first + step, text) for step, text in enumerate(texts))
        for transport in self.sse:
            transport.write(frames)
        for identifier, transports in self.cable.items():
            frames = b"".join(self.message(identifier, text) for text in texts)
            for transport in transports:
                transport.write(frames)

    def event(self, number: int, text: bytes) -> bytes:
        return chunk(b"id: %b-%d\ndata: %b\n\n" % (EPOCH.encode(), number, text))

    def message(self, identifier: bytes, text: bytes) -> bytes:
        return text_frame(b'{"identifier":%b,"message":%b}' % (identifier, text))

    def join_sse(self, transport: asyncio.WriteTransport) -> None:
        position = f"{EPOCH}-{self.last_id}"
        verdict = orjson.dumps({"verdict": "fresh", "position": position, "replaying": 0, "missed": None})
        head = SSE_HEAD + chunk(
            b"retry: 2000\n\nevent: verdict\nid: %b\ndata: %b\n\n" % (position.encode(), verdict)
        )
        if self.keeps_state and self.newest is not None:
            head += self.event(self.last_id, self.newest)
        transport.write(head)
        self.sse.add(transport)

    def join_cable(self, transport: asyncio.WriteTransport, identifier: bytes) -> None:
        first = self.confirm(identifier)
        if self.keeps_state and self.newest is not None:
            first += self.message(identifier, self.newest)
        transport.write(first)
        self.cable.setdefault(identifier, set()).add(transport)

    def confirm(self, identifier: bytes) -> bytes:
        return text_frame(
            b'{"identifier":%b,"type":"confirm_subscription","verdict":"fresh","position":"%b-%d"}'
            % (identifier, EPOCH.encode(), self.last_id)
        )

    def leave(self, transport: asyncio.WriteTransport) -> None:
        self.sse.discard(transport)
        for transports in self.cable.values():
            transports.discard(transport)

    async def ping(self) -> None:
        """The ping that Action Cable demands, to every cable client."""
        while True:
            await asyncio.sleep(CABLE_PING_SECONDS)
            frame = text_frame(b'{"type":"ping","message":%d}' % int(time.time()))
            for transports in self.cable.values():
                for transport in transports:
                    transport.write(frame)


class Client(asyncio.Protocol):
    """One connection: a request head, then either wire, or publishes one after the other."""

    __slots__ = ("buffer", "floor", "receive", "transport")

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.buffer = b""
        self.receive: Callable[[], None] = self.request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.floor.leave(self.transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.receive()

    def request(self) -> None:
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"POST /streams/"):
            self.post(head, rest)
            return
        self.buffer = rest
        if head.startswith(b"GET /dashboard/stream"):
            self.floor.join_sse(self.transport)
            self.receive = self.ignore
        elif head.startswith(b"GET /cable"):
            self.upgrade(head)
        else:
            self.respond(b"200 OK", b'{"status":"ok"}')

    def ignore(self) -> None:
        self.buffer = b""

    def respond(self, status: bytes, body: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )

    def post(self, head: bytes, rest: bytes) -> None:
        length = int(header(head, b"content-length") or b"0")
        if len(rest) < length:
            return
        body, self.buffer = rest[:length], rest[length:]
        if header(head, b"content-type").startswith(b"application/x-ndjson"):
            texts = [line for line in body.split(b"\n") if line.strip()]
        else:
            texts = [body]
        self.floor.publish(texts, lambda: self.published(len(texts)))

    def published(self, count: int) -> None:
        position = f"{EPOCH}-{self.floor.last_id}"
        self.respond(b"201 Created", orjson.dumps({"position": position, "count": count}))

    def upgrade(self, head: bytes) -> None:
        key = header(head, b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID, usedforsecurity=False).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: %b\r\nsec-websocket-protocol: actioncable-v1-json\r\n\r\n%b"
            % (accept, text_frame(b'{"type":"welcome"}'))
        )
        self.receive = self.frames
        self.frames()

    def frames(self) -> None:
        """Small masked frames only: a subscribe, a pong, a close. Nothing else is sent to the floor."""
        while len(self.buffer) >= 6:
            size, start = self.buffer[1] & 0x7F, 2
            if size == 126:
                size, start = int.from_bytes(self.buffer[2:4]), 4
            end = start + 4 + size
            if len(self.buffer) < end:
                return
            opcode = self.buffer[0] & 0x0F
            payload = unmasked(self.buffer[start + 4 : end], self.buffer[start : start + 4])
            self.buffer = self.buffer[end:]
            if opcode == 0x8:
                self.transport.close()
            elif opcode == 0x1:
                self.command(orjson.loads(payload))

    def command(self, command: dict[str, str]) -> None:
        if command.get("command") == "subscribe":
            self.floor.join_cable(self.transport, orjson.dumps(command["identifier"]))


def header(head: bytes, name: bytes) -> bytes:
    """The value of a header, empty when absent; `name` in lower case."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b""


async def serve(port: int, keeps_state: bool, joined: bool) -> None:
    """Listen until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    floor = Floor(keeps_state, joined)
    server = await loop.create_server(lambda: Client(floor), "127.0.0.1", port, backlog=2048)
    ping = loop.create_task(floor.ping())
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    ping.cancel()
    server.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="the floor that every other row is divided by")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=["state", "log"], default="log")
    parser.add_argument(
        "--joined", action="store_true", help="all messages of one publish in one write per client"
    )
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.kind == "state", options.joined))


if __name__ == "__main__":
    main()
