"""bench/suite.py: interleaved, in an order that the seed decides, whole pairs only, and only what is left."""

from __future__ import annotations

from bench.serving import target
from bench.suite import Budget, Cell, order, remaining

CELLS = [
    Cell(one, wire) for wire in target.TRANSPORTS for one in (target.by_name("app"), target.by_name("floor"))
]


def test_every_pair_holds_every_cell_once() -> None:
    for number, steps in enumerate(order(CELLS, 5, seed=3)):
        assert sorted(step.cell.key for step in steps) == sorted(cell.key for cell in CELLS)
        assert {step.pair for step in steps} == {number}


def test_the_seed_decides_the_order() -> None:
    assert order(CELLS, 7, seed=1) == order(CELLS, 7, seed=1)
    assert order(CELLS, 7, seed=1) != order(CELLS, 7, seed=2)


def test_no_pair_is_begun_that_would_end_too_late() -> None:
    budget = Budget(25)
    assert budget.allows(0)
    budget.took(10)
    assert budget.allows(15) and not budget.allows(15.1)
    budget.took(5)  # the longest counts
    assert not budget.allows(15.1)
    assert Budget(None).allows(1e9)
    assert Budget(0.001).allows(5), "the first pair is always begun"


def test_what_is_done_is_not_done_again() -> None:
    steps = order(CELLS, 3, seed=1)
    done = {(0, cell.key) for cell in CELLS} | {(1, "app sse")}
    left = list(remaining(steps, done))
    assert [len(pair) for pair in left] == [3, 4]
    assert [step for pair in left for step in pair] == [
        step for pair in steps for step in pair if (step.pair, step.cell.key) not in done
    ], "the order is kept"
    assert list(remaining(steps, {(pair, cell.key) for pair in range(3) for cell in CELLS})) == []
