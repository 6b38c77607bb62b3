"""The statistics of a report: paired ratios, straight lines. Pure; runs are the unit, never deliveries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

# Student's t, 97.5 % quantile, by degrees of freedom from 1; beyond the table the normal one is within 2 %.
_T975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


class Ratio(NamedTuple):
    """A geometric mean of paired ratios; the interval is None for a single pair."""

    value: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def differs(self) -> bool | None:
        """Whether the 95 % interval leaves out 1; None when there is no interval."""
        if self.low is None or self.high is None:
            return None
        return self.low > 1 or self.high < 1


class Line(NamedTuple):
    """A least-squares line; `low` and `high` bound the slope (95 %), None below three points."""

    slope: float
    intercept: float
    low: float | None
    high: float | None


def t975(degrees: int) -> float:
    """The 97.5 % quantile of Student's t."""
    return _T975[degrees - 1] if degrees <= len(_T975) else 1.96


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; values must not be empty."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """How many times `theirs` `ours` is, pair by pair: the t interval of the log ratios, 95 %."""
    logs = [math.log(mine / other) for mine, other in zip(ours, theirs, strict=True)]
    middle = mean(logs)
    if len(logs) < 2:
        return Ratio(math.exp(middle), None, None, len(logs))
    half = t975(len(logs) - 1) * deviation(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(logs))


def line(points: Sequence[tuple[float, float]]) -> Line:
    """The least-squares line through (x, y) points; at least two different x are needed."""
    centre_x, centre_y = mean([x for x, _ in points]), mean([y for _, y in points])
    spread = math.fsum((x - centre_x) ** 2 for x, _ in points)
    if spread == 0:
        raise ValueError("a line needs two different x")
    slope = math.fsum((x - centre_x) * (y - centre_y) for x, y in points) / spread
    intercept = centre_y - slope * centre_x
    if len(points) < 3:
        return Line(slope, intercept, None, None)
    residue = math.fsum((y - intercept - slope * x) ** 2 for x, y in points)
    half = t975(len(points) - 2) * math.sqrt(residue / (len(points) - 2) / spread)
    return Line(slope, intercept, slope - half, slope + half)


def in_words(ratio: Ratio, what: str) -> str:
    """A decision that a reader can quote."""
    if ratio.low is None or ratio.high is None:
        return f"{what}: {ratio.value:.2f} x (one pair: no interval)"
    bounds = f"95 % interval {ratio.low:.2f}-{ratio.high:.2f}, {ratio.pairs} pairs"
    if not ratio.differs:
        return f"{what}: no difference detected ({ratio.value:.2f} x, {bounds})"
    return f"{what}: {ratio.value:.2f} x ({bounds})"


def against(ratio: Ratio, goal: float, at_most: bool) -> str:
    """Whether a goal is reached, as far as the interval allows to say."""

    def good(value: float) -> bool:
        return value <= goal if at_most else value >= goal

    reached = "reached" if good(ratio.value) else "missed"
    if ratio.low is None or ratio.high is None:
        return f"{reached} by the one pair"
    return (
        reached
        if good(ratio.low) == good(ratio.high)
        else f"{reached} on average, not settled: run more pairs"
    )
