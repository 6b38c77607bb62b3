"""The knee of a rate sweep: the highest rate that was still good, and what ended it. Pure.

One sweep is one pair: repeat it, and compare the knees as any other figure. A knee is known only to the next rate
of the sweep: the truth lies between `last_good` and `first_bad`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple


class Point(NamedTuple):
    """One rate of a sweep. Rates in updates a second, `delivered_share` of what was offered, CPU shares of one core."""

    offered: float
    delivered_share: float
    p99_ms: float
    server_share: float
    client_share: float


class Limits(NamedTuple):
    """What a good point keeps. `p99_ms` is the promise made to users; above `client_share` the load client measures
    itself, so it is looked at first."""

    p99_ms: float = 100.0
    delivered_share: float = 0.99
    server_share: float = 0.95
    client_share: float = 0.80


LIMITS = Limits()


class Knee(NamedTuple):
    """Where a sweep ended. `last_good` is None when its first rate was bad, `first_bad` when none was.

    `limiter` is "load client", "server CPU", "delivery", "latency", or None when the knee was not reached: the
    first limit of that order that the first bad point broke. `reasons` has a sentence for each.
    """

    last_good: float | None
    first_bad: float | None
    limiter: str | None
    reasons: tuple[str, ...]


def knee(points: Sequence[Point], limits: Limits = LIMITS) -> Knee:
    """The knee of one sweep, its points in rising order of rate.

    A good point above a bad one is told among the reasons: then the knee is not to be trusted.
    Raises ValueError for no points and for points that do not rise.
    """
    _check(points)
    broken = [list(_broken(point, limits)) for point in points]
    first = next((index for index, found in enumerate(broken) if found), None)
    if first is None:
        return Knee(points[-1].offered, None, None, ("not reached: highest rate tried still good",))
    reasons = [sentence for _, sentence in broken[first]]
    again = [point.offered for point, found in zip(points[first:], broken[first:], strict=True) if not found]
    if again:
        reasons.append(f"but {again[-1]:,.6g}/s was good again: repeat the sweep")
    last_good = points[first - 1].offered if first else None
    return Knee(last_good, points[first].offered, broken[first][0][0], tuple(reasons))


def _check(points: Sequence[Point]) -> None:
    if not points:
        raise ValueError("a sweep needs at least one rate")
    for lower, upper in pairwise(points):
        if not lower.offered < upper.offered:
            raise ValueError(
                f"a sweep rises, but {upper.offered:g}/s follows {lower.offered:g}/s: one sweep at a time"
            )


def _broken(point: Point, limits: Limits) -> Iterator[tuple[str, str]]:
    """Each limit that the point broke, and how. Asked as "not good", so that a figure that is no number is bad."""
    if not point.client_share <= limits.client_share:
        yield (
            "load client",
            f"load client {_percent(point.client_share)} of its core (the server may do more)",
        )
    if not point.server_share <= limits.server_share:
        yield "server CPU", f"server CPU {_percent(point.server_share)}"
    if not point.delivered_share >= limits.delivered_share:
        yield "delivery", f"delivered {_below(point.delivered_share, limits.delivered_share)} of offered"
    if not point.p99_ms <= limits.p99_ms:
        yield "latency", f"p99 > {limits.p99_ms:g} ms ({point.p99_ms:,.4g} ms)"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _below(share: float, limit: float) -> str:
    """Two digits, or as many as it takes to see that it is below the limit."""
    return f"{share:.2f}" if share < limit - 0.005 else f"{share:.4f}"
