"""Several runs in an order that cannot favour anybody: pairs, shuffled within, the seed known."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bench.run import Run
from bench.target import Target


class Cell(NamedTuple):
    """One row of a table."""

    target: Target
    transport: str


class Step(NamedTuple):
    """One run to make."""

    pair: int
    cell: Cell


def order(cells: Sequence[Cell], pairs: int, seed: int) -> list[list[Step]]:
    """Every cell once in each pair, in a new random order each time."""
    chance = random.Random(seed)
    return [[Step(pair, cell) for cell in chance.sample(list(cells), len(cells))] for pair in range(pairs)]


def runs(
    pairs: Sequence[Sequence[Step]],
    one: Callable[[Step], Run],
    within: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Run]:
    """Make the runs; whole pairs only: none is begun that would not end `within` seconds if it took as long as
    the longest so far."""
    started, longest = clock(), 0.0
    for steps in pairs:
        begun = clock()
        if within is not None and begun - started + longest > within:
            return
        for step in steps:
            yield one(step)
        longest = max(longest, clock() - begun)
