"""Whether the figures of one run can all be true at once. Pure; a contradiction voids a run, agreement proves little.

Each check compares figures that were measured in different ways. It finds a figure in the wrong unit, of the wrong
window or of other clients. It cannot find what moves all of them together: a clock that runs slow, or waiting
that was never counted (coordinated omission); against that stands the intended send time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

TOLERANCE = 0.05
ROUNDING = 0.005  # of a histogram with three digits: its mean and its percentiles are rounded differently
PERCENTILES = ("p50", "p90", "p99", "p999", "max")


def littles_law(rate_per_s: float, mean_s: float, in_flight: float) -> float:
    """How many were in flight by Little's law (rate x mean time), divided by how many should have been: 1.

    For a closed loop, where `in_flight` is what the client keeps going (Little 1961: L = lambda W). Below 1, places
    stood empty: the client was slow to begin anew, or the window holds the start or the end of the loop. Above 1,
    durations or ends were counted twice. It cannot say which figure is wrong, and no percentile is checked.
    Raises ValueError without anything in flight.
    """
    if not in_flight > 0:
        raise ValueError(f"Little's law needs something in flight, not {in_flight}")
    return rate_per_s * mean_s / in_flight


def delivered_share(delivered_per_s: float, rate_per_s: float, clients: int) -> float:
    """Deliveries a second divided by what an open loop owes, `rate_per_s` updates to each of `clients`: 1.

    It finds clients that were never counted and a window of the wrong length. It cannot find a loss that a double
    makes up for: that is the ledger's duty. Raises ValueError when nothing was offered.
    """
    if not rate_per_s * clients > 0:
        raise ValueError(f"nothing was offered at {rate_per_s} updates a second to {clients} clients")
    return delivered_per_s / (rate_per_s * clients)


def agrees(share: float, tolerance: float = TOLERANCE) -> bool:
    """Whether a share that should be 1 is; what is no number does not agree."""
    return abs(share - 1) <= tolerance


def contradictions(summary: Mapping[str, Any]) -> Iterator[str]:
    """Sentences for what cannot be in a summary of durations (see Histogram.summary; `min` is 0 where it is missing).

    Percentiles rise; the mean lies between least and most; half of all are at least p50, so the mean is at least
    half of it. It finds series that were mixed up and a blob merged from other runs. It cannot find a series that
    is wrong as a whole.
    """
    if not summary["count"]:
        return
    for lower, upper in pairwise(PERCENTILES):
        if not summary[lower] <= summary[upper]:
            yield f"{lower} {summary[lower]:g} {summary['unit']} is above {upper} {summary[upper]:g}"
    least = max(summary.get("min", 0.0), summary["p50"] / 2)
    if not least * (1 - ROUNDING) <= summary["mean"] <= summary["max"] * (1 + ROUNDING):
        yield f"the mean {summary['mean']:g} {summary['unit']} is not within {least:g} and {summary['max']:g}"
