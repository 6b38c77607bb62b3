"""bench/suite.py: interleaved, in an order that the seed decides, whole pairs only."""

from __future__ import annotations

import pytest

from bench import target
from bench.run import Run
from bench.suite import Cell, Step, order, runs

CELLS = [Cell(one, wire) for wire in target.TRANSPORTS for one in (target.app(), target.floor())]


def one(step: Step) -> Run:
    return Run(step.cell.target.name, step.cell.transport, step.pair, {})


def test_every_pair_holds_every_cell_once() -> None:
    for number, steps in enumerate(order(CELLS, 5, seed=3)):
        names = [(step.cell.target.name, step.cell.transport) for step in steps]
        assert sorted(names) == sorted((cell.target.name, cell.transport) for cell in CELLS)
        assert {step.pair for step in steps} == {number}


def test_the_seed_decides_the_order() -> None:
    assert order(CELLS, 7, seed=1) == order(CELLS, 7, seed=1)
    assert order(CELLS, 7, seed=1) != order(CELLS, 7, seed=2)


@pytest.mark.parametrize(("within", "pairs"), [(None, 3), (100, 3), (25, 2), (19, 1), (1, 1)])
def test_no_pair_is_begun_that_would_end_too_late(within: float | None, pairs: int) -> None:
    now = 0.0

    def slow(step: Step) -> Run:
        nonlocal now
        now += 2.5  # a pair of four takes ten seconds
        return one(step)

    made = list(runs(order(CELLS, 3, seed=1), slow, within, clock=lambda: now))
    assert len(made) == pairs * len(CELLS)
