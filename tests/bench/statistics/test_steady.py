"""bench/statistics/steady.py: a warm-up that had not ended is seen, and noise is not taken for one."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.steady import halves, is_steady

AMOUNTS = st.lists(st.integers(1, 1000), min_size=2, max_size=60)


def test_known_halves() -> None:
    assert halves([2, 2, 3, 3]) == pytest.approx(1.5)
    assert halves([4, 2]) == pytest.approx(0.5)
    assert halves([2, 2, 99, 4, 4]) == pytest.approx(2), "the middle one belongs to neither"


@pytest.mark.parametrize(("warm", "ratio"), [(6, 1 / 1.2), (1, 30 / 31)])
def test_a_warm_up_is_diluted_by_what_follows(warm: int, ratio: float) -> None:
    assert halves([2.0] * warm + [1.0] * (60 - warm)) == pytest.approx(ratio)


def test_a_warm_up_is_told_from_noise() -> None:
    chance = random.Random(3)
    level = [chance.gauss(10, 1) for _ in range(60)]
    assert is_steady(level)
    assert not is_steady([value * (1 + math.exp(-second / 10)) for second, value in enumerate(level)])
    assert not is_steady([value * (1 + second / 120) for second, value in enumerate(level)])


def test_a_swing_in_both_halves_is_not_seen() -> None:
    assert is_steady([1, 9] * 10)


@given(AMOUNTS, st.integers(1, 1000))
def test_the_unit_does_not_matter_and_time_turned_round_turns_it_over(values: list[int], factor: int) -> None:
    ratio = halves(values)
    assert halves([value * factor for value in values]) == pytest.approx(ratio)
    assert halves(values[::-1]) == pytest.approx(1 / ratio)
    assert is_steady(values) == is_steady(values[::-1])


def test_zeros() -> None:
    assert halves([0, 0]) == 1
    assert halves([0, 1]) == math.inf
    assert not is_steady([0, 1])
    assert not is_steady([1, 0])


@pytest.mark.parametrize("values", [[], [1], [1, -1], [1, math.nan], [math.inf, 1]])
def test_what_has_no_halves_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"two values|0 or more"):
        halves(values)
