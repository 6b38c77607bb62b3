"""stats.py, the ratios, on data with known answers. How often they are right: test_simulated.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics import stats
from bench.statistics.stats import Ratio

Sides = tuple[list[float], list[float]]
FIGURES = st.integers(1, 10_000).map(lambda number: number / 100)
ONE_SIDE = st.lists(FIGURES, min_size=2, max_size=12)
PAIRED = st.integers(1, 12).flatmap(
    lambda pairs: st.tuples(*[st.lists(FIGURES, min_size=pairs, max_size=pairs)] * 2)
)
SEVEN = [1.10, 1.02, 1.07, 1.13, 0.99, 1.05, 1.09]
ONES = [1.0] * 7


def by_bootstrap(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    return stats.bootstrap_t(ours, theirs, seed=42, resamples=199)


RATIOS = pytest.mark.parametrize("method", [stats.paired_ratio, stats.welch_ratio, by_bootstrap])


def logs(ratio: Ratio) -> list[float]:
    """Of the value and of both bounds, if there are any."""
    return [math.log(one) for one in ratio[:3] if one is not None]


# ---- ratios


@RATIOS
def test_a_constant_ratio_has_no_width(method: Callable[..., Ratio]) -> None:
    found = method([2.2] * 5, [2] * 5)
    assert [found.value, found.low, found.high] == pytest.approx([1.1] * 3)
    assert found.differs
    assert method([3, 3], [3, 3]).differs is False


@RATIOS
def test_one_pair_has_no_interval(method: Callable[..., Ratio]) -> None:
    found = method([3], [2])
    assert found.value == pytest.approx(1.5)
    assert found.low is found.high is found.differs is None
    assert "no interval" in stats.in_words(found, "CPU")


@RATIOS
def test_a_figure_without_a_logarithm_is_refused(method: Callable[..., Ratio]) -> None:
    for bad in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"above 0, not {bad}"):
            method([1, bad], [1, 1])


@RATIOS
def test_no_runs_are_refused(method: Callable[..., Ratio]) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        method([], [])


@pytest.mark.parametrize("method", [stats.paired_ratio, by_bootstrap])
def test_a_run_without_its_partner_is_refused(method: Callable[..., Ratio]) -> None:
    with pytest.raises(ValueError, match="not 2 and 1"):
        method([1, 2], [1])


@RATIOS
@settings(max_examples=30)
@given(sides=PAIRED, factor=st.sampled_from([0.001, 0.5, 3, 1000]))
def test_the_unit_does_not_matter(method: Callable[..., Ratio], sides: Sides, factor: float) -> None:
    scaled = [[value * factor for value in side] for side in sides]
    assert logs(method(*scaled)) == pytest.approx(logs(method(*sides)), abs=1e-6)


@RATIOS
@settings(max_examples=30)
@given(sides=PAIRED, factor=st.sampled_from([0.5, 3, 10]))
def test_a_side_that_is_scaled_scales_the_ratio(
    method: Callable[..., Ratio], sides: Sides, factor: float
) -> None:
    ours, theirs = sides
    expected = [one + math.log(factor) for one in logs(method(ours, theirs))]
    assert logs(method([value * factor for value in ours], theirs)) == pytest.approx(expected, abs=1e-6)


@RATIOS
@settings(max_examples=30)
@given(sides=PAIRED)
def test_swapping_the_sides_turns_the_ratio_over(method: Callable[..., Ratio], sides: Sides) -> None:
    value, *bounds = logs(method(*sides))
    expected = [-value, *(-bound for bound in reversed(bounds))]
    assert logs(method(sides[1], sides[0])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("ratio", "basis"),
    [
        (Ratio(1, None, None, 1), "1 pair"),
        (Ratio(1, 1, 1, 7), "7 pairs"),
        (Ratio(1, 1, 1, 0, (7, 5)), "7 and 5 runs"),
    ],
)
def test_what_it_rests_on(ratio: Ratio, basis: str) -> None:
    assert ratio.basis == basis
    assert basis in stats.in_words(ratio, "CPU")


# ---- paired: Student's t


def test_the_interval_by_hand() -> None:
    found = stats.paired_ratio([math.e**0.1, math.e**0.2, math.e**0.3], [1, 1, 1])
    assert math.log(found.value) == pytest.approx(0.2)
    assert math.log(found.high or 0) == pytest.approx(0.2 + 4.30265 * 0.1 / math.sqrt(3))


# ---- unpaired: Welch


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([7.0, 7.0], 7.0, 7.0),
        ([0.0, 2.0, 1.0], 0.0, 2.0),
        ([1.0, math.e], math.exp(0.5 - 12.7062 * 0.5), math.exp(0.5 + 12.7062 * 0.5)),
    ],
)
def test_the_bounds_of_a_mean(values: list[float], low: float, high: float) -> None:
    """Two logarithms of 0 and 1 have a standard error of a half; t with one degree of freedom is 12.7062."""
    assert list(stats.bounds(values)) == pytest.approx([low, high], rel=1e-4)
    assert stats.bounds(values[:1]) == (None, None)


def test_welch_by_hand() -> None:
    a, b = [math.exp(value) for value in (0.1, 0.2, 0.3)], [math.exp(value) for value in (0.0, 0.4, 0.5, 0.7)]
    variances = 0.01 / 3, 0.26 / 3 / 4
    degrees = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 3)
    found = stats.welch_ratio(a, b)
    assert degrees == pytest.approx(27 / 7)
    assert math.log(found.value) == pytest.approx(0.2 - 0.4)
    half = stats.t975(degrees) * math.sqrt(sum(variances))
    assert [math.log(bound or 0) for bound in found[1:3]] == pytest.approx([-0.2 - half, -0.2 + half])
    assert found[3:] == (0, (3, 4))


def test_with_equal_numbers_and_spreads_welch_is_the_pooled_t() -> None:
    half = 2.77645 * math.sqrt(2 * 0.01 / 3)  # four degrees
    found = stats.welch_ratio(
        [math.exp(value) for value in (0.1, 0.2, 0.3)], [math.exp(-0.1), 1, math.exp(0.1)]
    )
    assert math.log(found.high or 0) == pytest.approx(0.2 + half, rel=1e-5)


def test_one_lonely_run_gives_no_interval() -> None:
    assert stats.welch_ratio([2], [1, 1, 1]).differs is None
    assert stats.welch_ratio([1, 1, 1], [2]).differs is None


@given(ONE_SIDE, ONE_SIDE)
def test_welch_needs_no_equal_numbers_and_turns_over(a: list[float], b: list[float]) -> None:
    value, low, high = logs(stats.welch_ratio(a, b))
    assert logs(stats.welch_ratio(b, a)) == pytest.approx([-value, -high, -low], abs=1e-6)
    assert low <= value + 1e-9
    assert value <= high + 1e-9


# ---- paired: bootstrap-t


def test_the_seed_decides() -> None:
    first, again, other = (stats.bootstrap_t(SEVEN, ONES, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first[1:3] == pytest.approx(other[1:3], rel=0.01)


def test_the_two_paired_intervals_are_alike_on_plain_data() -> None:
    ours, theirs = stats.paired_ratio(SEVEN, ONES), stats.bootstrap_t(SEVEN, ONES, seed=1)
    assert theirs.value == pytest.approx(ours.value)
    assert theirs[1:3] == pytest.approx(ours[1:3], rel=0.02)


def test_the_bootstrap_leans_to_the_side_of_the_long_tail() -> None:
    """Logs with one far value: the mean may be too low by more than too high."""
    far = [math.exp(value) for value in (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.3)]
    value, low, high = logs(stats.bootstrap_t(far, [1] * 10, seed=1))
    assert high - value > 2 * (value - low)


@pytest.mark.parametrize("pairs", [2, 3])
def test_two_or_three_pairs_have_too_few_resamples(pairs: int) -> None:
    found = stats.bootstrap_t(SEVEN[:pairs], ONES[:pairs], seed=1)
    assert found.value == pytest.approx(math.prod(SEVEN[:pairs]) ** (1 / pairs))
    assert found.low is found.high is found.differs is None
    assert f"{pairs} pairs: no interval" in stats.in_words(found, "CPU")


def test_from_four_pairs_on_there_is_a_sane_interval() -> None:
    for pairs in range(4, 31):
        ours = [math.exp(0.1 * math.sin(number * number)) for number in range(pairs)]
        value, low, high = logs(stats.bootstrap_t(ours, [1] * pairs, seed=pairs, resamples=999))
        _, student_low, student_high = logs(stats.paired_ratio(ours, [1] * pairs))
        assert low < value < high, pairs
        assert 0.4 < (high - low) / (student_high - student_low) < 2.5, pairs


def test_resamples_that_are_all_of_the_mean_itself_stay_in_the_middle() -> None:
    """In any unit: what rounding leaves of their distance from the mean must not be taken for a direction."""
    theirs = [0.01, 0.01, 1.2, 0.01]
    for unit in (1, 3, 10):
        found = stats.bootstrap_t([0.01 * unit, 0.01 * unit, 0.01 * unit, 1.2 * unit], theirs, seed=42)
        assert found.low is not None


def test_ties_that_leave_most_resamples_without_spread_give_no_interval() -> None:
    assert stats.bootstrap_t([1.1] * 6 + [1.2], ONES, seed=1).low is None


def test_too_few_resamples_are_refused() -> None:
    assert stats.bootstrap_t(SEVEN, ONES, seed=1, resamples=39).low is not None
    with pytest.raises(ValueError, match="at least 39"):
        stats.bootstrap_t(SEVEN, ONES, seed=1, resamples=38)


# ---- words


def test_words() -> None:
    assert "no difference detected" in stats.in_words(Ratio(1.02, 0.97, 1.07, 7), "CPU")
    expected = "CPU: 1.07 x (95 % interval 1.04-1.10, 7 pairs)"
    assert stats.in_words(Ratio(1.07, 1.04, 1.10, 7), "CPU") == expected


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.9, 1.1, "reached"),
        (1.2, 1.4, "missed"),
        (1.0, 1.4, "missed on average, not settled: run more pairs"),
        (0.9, 1.2, "reached on average, not settled: run more pairs"),
        (None, None, "reached by 3 pairs without an interval"),
    ],
)
def test_a_goal_is_judged_as_far_as_the_interval_allows(
    low: float | None, high: float | None, words: str
) -> None:
    value = 1.0 if low is None or high is None else (low + high) / 2
    assert stats.against(Ratio(value, low, high, 3), 1.15, at_most=True) == words
    assert stats.against(Ratio(value, low, high, 3), 0.5, at_most=False).startswith("reached")
