"""Whether a run had settled when it was measured: its first half against its second. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.statistics.stats import mean

TOLERANCE = 0.10


def halves(values: Sequence[float]) -> float:
    """The mean of the second half of per-second values divided by that of the first; of an odd number the middle
    one is left out.

    A server that still warms up (caches, heap, a slow-starting connection) gives a ratio away from 1. Short
    warm-ups are diluted: one that costs twice as much for the first tenth moves the ratio by 17 %, for the first
    fiftieth by 4 %. It cannot see a swing that both halves share, and one outlier looks like a warm-up: draw the
    series before you believe it. All zero is 1, a first half of zeros infinite.
    Raises ValueError for fewer than two values, and for one that is negative or no number.
    """
    if len(values) < 2:
        raise ValueError("two halves need at least two values: measure for longer")
    for value in values:
        if not 0 <= value < math.inf:
            raise ValueError(f"halves compares amounts of 0 or more, not {value}")
    middle = len(values) // 2
    first, second = mean(values[:middle]), mean(values[-middle:])
    if first == 0:
        return 1.0 if second == 0 else math.inf
    return second / first


def is_steady(values: Sequence[float], tolerance: float = TOLERANCE) -> bool:
    """Whether neither half is more than `tolerance` above the other; raises ValueError as halves does."""
    ratio = halves(values)
    return 1 / (1 + tolerance) <= ratio <= 1 + tolerance
