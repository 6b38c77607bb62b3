"""consistency.py: figures that cannot all be true are found; a simulated loop and a real histogram are not."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics import histogram
from bench.statistics.consistency import agrees, contradictions, delivered_share, littles_law

DURATIONS = st.lists(st.integers(1_000, 50_000_000_000), min_size=1, max_size=200)


def closed_loop(places: int, seconds: float, think: float = 0.0) -> tuple[float, float]:
    """(ends a second, mean duration) of `places` that work without a break but for `think` seconds in between."""
    chance = random.Random(1)
    durations = []
    for _ in range(places):
        now = 0.0
        while now < seconds:
            durations.append(chance.expovariate(20))
            now += durations[-1] + think
    return len(durations) / seconds, sum(durations) / len(durations)


def test_a_closed_loop_keeps_little_s_law() -> None:
    rate, mean = closed_loop(places=64, seconds=20)
    assert littles_law(rate, mean, 64) == pytest.approx(1, abs=0.02)
    assert agrees(littles_law(rate, mean, 64))


@pytest.mark.parametrize("wrong", [0.001, 0.5, 0.9, 1.1, 2, 1000])
def test_a_wrong_unit_or_window_is_found(wrong: float) -> None:
    rate, mean = closed_loop(places=64, seconds=20)
    assert not agrees(littles_law(rate * wrong, mean, 64))
    assert not agrees(littles_law(rate, mean * wrong, 64))


def test_a_client_that_is_slow_to_begin_anew_is_found() -> None:
    rate, mean = closed_loop(places=64, seconds=20, think=0.05)
    assert littles_law(rate, mean, 64) == pytest.approx(0.5, abs=0.05)


def test_a_clock_that_runs_slow_for_all_is_not_found() -> None:
    rate, mean = closed_loop(places=64, seconds=20)
    assert agrees(littles_law(rate * 2, mean / 2, 64))


def test_an_open_loop_delivers_what_it_owes() -> None:
    assert delivered_share(20_000, rate_per_s=20, clients=1000) == 1
    assert not agrees(delivered_share(20_000, rate_per_s=20, clients=1100)), "some clients were never counted"


def test_what_is_no_number_does_not_agree() -> None:
    assert not agrees(float("nan"))


def test_the_tolerance_is_the_caller_s() -> None:
    assert agrees(1.08, tolerance=0.1)
    assert not agrees(1.08)


@pytest.mark.parametrize("nothing", [0, -1])
def test_nothing_to_hold_it_against_is_refused(nothing: int) -> None:
    with pytest.raises(ValueError, match="in flight"):
        littles_law(10, 0.1, nothing)
    with pytest.raises(ValueError, match="nothing was offered"):
        delivered_share(10, nothing, 5)


@settings(max_examples=25)  # a histogram is slow to encode
@given(DURATIONS)
def test_a_real_histogram_has_no_contradictions(durations: list[int]) -> None:
    assert not list(contradictions(histogram.of(durations).summary()))


def test_an_empty_histogram_has_none_either() -> None:
    assert not list(contradictions(histogram.of([]).summary()))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"p50": 7.0}, "p50 7 ms is above p90 2"),
        ({"p999": 9.0}, "p999 9 ms is above max 5"),
        ({"p99": float("nan")}, "p90 2 ms is above p99 nan"),
        ({"mean": 6.0}, "the mean 6 ms is not within 0.5 and 5"),
        ({"mean": 0.4}, "the mean 0.4 ms is not within 0.5 and 5"),
        ({"min": 1.5}, "the mean 1.2 ms is not within 1.5 and 5"),
    ],
)
def test_each_contradiction_is_a_sentence(changed: dict[str, Any], sentence: str) -> None:
    fine = {
        "unit": "ms",
        "count": 9,
        "mean": 1.2,
        "p50": 1.0,
        "p90": 2.0,
        "p99": 3.0,
        "p999": 4.0,
        "max": 5.0,
    }
    assert not list(contradictions(fine))
    assert sentence in list(contradictions({**fine, **changed}))
