"""bench/stats.py on data with known answers."""

from __future__ import annotations

import math
import random

import pytest

from bench import stats


def test_a_constant_ratio_has_no_width() -> None:
    found = stats.paired_ratio([2.2, 4.4, 6.6], [2, 4, 6])
    assert found.value == pytest.approx(1.1)
    assert [found.low, found.high] == pytest.approx([1.1, 1.1])
    assert found.differs


def test_one_pair_has_no_interval() -> None:
    found = stats.paired_ratio([3], [2])
    assert found.value == pytest.approx(1.5)
    assert found.low is found.high is found.differs is None
    assert "no interval" in stats.in_words(found, "CPU")


def test_the_interval_by_hand() -> None:
    found = stats.paired_ratio([math.e**0.1, math.e**0.2, math.e**0.3], [1, 1, 1])
    assert math.log(found.value) == pytest.approx(0.2)
    assert math.log(found.high or 0) == pytest.approx(0.2 + 4.303 * 0.1 / math.sqrt(3))


def test_words() -> None:
    assert "no difference detected" in stats.in_words(stats.Ratio(1.02, 0.97, 1.07, 7), "CPU")
    assert (
        stats.in_words(stats.Ratio(1.07, 1.04, 1.10, 7), "CPU")
        == "CPU: 1.07 x (95 % interval 1.04-1.10, 7 pairs)"
    )


def test_a_difference_between_equals_is_claimed_at_most_one_time_in_twenty() -> None:
    chance = random.Random(42)
    runs = [[math.exp(chance.gauss(0, 0.05)) for _ in range(14)] for _ in range(2000)]
    claimed = sum(bool(stats.paired_ratio(run[:7], run[7:]).differs) for run in runs)
    assert claimed / len(runs) == pytest.approx(0.05, abs=0.015)


def test_a_line_through_exact_points() -> None:
    found = stats.line([(0, 10), (1000, 3010), (2000, 6010)])
    assert [found.slope, found.intercept] == pytest.approx([3, 10])
    assert [found.low, found.high] == pytest.approx([3, 3])


def test_a_line_needs_two_different_x() -> None:
    with pytest.raises(ValueError, match="two different"):
        stats.line([(1, 1), (1, 2)])


def test_the_slope_interval_covers_the_truth() -> None:
    chance = random.Random(7)
    covered = 0
    for _ in range(1000):
        found = stats.line([(x, 2 * x + chance.gauss(0, 5)) for x in (0, 10, 20, 50, 100)])
        covered += (found.low or 0) <= 2 <= (found.high or 0)
    assert covered / 1000 == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.9, 1.1, "reached"),
        (1.2, 1.4, "missed"),
        (1.0, 1.4, "missed on average, not settled: run more pairs"),
        (0.9, 1.2, "reached on average, not settled: run more pairs"),
        (None, None, "reached by the one pair"),
    ],
)
def test_a_goal_is_judged_as_far_as_the_interval_allows(
    low: float | None, high: float | None, words: str
) -> None:
    value = 1.0 if low is None or high is None else (low + high) / 2
    assert stats.against(stats.Ratio(value, low, high, 3), 1.15, at_most=True) == words
    assert stats.against(stats.Ratio(value, low, high, 3), 0.5, at_most=False).startswith("reached")
