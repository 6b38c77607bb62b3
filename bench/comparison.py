"""Which rows of a result are compared with which, and what comes out. Pure; the statistics are stats.py's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from bench import figures
from bench.figures import Figure
from bench.measure import validity
from bench.result import Result, Run, row_key
from bench.statistics import stats
from bench.statistics.stats import Ratio

BASE = "sse"
MAIN = "app"


class Comparison(NamedTuple):
    """`ours` divided by `theirs`, both keys of rows; `name` and `against` are what differs between them."""

    ours: str
    theirs: str
    name: str
    against: str


class Family(NamedTuple):
    """Comparisons with one thing in common, which go into one picture; `target` is the one that they are about."""

    title: str
    target: str
    against: str
    comparisons: tuple[Comparison, ...]


class Compared(NamedTuple):
    """What two rows' runs say about one figure. Without a ratio `why` says what is in the way."""

    comparison: Comparison
    figure: Figure
    ratio: Ratio | None
    bootstrap: Ratio | None
    left_out: int
    why: str


def families(result: Result) -> list[Family]:
    """Transports against SSE for the main target, it against each other one, and the transports of those."""
    rows = [(row["target"], row["transport"]) for row in result.rows]
    main = main_target(result)
    others = [target for target in dict.fromkeys(target for target, _ in rows) if target != main]
    found = [
        _transports(main, rows),
        *(_against(main, other, rows) for other in others),
        *(_transports(other, rows) for other in others),
    ]
    return [family for family in found if family.comparisons]


def main_target(result: Result) -> str:
    """The target that a result is about: the app where it takes part, else the first."""
    targets = [str(row["target"]) for row in result.rows]
    return MAIN if MAIN in targets else next(iter(targets), MAIN)


def _transports(target: str, rows: Sequence[tuple[str, str]]) -> Family:
    others = [transport for name, transport in rows if name == target and transport != BASE]
    theirs = row_key(target, BASE)
    chosen = others if (target, BASE) in rows else []
    return Family(
        f"{target}: transports against {BASE}",
        target,
        BASE,
        tuple(Comparison(row_key(target, one), theirs, one, BASE) for one in chosen),
    )


def _against(main: str, other: str, rows: Sequence[tuple[str, str]]) -> Family:
    shared = [transport for name, transport in rows if name == main and (other, transport) in rows]
    return Family(
        f"{main} against {other}",
        main,
        other,
        tuple(Comparison(row_key(main, one), row_key(other, one), one, other) for one in shared),
    )


def measured(result: Result) -> list[Figure]:
    """The figures that any run has, registered ones first and in their order."""
    names = {name for run in result.runs for name in run.figures}
    known = [figure for name, figure in figures.FIGURES.items() if name in names]
    return known + [figures.of(name) for name in sorted(names - figures.FIGURES.keys())]


def compared(result: Result, comparison: Comparison, figure: Figure) -> Compared | None:
    """None when no pair has the figure on both sides. Void and lossy runs are left out with their whole pair."""
    ours, theirs = (_by_pair(result, row, figure) for row in (comparison.ours, comparison.theirs))
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None
    clean = [pair for pair in both if ours[pair].valid and theirs[pair].valid]
    values = [tuple(side[pair].figures[figure.name] for pair in clean) for side in (ours, theirs)]
    why = _obstacle(result, values)
    if why:
        return Compared(comparison, figure, None, None, len(both) - len(clean), why)
    ratio = stats.paired_ratio(*values)
    return Compared(comparison, figure, ratio, _bootstrap(*values, result.seed), len(both) - len(clean), "")


def all_compared(result: Result, family: Family) -> Iterator[list[Compared]]:
    """By figure, the comparisons of a family; figures without any are left out."""
    for figure in measured(result):
        found = [compared(result, one, figure) for one in family.comparisons]
        if any(found):
            yield [one for one in found if one is not None]


def _by_pair(result: Result, row: str, figure: Figure) -> dict[int, Run]:
    return {run.pair: run for run in result.of(row) if run.point is None and figure.name in run.figures}


def _obstacle(result: Result, values: Sequence[Sequence[float]]) -> str:
    if validity.machine(**result.noise):
        return "the machine was not quiet"
    if not values[0]:
        return "every pair is void or lossy"
    # Leaving out only the pairs with a zero would choose the pairs by their outcome.
    return "a value is not above 0, so there is no ratio" if min(map(min, values)) <= 0 else ""


@lru_cache(maxsize=1024)
def _bootstrap(ours: tuple[float, ...], theirs: tuple[float, ...], seed: int) -> Ratio:
    return stats.bootstrap_t(ours, theirs, seed=seed)
