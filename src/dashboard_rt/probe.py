"""The machine's own figures, by psutil. Blocks for up to `LEAST` seconds or on a slow disk: use a thread.

Rates are taken between two readings. psutil's own `cpu_percent` remembers the reading before *per thread*,
which means nothing in a thread pool, so the memory is kept here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from .dashboard import Metrics

LEAST = 0.2  # seconds between two readings; a rate over less is noise
LOOPBACKS = ("lo", "lo0")


class Counters(NamedTuple):
    """What only ever grows: moment and CPU times in seconds, network traffic in bytes."""

    at: float
    busy: float
    total: float
    traffic: int


class Probe:
    """Remembers the reading before. Not safe for two threads at once."""

    def __init__(
        self,
        count: Callable[[float], Counters] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._count = count or counters
        self._clock = clock
        self._sleep = sleep
        self._before = self._count(clock())

    def read(self) -> Metrics:
        """Figures of the time since the reading before (or since this object was made)."""
        before = self._before
        self._sleep(max(0.0, before.at + LEAST - self._clock()))
        self._before = after = self._count(self._clock())
        return Metrics(
            cpu=round(100 * (after.busy - before.busy) / max(after.total - before.total, 1e-6), 1),
            memory=psutil.virtual_memory().percent,
            disk=psutil.disk_usage("/").percent,
            network=round(8e-6 * max(0, after.traffic - before.traffic) / max(after.at - before.at, 1e-6), 3),
        )


def counters(at: float) -> Counters:
    """Count now; `at` is the moment. Guest time is left out: Linux has it in user time already."""
    times = psutil.cpu_times()._asdict()
    total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    idle = times["idle"] + times.get("iowait", 0.0)
    cards = psutil.net_io_counters(pernic=True)
    traffic = sum(card.bytes_sent + card.bytes_recv for name, card in cards.items() if name not in LOOPBACKS)
    return Counters(at, total - idle, total, traffic)


def resident_bytes() -> int:
    """The memory of this process that is in RAM."""
    return int(psutil.Process().memory_info().rss)
