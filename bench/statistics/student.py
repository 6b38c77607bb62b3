"""Student's t: how far a mean of few runs may stray. Pure; knows nothing of runs.

Why not a table: Welch's comparison asks for degrees of freedom that are no whole number.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

SERIES_FROM = 1000  # degrees; from here on a short series is right to seven digits
FRACTION_TERMS = 40
RAREST = 1e-9  # a tail that no interval of ours looks into; far beyond it t has no double


@lru_cache(maxsize=4096)
def t_quantile(p: float, degrees: float) -> float:
    """The value that a share `p` of Student's t lies below; `degrees` of freedom may be fractional, or infinite.

    Right to six digits or more. Raises ValueError for a p within 1e-9 of 0 or 1, and for fewer degrees than 1.
    """
    if not (RAREST <= p <= 1 - RAREST and degrees >= 1):
        raise ValueError(
            f"t needs p between 1e-9 and 1 - 1e-9 and degrees >= 1, not p={p}, degrees={degrees}"
        )
    upper = min(p, 1 - p)
    start = -NormalDist().inv_cdf(upper)
    found = _series(start, degrees) if degrees >= SERIES_FROM else _root(upper, degrees, start)
    return found if p > 0.5 else -found


def _series(z: float, degrees: float) -> float:
    """t from the normal quantile z, for many degrees (Abramowitz & Stegun 26.7.5)."""
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def _root(upper: float, degrees: float, start: float) -> float:
    """Newton's way from the normal quantile up to t. The tail falls and is convex, so no step goes too far."""
    t = start
    while True:
        step = (tail(t, degrees) - upper) / _density(t, degrees)
        t += step
        if step <= 1e-12 * t:
            return t


def tail(t: float, degrees: float) -> float:
    """The share of Student's t above `t`, for t >= 0 (Abramowitz & Stegun 26.7.1)."""
    whole = degrees + t * t
    return _beta(degrees / 2, 0.5, degrees / whole, t * t / whole) / 2


def _density(t: float, degrees: float) -> float:
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    return math.exp(scale - (degrees + 1) / 2 * math.log1p(t * t / degrees)) / math.sqrt(degrees * math.pi)


def _beta(a: float, b: float, x: float, rest: float) -> float:
    """The regularised incomplete beta function of x by its continued fraction (DLMF 8.17.22), from the last term back.
    `rest` is 1 - x, handed in because it has lost its digits once x is near 1."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(b, a, rest, x)  # the fraction is quick on this side only
    if x == 0:
        return 0.0
    fraction = 1.0
    for m in range(FRACTION_TERMS, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    fraction = 1 - (a + b) * x / (a + 1) / fraction
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(scale + a * math.log(x) + b * math.log(rest)) / (a * fraction)
