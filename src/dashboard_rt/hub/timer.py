"""The timer of a process. All timers tick on whole multiples of their period, so that they share wake-ups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def next_tick(now: float, period: float) -> float:
    """Return the next whole multiple of `period` behind `now`, in the seconds of the loop's clock.

    A thousandth of a period before a multiple counts as on it, because quotients are rounded.
    """
    return (int(now / period + 0.001) + 1) * period


class Timer:
    """Calls `on_tick(late)` every `period` seconds; `late` is how late the loop was, in seconds.

    Ticks that a busy loop missed are not made up for: several heartbeats at once help nobody. Each wake-up costs
    an idle process 0.1 ms of CPU, which is why timers of equal periods share theirs.
    """

    __slots__ = ("_due", "_handle", "_loop", "_on_tick", "_period")

    def __init__(self, period: float, on_tick: Callable[[float], None]) -> None:
        self._period = period
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._due = next_tick(self._loop.time(), period)
        self._handle = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self._due
        self._due = next_tick(max(now, self._due), self._period)
        self._handle = self._loop.call_at(self._due, self._tick)
        self._on_tick(late)

    def stop(self) -> None:
        self._handle.cancel()
