"""The one timer of a process: its wheels turn in small steps, so that heartbeats never fall into one loop turn.

Who sits in a wheel and what a heartbeat looks like is not its business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

SLICES = 30  # steps to an interval: 16,000 clients at once would stall the loop


Beats = TypeVar("Beats")


class Wheel(Generic[Beats]):
    """Clients in slots; each turn of the timer serves one slot, each client once per interval.

    Whoever has something written to it anyway may be served a little ahead, and its turn then passes it by.
    """

    __slots__ = ("_ahead", "_at", "_next", "_slots", "steps")

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._slots: list[set[Beats]] = [set() for _ in range(steps)]
        self._ahead: set[Beats] = set()
        self._at = 0
        self._next = 0

    def add(self, client: Beats) -> int:
        """Take a client in; returns its slot, to be handed back to `remove`."""
        self._next = (self._next + 1) % self.steps
        self._slots[self._next].add(client)
        return self._next

    def remove(self, client: Beats, slot: int) -> None:
        """Let a client go."""
        self._slots[slot].discard(client)
        self._ahead.discard(client)

    def __iter__(self) -> Iterator[Beats]:
        for slot in self._slots:
            yield from slot

    def turn(self) -> list[Beats]:
        """Go on to the next slot; whoever sits there is due."""
        self._at = (self._at + 1) % self.steps
        slot = self._slots[self._at]
        due = list(slot - self._ahead)
        self._ahead -= slot
        return due

    def soon(self, turns: int) -> set[Beats]:
        """Whoever is due within so many turns and was not served ahead."""
        slots = (self._slots[(self._at + turn) % self.steps] for turn in range(1, turns + 1))
        return set[Beats]().union(*slots) - self._ahead

    def served(self, client: Beats) -> None:
        """One of those was served now."""
        self._ahead.add(client)


def next_tick(now: float, period: float) -> float:
    """The next whole multiple of `period` after `now`. A hair before one counts as on it, for quotients are rounded."""
    return (int(now / period + 0.001) + 1) * period


class Timer:
    """Calls `on_tick(late)` every `period` seconds; `late` is how late the loop was, in seconds.

    Ticks that the loop slept through are not made up for: heartbeats in a bunch help nobody. Ticks fall on whole
    multiples of the period, so that timers of one period share their wake-ups: each costs an idle process 0.1 ms.
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
        """No more ticks."""
        self._handle.cancel()
