"""Axes as arithmetic: values to pixels, and ticks that never collide. Pure; draws nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from bench import figures

GAP = 10.0  # pixels between two tick labels
MOST_TICKS = 9
STEPS = (1, 2, 2.5, 5)
ROUND = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
# Which multiples of a power of ten get a tick, the densest first.
MANTISSAS = ((1, 1.5, 2, 3, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
DECADES = (2, 3, 4, 6)
TINY = 1e-200  # doubles near their end have too few digits for arithmetic, and no figure is that small
WIDE = 50.0  # values further apart than this are shown by magnitude
CURVED = 8.0  # below, a logarithmic axis looks straight and takes even steps


class Tick(NamedTuple):
    """A labelled place on an axis, in pixels."""

    at: float
    text: str


class Scale(NamedTuple):
    """Values from `low` to `high` on pixels from `start` to `end`, which may run either way; `log` by magnitude."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; a value beyond the ends lies beyond the pixels."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(
        self, text: Callable[[float], str], room: Callable[[str], float], through: float | None = None
    ) -> list[Tick]:
        """The densest even set of ticks whose labels, `room` pixels each, keep their distance; with `through` a set
        that has this value in it, where there is one."""
        if through is not None:
            found = self._densest((one for one in self._candidates() if through in one), text, room)
            if found:
                return found
        return self._densest(self._candidates(), text, room)

    def _densest(
        self, candidates: Iterable[list[float]], text: Callable[[float], str], room: Callable[[str], float]
    ) -> list[Tick]:
        for values in candidates:
            chosen = [Tick(self.at(value), text(value)) for value in values]
            if len(chosen) <= MOST_TICKS and apart(chosen, room):
                return chosen
        return []

    def _candidates(self) -> Iterable[list[float]]:
        if not self.log or self.high / self.low < CURVED:
            yield from self._even()
        if self.log:
            yield from self._decades()

    def _even(self) -> Iterable[list[float]]:
        span = self.high - self.low
        power = math.floor(math.log10(span)) - 1
        for step in (mantissa * 10.0 ** (power + up) for up in range(3) for mantissa in STEPS):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            yield [number * step for number in range(first, last + 1)]

    def _decades(self) -> Iterable[list[float]]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for mantissas in MANTISSAS:
            yield self._inside(m * 10.0**power for power in range(first, last + 1) for m in mantissas)
        for every in DECADES:
            start = first - first % every
            yield self._inside(10.0**power for power in range(start, last + 1, every))

    def _inside(self, values: Iterable[float]) -> list[float]:
        return [value for value in values if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]


def apart(ticks: Sequence[Tick], room: Callable[[str], float]) -> bool:
    """Whether no label touches its neighbour."""
    return all(
        abs(after.at - before.at) >= (room(before.text) + room(after.text)) / 2 + GAP
        for before, after in pairwise(ticks)
    )


def from_zero(values: Iterable[float], start: float, end: float) -> Scale:
    """An axis that is never cut: it holds 0 and all values."""
    found = [0.0, *values]
    low, high = -rounded_up(-min(found)), rounded_up(max(found))
    return Scale(low, high if high > low else 1.0, start, end)


def by_magnitude(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic axis over the values that have a magnitude (above 0)."""
    found = [value for value in values if value > TINY] or [1.0]
    low, high = min(found) / 1.15, max(found) * 1.15
    return Scale(low, high, start, end, log=True)


def fitting(values: Sequence[float], start: float, end: float) -> Scale:
    """From zero, or by magnitude when the values lie too far apart to be told from one another."""
    lowest, highest = min(values, default=0.0), max(values, default=0.0)
    if lowest > 0 and highest / lowest > WIDE:
        return by_magnitude(values, start, end)
    return from_zero(values, start, end)


def rounded_up(value: float) -> float:
    """The next round number at or above a value; 0 for what is not above 0."""
    if value <= TINY:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(mantissa * power for mantissa in (*ROUND, 20) if mantissa * power >= value * (1 - 1e-9))


def plain(value: float) -> str:
    """A tick's number: as short as it is exact, thousands apart."""
    if value != 0 and abs(value) < 1e-4:
        return f"{value:.0e}"
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def with_unit(unit: str) -> Callable[[float], str]:
    """How ticks of that unit are written: "0.5 ms", "1,000"; shares in per cent."""
    if unit == figures.SHARE:
        return lambda value: f"{plain(value * 100)} %"
    return lambda value: figures.with_unit(plain(value), unit)
