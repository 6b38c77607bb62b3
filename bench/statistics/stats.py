"""The statistics of a report: ratios of runs, straight lines. Pure; runs are the unit, never deliveries.

All intervals are 95 %. Ratios are judged on their logarithms: twice and half are then equally far from 1, and
swapping the two sides says the same thing the other way round.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from operator import mul
from typing import NamedTuple

from bench.statistics.student import t_quantile

RESAMPLES = 4000
DRIFT_BLOCKS = 10
TINY = 1e-12  # a spread or share below this is the rounding of doubles, not a difference
WIDEST = math.log(1e6)  # a bound a million times away from the ratio bounds nothing


class Ratio(NamedTuple):
    """A geometric mean of ratios; the interval is None where the runs are too few for one.

    `pairs` is 0 when the two sides were not paired; `groups` then holds how many runs each had.
    """

    value: float
    low: float | None
    high: float | None
    pairs: int
    groups: tuple[int, int] | None = None

    @property
    def differs(self) -> bool | None:
        """Whether the interval leaves out 1; None when there is no interval."""
        if self.low is None or self.high is None:
            return None
        return self.low > 1 or self.high < 1

    @property
    def basis(self) -> str:
        """What it rests on: "7 pairs", "1 pair", "7 and 5 runs"."""
        if self.groups is not None:
            return f"{self.groups[0]} and {self.groups[1]} runs"
        return f"{self.pairs} pair{'' if self.pairs == 1 else 's'}"


class Line(NamedTuple):
    """A least-squares line; `low` and `high` bound the slope. Below three points these two and `r2` are None.

    `r2` is the share of the spread of y that the line explains; None too when all y are equal.
    """

    slope: float
    intercept: float
    low: float | None
    high: float | None
    r2: float | None = None

    @property
    def tilted(self) -> bool | None:
        """Whether the slope's interval leaves out 0; None when there is no interval."""
        if self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0


def t975(degrees: float) -> float:
    """The 97.5 % quantile of Student's t."""
    return t_quantile(0.975, degrees)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; values must not be empty."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def bounds(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The interval that belongs to the mean of some runs: the t interval of their logarithms, so that nothing above 0
    is bounded by less than 0. Values of which one is not above 0 are bounded by the least and the greatest; a single
    one has no interval."""
    if len(values) < 2:
        return None, None
    if min(values) == max(values) or min(values) <= 0:
        return min(values), max(values)
    spread = paired_ratio(values, [1.0] * len(values))
    return spread.low, spread.high


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """How many times `theirs` `ours` is, pair by pair: the t interval of the log ratios.

    What a pair has in common (a warm machine, a busy minute) drops out. Between equals it claims a difference one
    time in twenty; with heavy-tailed noise more rarely, and it overlooks more; with lopsided noise on one side
    alone about twice as often. Raises ValueError for figures that are not above 0 and for sides of unequal length.
    """
    logs = _log_ratios(ours, theirs)
    middle = mean(logs)
    if len(logs) < 2:
        return Ratio(math.exp(middle), None, None, len(logs))
    half = t975(len(logs) - 1) * deviation(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(logs))


def welch_ratio(a: Sequence[float], b: Sequence[float]) -> Ratio:
    """How many times `b` `a` is when their runs were not paired, as of two result files: Welch's t on the logs.

    The two may differ in spread and in number; one run on either side gives no interval (Welch 1947). It cannot
    tell a slower server from a slower day: only pairs can. Raises ValueError for figures that are not above 0.
    """
    sides = _logs(a), _logs(b)
    middle, groups = mean(sides[0]) - mean(sides[1]), (len(a), len(b))
    if min(groups) < 2:
        return Ratio(math.exp(middle), None, None, 0, groups)
    errors = [deviation(side) ** 2 / len(side) for side in sides]
    half = 0.0
    if sum(errors) > 0:
        parts = [error**2 / (len(side) - 1) for error, side in zip(errors, sides, strict=True)]
        half = t975(sum(errors) ** 2 / sum(parts)) * math.sqrt(sum(errors))
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), 0, groups)


def bootstrap_t(
    ours: Sequence[float], theirs: Sequence[float], *, seed: int, resamples: int = RESAMPLES
) -> Ratio:
    """`paired_ratio` with the quantiles of its own resamples in place of Student's (Efron & Tibshirani 1993, 12.5).

    A second opinion, never the only one. Simulated between equals, it claims a difference one time in twenty; with
    lopsided noise on one side one in fifteen, where paired_ratio does one in ten; but with heavy tails on both
    sides, where paired_ratio is careful, it goes from one in twenty (7 pairs) to one in nine (30 pairs).

    A resample of equal values has no spread, so its t lies at infinity; where so many do that a bound lies there
    too, there is no interval: always with 2 or 3 pairs. Raises ValueError as paired_ratio does.
    """
    logs = _log_ratios(ours, theirs)
    middle, spread, count = mean(logs), deviation(logs), len(logs)
    if count < 2:
        return Ratio(math.exp(middle), None, None, count)
    if spread < TINY:
        return Ratio(math.exp(middle), math.exp(middle), math.exp(middle), count)
    least, most = _resampled([(log - middle) / spread for log in logs], random.Random(seed), resamples)
    below, above = (bound * spread / math.sqrt(count) for bound in (most, -least))
    if max(abs(below), abs(above)) > WIDEST:
        return Ratio(math.exp(middle), None, None, count)
    return Ratio(math.exp(middle), math.exp(middle - below), math.exp(middle + above), count)


def _resampled(scores: Sequence[float], chance: random.Random, resamples: int) -> tuple[float, float]:
    """The 2.5 % and the 97.5 % quantile of t over resamples of `scores`, which have mean 0 and deviation 1."""
    rank = int((resamples + 1) * 0.025)
    if rank < 1:
        raise ValueError(f"a 95 % interval needs at least 39 resamples, not {resamples}")
    found = sorted(_t(chance.choices(scores, k=len(scores))) for _ in range(resamples))
    return found[rank - 1], found[-rank]


def _t(sample: Sequence[float]) -> float:
    """Student's t of a sample, against mean 0."""
    total = sum(sample)
    variance = (sum(map(mul, sample, sample)) - total * total / len(sample)) / (len(sample) - 1)
    if variance < TINY:
        return math.copysign(math.inf, total) if abs(total) > TINY else 0.0
    return total / math.sqrt(len(sample) * variance)


