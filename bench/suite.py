"""Several runs in an order that cannot favour anybody: pairs, shuffled within, the seed known. Pure."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from bench.result import row_key
from bench.serving.target import Target


class Cell(NamedTuple):
    """One row of a table."""

    target: Target
    transport: str

    @property
    def key(self) -> str:
        """The row's key."""
        return row_key(self.target.name, self.transport)


class Step(NamedTuple):
    """One row's turn in a pair."""

    pair: int
    cell: Cell


def order(cells: Sequence[Cell], pairs: int, seed: int) -> list[list[Step]]:
    """Every cell once in each pair, in a new random order each time."""
    chance = random.Random(seed)
    return [[Step(pair, cell) for cell in chance.sample(list(cells), len(cells))] for pair in range(pairs)]


class Budget:
    """Whole pairs only: after the first none is begun that would not end within `seconds` if it took as long as the
    longest so far."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._longest = 0.0

    def allows(self, spent: float) -> bool:
        """Whether another pair may begin, `spent` seconds into the command."""
        return self._seconds is None or not self._longest or spent + self._longest <= self._seconds

    def took(self, seconds: float) -> None:
        """A pair has ended."""
        self._longest = max(self._longest, seconds)


def remaining(pairs: Sequence[Sequence[Step]], done: Collection[tuple[int, str]]) -> Iterator[Sequence[Step]]:
    """What is still to do of an interrupted session, of which (pair, row) are done."""
    for steps in pairs:
        left = [step for step in steps if (step.pair, step.cell.key) not in done]
        if left:
            yield left
