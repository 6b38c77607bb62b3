"""bench/statistics/student.py against the printed table, closed forms, and the area under the density."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.student import SERIES_FROM, t_quantile, tail

# The 97.5 % column of the usual table, for 1 to 30 degrees of freedom.
TABLE = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def test_the_printed_table() -> None:
    printed = {**dict(enumerate(TABLE, 1)), 60: 2.000, 120: 1.980}
    assert {degrees: round(t_quantile(0.975, degrees), 3) for degrees in printed} == printed


@pytest.mark.parametrize(
    ("p", "degrees", "value"), [(0.90, 3, 1.638), (0.95, 5, 2.015), (0.995, 10, 3.169), (0.9995, 20, 3.850)]
)
def test_other_columns_of_the_table(p: float, degrees: int, value: float) -> None:
    assert round(t_quantile(p, degrees), 3) == value


@given(st.floats(0.5, 0.9999))
def test_one_and_two_degrees_have_closed_forms(p: float) -> None:
    assert t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), abs=1e-9, rel=1e-9)
    closed = (2 * p - 1) * math.sqrt(2 / (1 - (2 * p - 1) ** 2))
    assert t_quantile(p, 2) == pytest.approx(closed, abs=1e-9, rel=1e-9)


def area(upper: float, degrees: float, steps: int = 2000) -> float:
    """The density from 0 to `upper`, by Simpson's rule: shares no formula with the module but Student's own."""
    scale: float = math.gamma((degrees + 1) / 2) / math.gamma(degrees / 2) / math.sqrt(degrees * math.pi)
    width = upper / steps
    heights: list[float] = [
        (1 + (step * width) ** 2 / degrees) ** (-(degrees + 1) / 2) for step in range(steps + 1)
    ]
    return (
        scale * width / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))
    )


@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.995])
def test_fractional_degrees_by_the_area_under_the_density(p: float) -> None:
    some = (1.0, 1.37, 2.5, 6.28, 11.9, 47.5, 300.3)
    areas = {degrees: area(t_quantile(p, degrees), degrees) for degrees in some}
    assert areas == pytest.approx(dict.fromkeys(some, p - 0.5), abs=1e-9)


@pytest.mark.parametrize("p", [0.6, 0.975, 0.9995])
def test_the_series_begins_where_the_fraction_ends(p: float) -> None:
    below, at = (t_quantile(p, degrees) for degrees in (SERIES_FROM - 1e-6, SERIES_FROM))
    assert below == pytest.approx(at, rel=1e-7)
    assert t_quantile(p, math.inf) == pytest.approx(NormalDist().inv_cdf(p), rel=1e-12)


@given(st.floats(0.001, 0.999), st.floats(1, 5000))
def test_it_is_symmetrical_and_undone_by_its_tail(p: float, degrees: float) -> None:
    t = t_quantile(p, degrees)
    assert t_quantile(1 - p, degrees) == pytest.approx(-t, abs=1e-9, rel=1e-7)
    if degrees < SERIES_FROM:
        assert tail(abs(t), degrees) == pytest.approx(min(p, 1 - p), rel=1e-9)


def test_more_degrees_need_less_room() -> None:
    quantiles = [t_quantile(0.975, degrees / 10) for degrees in range(10, 12000, 50)]
    assert all(fewer > more for fewer, more in pairwise(quantiles))


@pytest.mark.parametrize(
    ("p", "degrees"), [(0, 5), (1, 5), (1e-12, 5), (math.nan, 5), (0.975, 0.5), (0.975, math.nan)]
)
def test_what_has_no_quantile_is_refused(p: float, degrees: float) -> None:
    with pytest.raises(ValueError, match="degrees >= 1"):
        t_quantile(p, degrees)
