"""The open-loop publisher: a schedule of intended moments that a slow server does not move.

It blocks on purpose (event loops round their timers to milliseconds) and keeps one publish in flight, so that the
order on the wire is the order of the schedule. When the server answers late the next publish starts late, and
its latency still counts from the intended moment; how late is a series of its own.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.load import payload
from bench.serving.broadcast import ACCEPTED
from bench.serving.posting import Publish
from bench.statistics import histogram


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
    def end_ns(self) -> int:
        """The intended moment of the last publish."""
        return self.start_ns + int((self.slots - 1) * 1e9 / self.rate)

    @property
    def last(self) -> int:
        """The highest number of the schedule."""
        return self.first + self.slots * self.batch - 1


class Published:
    """What became of a schedule. Durations in ns: `delays` from intended to sent; `own` the part of it
    that the publisher itself is to blame for; `answers` from sent to answered."""

    def __init__(self) -> None:
        self.delays = array("q")
        self.own = array("q")
        self.answers = array("q")
        self.refused = 0

    def series(self) -> dict[str, Any]:
        """The three as histograms."""
        return {
            "delay": histogram.of(self.delays).summary(),
            "own_delay": histogram.of(self.own).summary(),
            "answer": histogram.of(self.answers).summary(),
        }

    def summary(self) -> dict[str, Any]:
        """The histograms, and how many were not answered with 201."""
        return {**self.series(), "refused": self.refused}


def follow(
    schedule: Schedule,
    poster: Publish,
    size: int,
    before: Mapping[int, Callable[[], None]] | None = None,
    told: Callable[[Slot], None] = lambda slot: None,
) -> Published:
    """Publish on schedule. `before[index]` is called half an interval ahead of that slot, `told` behind each."""
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
        done.refused += poster.post(payload.stamped(body, sent), lines=slot.updates > 1) != ACCEPTED
        done.delays.append(sent - slot.intended_ns)
        done.own.append(sent - max(slot.intended_ns, free_ns))
        free_ns = time.monotonic_ns()
        done.answers.append(free_ns - sent)
        told(slot)
    return done


def sleep_until(moment_ns: int) -> None:
    """Sleep until a moment of CLOCK_MONOTONIC; return at once when it is past."""
    left = moment_ns - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)
