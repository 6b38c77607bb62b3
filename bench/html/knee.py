"""How far a row goes in a rate sweep, over all its pairs, and what stopped it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.figures import number
from bench.html import words
from bench.measure import slo
from bench.measure.slo import Slo
from bench.measure.validity import telling
from bench.result import Result, Run
from bench.statistics import knee as knees
from bench.statistics.knee import Limits, Point


class Knee(NamedTuple):
    """The last rate up to which all runs of a row were good, the first at which one was not, and why; rates are
    offered updates a second. `last` is None when no rate was found good, `first_bad` when all were. `reasons` are
    those of the first bad run, `limiter` names the first of them; `bad` of `runs` at that rate were bad. Void runs
    say nothing, and where all are void the knee is not known."""

    row: str
    last: float | None
    first_bad: float | None = None
    limiter: str = ""
    reasons: tuple[str, ...] = ()
    bad: int = 0
    runs: int = 0

    @property
    def text(self) -> str:
        """In a sentence."""
        if self.first_bad is None:
            return f"good up to the highest rate tried, {number(self.last or 0)}/s: no limit found"
        held = f"good up to {number(self.last)}/s" if self.last is not None else "no good rate found"
        share = f" ({self.bad} of {self.runs} runs)" if self.runs > 1 else ""
        return f"{held}; at {number(self.first_bad)}/s: {', '.join(self.reasons)}{share}"

    @property
    def short(self) -> str:
        """In so few words that a phone has room."""
        if self.first_bad is None:
            return f"{number(self.last or 0)}/s, no limit found"
        held = f"{number(self.last)}/s" if self.last is not None else "no good rate"
        return f"{held}, then {self.limiter}"


def rates(result: Result, row: str) -> list[float]:
    """The offered rates at which a row was run, rising."""
    return sorted({run.point for run in result.of(row) if run.point is not None})


def knee(result: Result, row: str) -> Knee | None:
    """None for a row without a sweep."""
    demands = slo.parse(str(result.plan.get("slo") or ""))
    last = None
    for rate in rates(result, row):
        runs = [run for run in result.of(row, rate) if telling(run.flags)] or result.of(row, rate)
        bad = [found for run in runs if (found := list(_against(run, demands)))]
        if bad and any(telling(run.flags) for run in runs):
            limiter, reasons = bad[0][0][0], tuple(reason for _, reason in bad[0])
            return Knee(row, last, rate, limiter, reasons, len(bad), len(runs))
        if not any(run.valid for run in runs):
            return Knee(row, last, rate, "void runs", (f"not known, {words.faults(runs[0])}",))
        last = rate
    return None if last is None else Knee(row, last)


def _against(run: Run, demands: Sequence[Slo]) -> Iterator[tuple[str, str]]:
    """What speaks against a run as a good one: the name of a limit, and a sentence."""
    found = knees.knee([_point(run)], _limits(demands))
    yield from ((found.limiter or "", reason) for reason in found.reasons if found.first_bad is not None)
    if found.first_bad is None and run.limiter is not None:
        yield run.limiter, f"limited by {run.limiter}"
    for demand in demands:
        if not _promise(demand) and demand.holds(run.figures) is False:
            yield demand.text, f"{demand.text} not met"
    yield from (("loss", f"loss: {flag.message}") for flag in run.flags if flag.severity == "loss")


def _point(run: Run) -> Point:
    """A figure that the run does not have breaks no limit."""
    figures = run.figures
    return Point(
        run.point or 0.0,
        figures.get("delivered_share", 1.0),
        figures.get("p99_ms", 0.0),
        figures.get("server_share", 0.0),
        figures.get("client_share", 0.0),
    )


def _limits(demands: Sequence[Slo]) -> Limits:
    """The usual limits, and of latency only what was demanded."""
    return Limits(p99_ms=min((demand.value for demand in demands if _promise(demand)), default=math.inf))


def _promise(demand: Slo) -> bool:
    return demand.figure == "p99_ms" and demand.compare in ("<", "<=")
