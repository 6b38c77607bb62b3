"""Two results held against each other: the same rows, measured at other times or on other machines. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bench import comparison, figures
from bench.comparison import Comparison
from bench.figures import Figure
from bench.result import Result
from bench.statistics import stats
from bench.statistics.stats import Ratio

MACHINE = ("cpu_model", "cores", "kernel", "governor", "python", "filesystem", "memory_kb")


class Delta(NamedTuple):
    """One figure of one row (at one point of a sweep): `after` divided by `before`; None: too few clean runs."""

    row: str
    point: float | None
    figure: Figure
    ratio: Ratio | None

    @property
    def words(self) -> str:
        """The decision."""
        where = self.row if self.point is None else f"{self.row} at {self.point:g}/s"
        what = f"{where}, {self.figure.title}"
        return f"{what}: too few clean runs" if self.ratio is None else stats.in_words(self.ratio, what)


def differences(before: Result, after: Result) -> list[str]:
    """What is not the same about the two, apart from the moment: then a ratio may be about that."""
    found = [
        f"{name}: {before.environment.get(name)} / {after.environment.get(name)}"
        for name in MACHINE
        if before.environment.get(name) != after.environment.get(name)
    ]
    if before.plan != after.plan:
        names = dict.fromkeys([*before.plan, *after.plan])
        changed = [name for name in names if before.plan.get(name) != after.plan.get(name)]
        found.append(f"the plan differs in {', '.join(changed)}")
    if before.cores != after.cores:
        found.append(f"cores: {dict(before.cores)} / {dict(after.cores)}")
    ours, theirs = before.environment["packages"], after.environment["packages"]
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            found.append(f"{name}: {ours.get(name)} / {theirs.get(name)}")
    started = {row["key"]: (row["command"], row["environment"]) for row in before.rows}
    for row in after.rows:
        if started.get(row["key"], (row["command"], row["environment"])) != (
            row["command"],
            row["environment"],
        ):
            found.append(f"{row['key']} is started in another way")
    shas = [one.environment["git"]["sha"][:10] for one in (before, after)]
    return [*found, f"code: {shas[0]} / {shas[1]}"] if shas[0] != shas[1] else found


def shared(before: Result, after: Result, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the figures that both results have: one that was made before a figure was introduced lacks it."""
    return tuple(name for name in names if all(name in _figures(one) for one in (before, after)))


def known(before: Result, after: Result) -> set[str]:
    """The figures that one of them has at least."""
    return _figures(before) | _figures(after)


def _figures(made: Result) -> set[str]:
    return {name for run in made.runs for name in run.figures}


def deltas(before: Result, after: Result, names: tuple[str, ...]) -> Iterator[Delta]:
    """Every common row, point and figure."""
    for row in [key for key in before.keys if key in after.keys]:
        for point in dict.fromkeys(run.point for run in before.of(row)):
            for name in names:
                yield Delta(row, point, figures.of(name), _ratio(before, after, row, point, name))


def _ratio(before: Result, after: Result, row: str, point: float | None, name: str) -> Ratio | None:
    return _held(*(list(_by_pair(one, row, point, name).values()) for one in (before, after)))


def ratio_deltas(before: Result, after: Result, names: tuple[str, ...]) -> Iterator[Delta]:
    """The same for what each result says about its own rows against each other: these do not hang on the machine's
    speed on the day. A row is called "app cable / app sse"."""
    common = [one for one in _comparisons(before) if one in _comparisons(after)]
    for one in common:
        for point in dict.fromkeys(run.point for run in before.of(one.ours)):
            for name in names:
                found = [_quotients(made, one, point, name) for made in (before, after)]
                if any(found):
                    yield Delta(f"{one.ours} / {one.theirs}", point, figures.of(name), _held(*found))


def _comparisons(made: Result) -> list[Comparison]:
    return [one for family in comparison.families(made) for one in family.comparisons]


def _quotients(made: Result, one: Comparison, point: float | None, name: str) -> list[float]:
    ours, theirs = (_by_pair(made, row, point, name) for row in (one.ours, one.theirs))
    return [ours[pair] / theirs[pair] for pair in sorted(ours.keys() & theirs.keys())]


def _by_pair(made: Result, row: str, point: float | None, name: str) -> dict[int, float]:
    """The clean values above 0."""
    return {
        run.pair: run.figures[name]
        for run in made.of(row)
        if run.valid and run.point == point and run.figures.get(name, 0) > 0
    }


def _held(then: list[float], now: list[float]) -> Ratio | None:
    return stats.welch_ratio(now, then) if len(then) > 1 and len(now) > 1 else None


def agree(found: list[Delta]) -> tuple[int, int]:
    """How many of those that could be compared show no difference, and how many could be."""
    known = [delta for delta in found if delta.ratio is not None]
    return sum(not delta.ratio.differs for delta in known if delta.ratio is not None), len(known)
