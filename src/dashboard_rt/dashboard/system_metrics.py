"""Figures of the machine, from psutil. Knows neither the database nor the event loop.

Reading blocks, for up to MIN_INTERVAL seconds and on a slow disk for longer: call it in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from .model import Metrics

MIN_INTERVAL = 0.2  # seconds between two readings; over less, a rate is noise
LOOPBACKS = ("lo", "lo0")


class Counters(NamedTuple):
    """Figures that only grow: `at`, `busy` and `total` CPU time in seconds, `traffic` in bytes."""

    at: float
    busy: float
    total: float
    traffic: int


class SystemMetrics:
    """Reads metrics. Rates are taken between two readings; not safe for two threads at once.

    Keeps the last counters itself, because psutil's `cpu_percent` keeps them per thread: in a pool of threads
    each reading would be compared with that of another time.
    """

    def __init__(
        self,
        count: Callable[[float], Counters] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._count = count or read_counters
        self._clock = clock
        self._sleep = sleep
        self._last = self._count(clock())

    def read(self) -> Metrics:
        """Return the metrics since the last call, or since this object was made; `response_time` is None."""
        last = self._last
        self._sleep(max(0.0, last.at + MIN_INTERVAL - self._clock()))
        self._last = now = self._count(self._clock())
        # max(): a machine that was suspended may have counted nothing, and a network card that was removed takes what
        # it had counted with it.
        cpu = (now.busy - last.busy) / max(now.total - last.total, 1e-6)
        bytes_per_second = max(0, now.traffic - last.traffic) / max(now.at - last.at, 1e-6)
        return Metrics(
            cpu=round(100 * cpu, 1),
            memory=psutil.virtual_memory().percent,
            disk=psutil.disk_usage("/").percent,
            network=round(8e-6 * bytes_per_second, 3),
        )


def read_counters(at: float) -> Counters:
    """Read the machine's counters; `at` is the time of the reading in seconds. Loopback traffic is left out."""
    times = psutil.cpu_times()._asdict()
    # Linux counts guest time as user time already.
    total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    idle = times["idle"] + times.get("iowait", 0.0)
    cards = psutil.net_io_counters(pernic=True)
    traffic = sum(card.bytes_sent + card.bytes_recv for name, card in cards.items() if name not in LOOPBACKS)
    return Counters(at, total - idle, total, traffic)


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM."""
    return int(psutil.Process().memory_info().rss)
