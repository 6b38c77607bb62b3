"""How many publishes a second a server acknowledges with many always in flight. A closed loop: a capacity."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import cast

import uvloop

from bench.errors import Environment
from bench.load import payload
from bench.serving import http
from bench.serving.target import HttpPublish


class Crowd:
    """What all connections share: the numbers, the deadline, the books. Durations in ns."""

    def __init__(self, publish: HttpPublish, host: str, seconds: float, first: int) -> None:
        self.publish = publish
        self.host = host
        self.seconds = seconds
        self.next = first
        self.started_ns = time.monotonic_ns()
        self.deadline_ns = self.started_ns + int(seconds * 1e9)
        self.ended_ns = self.started_ns
        self.answers = array("q")
        self.refused = 0
        self.broken = 0

    def request(self, now: int) -> bytes:
        """The next publish."""
        seq, self.next = self.next, self.next + 1
        (request,) = self.publish.requests(self.host, payload.stamped(payload.update(seq, now), now), False)
        return request

    @property
    def rate(self) -> float:
        """Acknowledged publishes a second."""
        return len(self.answers) / max(1e-9, (self.ended_ns - self.started_ns) / 1e9)


class Publishing(asyncio.Protocol):
    """One connection: publish, wait for the answer, again, until the deadline."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.buffer = b""
        self.sent_ns = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send(time.monotonic_ns())

    def send(self, now: int) -> None:
        self.sent_ns = now
        self.transport.write(self.crowd.request(now))

    def data_received(self, data: bytes) -> None:
        found = http.read(self.buffer + data)
        if found is None:
            self.buffer += data
            return
        response, self.buffer = found
        now = time.monotonic_ns()
        if response.status == 201:
            self.crowd.answers.append(now - self.sent_ns)
            self.crowd.ended_ns = now
        else:
            self.crowd.refused += 1
        self.sent_ns = 0
        if now < self.crowd.deadline_ns:
            self.send(now)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.broken += self.sent_ns > 0
        if not self.done.done():
            self.done.set_result(None)


def publish_many(
    publish: HttpPublish, host: str, port: int, *, in_flight: int, seconds: float, first: int = 1
) -> Crowd:
    """Publish for `seconds` over `in_flight` connections; answers the books."""
    return uvloop.run(
        _publish_many(Crowd(publish, f"{host}:{port}", seconds, first), (host, port), in_flight)
    )


async def _publish_many(crowd: Crowd, address: tuple[str, int], in_flight: int) -> Crowd:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Publishing(crowd), *address) for _ in range(in_flight)]
    try:
        async with asyncio.timeout_at(loop.time() + crowd.seconds + 15):
            await asyncio.gather(*(protocol.done for _, protocol in made))
    except TimeoutError:
        raise Environment("publishes were still unanswered 15 s after the end") from None
    return crowd
