"""Many resuming clients in one process: each keeps its position, and comes back where and when it was told.

For numbers that threads with a follower each (followers.py) are too dear for. One event loop, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import uvloop

from tests.live.cable import EXT, V1, command, frame, identifier
from tests.live.wire import Address, request_bytes, unverified

LOST_SECONDS = 0.5  # before a client comes back that was told nothing
CLOSE_FRAME = 0x88


class Told(NamedTuple):
    """One goodbye: when it came, and when the client comes back, in seconds of one clock."""

    at: float
    back: float


class Member(asyncio.Protocol):
    """One client of one stream. `cursor` is the id of the last update, `position` what it resumes from."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.epoch = ""
        self.cursor = -1
        self.transport: asyncio.Transport | None = None
        self.current = False  # a verdict was told on this connection
        self._buffer = b""
        self._in_head = True
        self._retry: float | None = None

    @abstractmethod
    def request(self, position: str | None) -> bytes:
        """The request's bytes."""

    @abstractmethod
    def take(self, buffer: bytes) -> bytes:
        """Take whole messages off the front of what has come; the rest."""

    def greeting(self, position: str | None) -> bytes:
        """What is sent once the head of the response has come."""
        return b""

    @property
    def position(self) -> str | None:
        return f"{self.epoch}-{self.cursor}" if self.epoch else None

    # ---- what the server says

    def verdict(self, verdict: str, position: str) -> None:
        """Only one that never was here may be told anything but `recovered`, and it goes on where it was."""
        assert verdict == ("recovered" if self.epoch else "fresh"), f"{verdict} for {self.position}"
        assert position == (self.position or position), f"recovered at {position} for {self.position}"
        self.epoch, _, number = position.rpartition("-")
        self.cursor = int(number)
        self.current = True

    def step(self, number: int) -> None:
        assert number == self.cursor + 1, f"{number} came after {self.cursor}"
        self.cursor = number

    def goodbye(self, reason: str, retry_ms: int) -> None:
        assert reason == "server_restart"
        now = self.crowd.loop.time()
        self._retry = retry_ms / 1000
        self.crowd.told.append(Told(now, now + self._retry))

    # ---- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._buffer, self._in_head = b"", True
        transport.write(self.request(self.position))

    def data_received(self, data: bytes) -> None:
        try:
            self._receive(self._buffer + data)
        except Exception as error:  # noqa: BLE001  the test has to know
            self.crowd.failures.append(f"{type(self).__name__}: {error}")
            assert self.transport is not None
            self.transport.abort()

    def _receive(self, data: bytes) -> None:
        if self._in_head:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = data
                return
            self.crowd.statuses[head[9:12].decode()] = self.crowd.statuses.get(head[9:12].decode(), 0) + 1
            self._in_head, data = False, rest
            assert self.transport is not None
            self.transport.write(self.greeting(self.position))
        self._buffer = self.take(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport, self.current = None, False
        if self._retry is None:
            self.crowd.surprises += 1
        delay, self._retry = LOST_SECONDS if self._retry is None else self._retry, None
        if not self.crowd.leaving:
            self.crowd.loop.call_later(delay, self.connect)

    def connect(self) -> None:
        """Come (back)."""
        if self.crowd.leaving:
            return
        task = self.crowd.loop.create_task(self._connect())
        self.crowd.tasks.add(task)
        task.add_done_callback(self.crowd.tasks.discard)

    async def _connect(self) -> None:
        address = self.crowd.address
        try:
            await self.crowd.loop.create_connection(
                lambda: self, address.host, address.port, ssl=unverified() if address.tls else None
            )
        except OSError:
            self.connection_lost(None)


class SseMember(Member):
    """Asks with HTTP/1.0, whose answer has no chunks."""

    def request(self, position: str | None) -> bytes:
        headers = [("host", self.crowd.address.netloc)]
        if position is not None:
            headers.append(("last-event-id", position))
        return request_bytes("GET", f"/dashboard/stream?stream={self.crowd.stream}", headers, version="1.0")

    def take(self, buffer: bytes) -> bytes:
        *events, rest = buffer.split(b"\n\n")
        for event in events:
            if event.startswith(b"id: "):
                at, _, data = event[4:].partition(b"\ndata: ")
                assert json.loads(data)["n"] == int(at.rpartition(b"-")[2])
                self.step(int(at.rpartition(b"-")[2]))
            else:
                self._control(dict(line.split(": ", 1) for line in event.decode().split("\n")))
        return rest

    def _control(self, fields: dict[str, str]) -> None:
        if fields.get("event") == "verdict":
            data = json.loads(fields["data"])
            self.verdict(data["verdict"], data["position"])
            self.crowd.replayed += data["replaying"]
        elif fields.get("event") == "goodbye":
            data = json.loads(fields["data"])
            self.goodbye(data["reason"], data["retry_ms"])


class CableMember(Member):
    """Resumes as our own client does; on the base protocol it counts its updates."""

    protocol = V1

    def request(self, position: str | None) -> bytes:
        key = base64.b64encode(os.urandom(16)).decode()
        headers = [
            ("host", self.crowd.address.netloc),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", key),
            ("sec-websocket-protocol", self.protocol),
        ]
        return request_bytes("GET", "/cable", headers)

    def greeting(self, position: str | None) -> bytes:
        resume = {} if position is None else {"last_event_id": position}
        return frame(1, command("subscribe", identifier(self.crowd.stream), **resume))

    def take(self, buffer: bytes) -> bytes:
        at = 0
        while len(buffer) >= at + 4:
            size, start = buffer[at + 1], at + 2
            assert size < 127, "no frame of these tests is as large"
            if size == 126:
                size, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            if len(buffer) < start + size:
                break
            self._frame(buffer[at], buffer[start : start + size])
            at = start + size
        return buffer[at:]

    def _frame(self, first: int, payload: bytes) -> None:
        if first == CLOSE_FRAME:
            assert self.transport is not None
            self.transport.write(frame(8, payload))
            return
        message = json.loads(payload)
        match message.get("type"):
            case None:
                self.step(message.get("offset", self.cursor + 1))
                assert message["message"]["n"] == self.cursor
            case "confirm_subscription":
                self.verdict(message["verdict"], message["position"])
            case "disconnect":
                self.goodbye(message["reason"], message["retry_in"])


class ExtMember(CableMember):
    """On the extended protocol each frame has its position."""

    protocol = EXT


class Crowd:
    """`with Crowd(...)`: they connect, and come back until the end of the block. Update number n has `{"n": n}`."""

    def __init__(self, address: Address, stream: str, kinds: Sequence[type[Member]]) -> None:
        self.address = address
        self.stream = stream
        self.told: list[Told] = []
        self.failures: list[str] = []
        self.statuses: dict[str, int] = {}
        self.surprises = 0  # connections that ended without a goodbye
        self.replayed = 0  # updates that were sent again to those of SSE who came back
        self.leaving = False
        self.loop = uvloop.new_event_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.members = [kind(self) for kind in kinds]
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        for member in self.members:
            self.loop.call_soon_threadsafe(member.connect)
        return self

    def __exit__(self, *_: object) -> None:
        self.leaving = True
        asyncio.run_coroutine_threadsafe(self._leave(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()

    async def _leave(self) -> None:
        while self.tasks:
            await asyncio.wait(self.tasks)
        for member in self.members:
            if member.transport is not None:
                member.transport.abort()
        await asyncio.sleep(0)

    def _check(self) -> None:
        """Fail at once when one has seen what it must not."""
        assert not self.failures, (self.failures[:5], self.statuses, self.surprises)

    def all_here(self) -> bool:
        """Whether all are connected and were told where they are."""
        self._check()
        return all(member.current for member in self.members)

    def least(self) -> int:
        """Return the last update that all have."""
        self._check()
        return min(member.cursor for member in self.members)

    def all_have(self, number: int) -> bool:
        """Whether all have every update up to `number`."""
        self._check()
        return all(member.cursor == number for member in self.members)
