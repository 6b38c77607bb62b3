"""bench/statistics/stats.py, the straight lines, on data with known answers."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.statistics import stats
from bench.statistics.stats import Line


def test_a_line_through_exact_points() -> None:
    found = stats.line([(0, 10), (1000, 3010), (2000, 6010)])
    assert found == pytest.approx(Line(3, 10, 3, 3, 1))
    assert found.tilted


def test_r2_by_hand() -> None:
    found = stats.line([(0, 0), (1, 2), (2, 1), (3, 3)])
    assert [found.slope, found.r2] == pytest.approx([0.8, 0.64])
    assert found.tilted is False


def test_two_points_have_a_line_and_no_interval() -> None:
    found = stats.line([(0, 1), (2, 5)])
    assert found == Line(2, 1, None, None, None)
    assert found.tilted is None


@pytest.mark.parametrize("level", [0.0, 0.1, 1e9 + 0.1])
def test_level_points_are_level_to_the_last_digit(level: float) -> None:
    found = stats.line([(x, level) for x in (0, 0.1, 0.7, 3)])
    assert found == Line(0, level, 0, 0, None)
    assert found.tilted is False


@pytest.mark.parametrize("points", [[], [(1, 1)], [(1, 1), (1, 2)]])
def test_a_line_needs_two_different_x(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="two different"):
        stats.line(points)


def test_a_line_does_not_depend_on_the_order_of_its_points() -> None:
    points = [(0.0, 1.0), (1.0, 1.5), (2.0, 4.0), (5.0, 5.0)]
    found = [stats.line(order) for order in permutations(points)]
    assert all(one == pytest.approx(found[0]) for one in found)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-100, 100)), min_size=3), st.integers(-1000, 1000))
def test_what_is_added_to_every_y_moves_only_the_intercept(
    points: list[tuple[float, float]], more: int
) -> None:
    assume(len({x for x, _ in points}) > 1)
    before, after = stats.line(points), stats.line([(x, y + more) for x, y in points])
    assert after == pytest.approx(before._replace(intercept=before.intercept + more), abs=1e-6)


# ---- drift


def test_drift_is_per_unit_of_x() -> None:
    samples = [(second / 60, 1000 + 0.5 * second) for second in range(300)]
    found = stats.drift(samples)
    assert found.slope == pytest.approx(30)
    assert found.tilted


def test_a_level_series_does_not_drift() -> None:
    found = stats.drift([(second, 7.3) for second in range(95)])
    assert (found.slope, found.tilted) == (0, False)


def test_few_points_are_taken_as_they_are() -> None:
    points = [(0.0, 1.0), (1.0, 1.5), (2.0, 4.0), (5.0, 5.0)]
    assert stats.drift(points) == stats.line(points)


def test_a_jump_that_lasts_is_a_drift_and_one_that_does_not_is_none() -> None:
    """What a line cannot tell apart: look at the series."""
    assert stats.drift([(second, float(second >= 150)) for second in range(300)]).tilted
    assert not stats.drift([(second, float(140 <= second < 150)) for second in range(300)]).tilted
