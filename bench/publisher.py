"""The open-loop publisher: a schedule of intended moments that a slow server does not move.

It blocks on purpose (event loops round their timers to milliseconds) and keeps one publish in flight, so that the
order on the wire is the order of the schedule. When the server answers late the next publish starts late, and
its latency still counts from the intended moment; how late is a series of its own.
"""

from __future__ import annotations

import socket
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench import histogram, http, payload
from bench.errors import Environment
from bench.target import HttpPublish

TIMEOUT_SECONDS = 15.0


class Slot(NamedTuple):
    """One publish of a schedule: when, and which numbers."""

    intended_ns: int
    first: int
    updates: int


@dataclass(frozen=True)
class Schedule:
    """`slots` publishes of `batch` updates each, `rate` publishes a second, the first at `start_ns`."""

    start_ns: int
    rate: float
    slots: int
    batch: int = 1
    first: int = 1

    def __iter__(self) -> Iterator[Slot]:
        for index in range(self.slots):
            yield Slot(
                self.start_ns + int(index * 1e9 / self.rate), self.first + index * self.batch, self.batch
            )

    @property
    def last(self) -> int:
        """The highest number of the schedule."""
        return self.first + self.slots * self.batch - 1


class Poster:
    """One kept-alive HTTP connection that publishes and waits for the answer."""

    def __init__(self, publish: HttpPublish, host: str, port: int) -> None:
        self.publish = publish
        self.host = f"{host}:{port}"
        self.sock = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Poster:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def post(self, body: bytes, lines: bool = False) -> int:
        """Publish; answers the HTTP status. Raises Environment when no answer comes."""
        try:
            self.sock.sendall(http.post(self.publish, self.host, body, lines))
            buffer = b""
            while (found := http.read(buffer)) is None:
                piece = self.sock.recv(65536)
                if not piece:
                    raise Environment("the server closed the publisher's connection")
                buffer += piece
        except TimeoutError:
            raise Environment(f"a publish was not answered in {TIMEOUT_SECONDS:.0f} s") from None
        except ConnectionError as error:
            raise Environment(f"the publisher's connection broke: {error}") from None
        return found[0].status


class Published:
    """What became of a schedule. Durations in ns: `delays` from intended to sent; `own` the part of it
    that the publisher itself is to blame for; `answers` from sent to answered."""

    def __init__(self) -> None:
        self.delays = array("q")
        self.own = array("q")
        self.answers = array("q")
        self.refused = 0

    def summary(self) -> dict[str, Any]:
        """What a result file keeps."""
        return {
            "delay": histogram.of(self.delays).summary(),
            "own_delay": histogram.of(self.own).summary(),
            "answer": histogram.of(self.answers).summary(),
            "refused": self.refused,
        }


def follow(
    schedule: Schedule, poster: Poster, size: int, before: Mapping[int, Callable[[], None]] | None = None
) -> Published:
    """Publish on schedule. `before[index]` is called half an interval ahead of that slot."""
    done = Published()
    half = int(0.5e9 / schedule.rate)
    free_ns = 0
    for index, slot in enumerate(schedule):
        body = b"\n".join(
            payload.update(slot.first + step, slot.intended_ns, size) for step in range(slot.updates)
        )
        if before is not None and index in before:
            sleep_until(slot.intended_ns - half)
            before[index]()
        sleep_until(slot.intended_ns)
        sent = time.monotonic_ns()
        done.refused += poster.post(payload.stamped(body, sent), lines=slot.updates > 1) != 201
        done.delays.append(sent - slot.intended_ns)
        done.own.append(sent - max(slot.intended_ns, free_ns))
        free_ns = time.monotonic_ns()
        done.answers.append(free_ns - sent)
    return done


def sleep_until(moment_ns: int) -> None:
    """Sleep until a moment of CLOCK_MONOTONIC; return at once when it is past."""
    left = moment_ns - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)
