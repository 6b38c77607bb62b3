"""Tables and sentences for a terminal, made from results only. Pure: results in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from bench import comparison, figures
from bench.columns import in_columns
from bench.measure import validity
from bench.result import Result, Run
from bench.statistics import stats
from bench.wording import sentence

SHOWN = 8  # columns of an overview
BESIDE = ("kb_per_connection", "server_share", "client_share")


class Compares(Protocol):
    """What is asked of a scenario."""

    @property
    def compared(self) -> tuple[str, ...]:
        """The figures whose ratios are told."""


def line(scenario: Compares, run: Run) -> str:
    """One run, with everything that speaks against it."""
    shown = [
        f"{figures.of(name).title} {figures.of(name).text(run.figures[name])}"
        for name in scenario.compared
        if name in run.figures
    ]
    point = "" if run.point is None else f" at {run.point:g}/s"
    doubts = "".join(f"  {flag.severity}: {flag.message}" for flag in run.flags)
    return f"{run.row}{point}: {', '.join(shown)}{doubts}"


def summary(scenario: Compares, result: Result) -> list[str]:
    """Everything that a result says: the rows, the comparisons, the doubts, the verdict."""
    if not result.runs:
        return [ending(result)]
    return [
        *overview(scenario, result),
        "",
        *comparisons(scenario, result),
        *doubts(result),
        ending(result),
    ]


def overview(scenario: Compares, result: Result) -> list[str]:
    """The geometric mean of every row (and point of a sweep), lost/doubled/disordered, and how many runs are void."""
    names = [
        name
        for name in dict.fromkeys((*scenario.compared, *BESIDE))
        if any(name in run.figures for run in result.runs)
    ]
    rows = [["", *(figures.of(name).title for name in names[:SHOWN]), "wrong", "void"]]
    for key, point, runs in _groups(result):
        used = [run for run in runs if run.valid] or runs
        label = key if point is None else f"{key} {point:g}/s"
        means = [_mean(used, name) for name in names[:SHOWN]]
        rows.append([label, *means, _wrong(runs), f"{sum(not run.valid for run in runs)}/{len(runs)}"])
    return in_columns(rows)


def _groups(result: Result) -> Iterator[tuple[str, float | None, list[Run]]]:
    for key in result.keys:
        runs = result.of(key)
        for point in sorted({run.point for run in runs}, key=lambda one: one or 0.0):
            yield key, point, [run for run in runs if run.point == point]


def _mean(runs: Sequence[Run], name: str) -> str:
    found = [run.figures[name] for run in runs if name in run.figures]
    return figures.of(name).text(stats.mean(found)) if found else "-"


def _wrong(runs: Sequence[Run]) -> str:
    accounts = [run.account for run in runs if run.account is not None]
    if not accounts:
        return "-"
    return "/".join(str(sum(one[name] for one in accounts)) for name in ("lost", "doubled", "disordered"))


def comparisons(scenario: Compares, result: Result) -> list[str]:
    """Which rows differ, in sentences that can be quoted; void pairs are left out and that is said."""
    return [
        sentence(one)
        for family in comparison.families(result)
        for compared in comparison.all_compared(result, family)
        for one in compared
        if one.figure.name in scenario.compared
    ]


def doubts(result: Result) -> list[str]:
    """Every reason to doubt a run or the machine; nothing is hidden."""
    flags = [
        f"{flag.severity.upper():<5} pair {run.pair} {run.row}: {flag.message}"
        for run in result.runs
        for flag in run.flags
    ]
    return [*flags, *(f"VOID  {words}" for words in validity.machine(**result.noise))]


def ending(result: Result) -> str:
    """The verdict."""
    why: Mapping[str, str] = {
        "ok": "ok",
        "loss": "LOSS: a server was wrong, see above",
        "void": "VOID: these numbers mean nothing, see above",
        "slo": f"the demand {result.plan.get('slo')} is not met",
        "incomplete": f"INCOMPLETE: {result.stopped_by}",
    }
    return f"{why[result.verdict]} (seed {result.seed}, {len(result.runs)} runs)"