def _log_ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    if len(ours) != len(theirs):
        raise ValueError(f"pairs need equally many runs on both sides, not {len(ours)} and {len(theirs)}")
    return [mine - other for mine, other in zip(_logs(ours), _logs(theirs), strict=True)]


def _logs(values: Sequence[float]) -> list[float]:
    if not values:
        raise ValueError("a ratio needs at least one run on each side")
    for value in values:
        if not 0 < value < math.inf:
            raise ValueError(f"a ratio needs figures above 0, not {value}: leave such runs out and say so")
    return [math.log(value) for value in values]


def line(points: Sequence[tuple[float, float]]) -> Line:
    """The least-squares line through (x, y) points; raises ValueError without two different x.

    The interval takes the points for independent. Samples of one run, a second apart, are not: see drift.
    """
    if len({x for x, _ in points}) < 2:
        raise ValueError("a line needs two different x")
    base = points[0][1]  # taken off first, so that equal y leave no rounding behind
    centre_x, centre_y = mean([x for x, _ in points]), mean([y - base for _, y in points])
    away = [(x - centre_x, y - base - centre_y) for x, y in points]
    spread = math.fsum(x * x for x, _ in away)
    slope = math.fsum(x * y for x, y in away) / spread
    intercept = base + centre_y - slope * centre_x
    if len(points) < 3:
        return Line(slope, intercept, None, None)
    residue = math.fsum((y - slope * x) ** 2 for x, y in away)
    whole = math.fsum(y * y for _, y in away)
    half = t975(len(points) - 2) * math.sqrt(residue / (len(points) - 2) / spread)
    return Line(slope, intercept, slope - half, slope + half, 1 - residue / whole if whole else None)


def drift(points: Sequence[tuple[float, float]], blocks: int = DRIFT_BLOCKS) -> Line:
    """The line through the means of `blocks` equal parts of one run's (x, y) samples, which are in order of x.

    `slope` is per unit of x and `tilted` says whether its interval leaves out 0. Why blocks: a sample resembles the
    one before, and a line through all of them is far too sure. Where neighbours correlate by 0.8 it claims a drift
    in half of all level series; ten blocks of 30 samples each do so in one of sixteen, of 6 samples in one of six:
    a soak of less than five minutes settles little. Raises ValueError as line does.
    """
    if len(points) <= blocks:
        return line(points)
    base = points[0][1]  # as in line
    edges = [number * len(points) // blocks for number in range(blocks + 1)]
    parts = [points[start:end] for start, end in pairwise(edges)]
    return line([(mean([x for x, _ in part]), base + mean([y - base for _, y in part])) for part in parts])


def in_words(ratio: Ratio, what: str) -> str:
    """A ratio and its bounds for a table; for a sentence see decision.py."""
    if ratio.low is None or ratio.high is None:
        return f"{what}: {ratio.value:.2f} x ({ratio.basis}: no interval)"
    bounds = f"95 % interval {ratio.low:.2f}-{ratio.high:.2f}, {ratio.basis}"
    if not ratio.differs:
        return f"{what}: no difference detected ({ratio.value:.2f} x, {bounds})"
    return f"{what}: {ratio.value:.2f} x ({bounds})"


def against(ratio: Ratio, goal: float, at_most: bool) -> str:
    """Whether a goal is reached, as far as the interval allows to say."""

    def good(value: float) -> bool:
        return value <= goal if at_most else value >= goal

    reached = "reached" if good(ratio.value) else "missed"
    if ratio.low is None or ratio.high is None:
        return f"{reached} by {ratio.basis} without an interval"
    return (
        reached
        if good(ratio.low) == good(ratio.high)
        else f"{reached} on average, not settled: run more pairs"
    )
