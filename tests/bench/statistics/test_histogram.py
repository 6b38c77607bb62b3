"""bench/statistics/histogram.py: merged histograms say what one histogram of everything would."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import Environment
from bench.statistics import histogram
from bench.statistics.histogram import Histogram


def test_percentiles_are_within_three_digits() -> None:
    found = histogram.of(range(1_000_000, 101_000_000, 1_000_000))
    assert found.count == 100
    assert found.at(50) == pytest.approx(50, rel=0.001)
    assert found.at(99) == pytest.approx(99, rel=0.001)
    assert found.summary()["max"] == pytest.approx(100, rel=0.001)


def test_merging_loses_nothing() -> None:
    chance = random.Random(1)
    shards = [[int(chance.expovariate(1 / 5e6)) for _ in range(1000)] for _ in range(4)]
    whole = histogram.of(value for shard in shards for value in shard)
    merged = histogram.merged(histogram.of(shard).summary() for shard in shards)
    assert {**merged.summary(), "hdr": ""} == {**whole.summary(), "hdr": ""}


def test_a_blob_comes_back_whole() -> None:
    first = histogram.of([1_000_000, 2_000_000, 3_000_000])
    assert Histogram.decode(first.encode()).summary() == first.summary()


@pytest.mark.parametrize("blob", ["", "x", "HISTFAAA", "\u20ac", "AAAA" * 20])
def test_a_damaged_blob_is_refused(blob: str) -> None:
    with pytest.raises(Environment, match="a histogram in it cannot be read"):
        Histogram.decode(blob)


def test_negative_durations_are_counted_apart_and_survive_a_merge() -> None:
    found = histogram.of([-1, -5_000_000, 1_000_000])
    assert (found.count, found.negative) == (1, 2)
    assert histogram.merged([found.summary(), found.summary()]).negative == 4


def test_an_empty_one_has_no_percentiles_and_no_errors() -> None:
    assert Histogram().summary()["p99"] == 0
    assert histogram.merged([Histogram().summary()]).count == 0


def test_what_is_out_of_range_stays_countable() -> None:
    assert histogram.of([0, 3_600_000_000_000]).count == 2


@settings(max_examples=10)  # the library's own mean is slow
@given(st.lists(st.integers(0, 70_000_000_000), min_size=1, max_size=40))
def test_the_mean_is_the_librarys(values: list[int]) -> None:
    made = histogram.of(values)
    assert made.mean() == pytest.approx(made._inner.get_mean_value() / 1000)
    assert Histogram.decode(made.encode()).mean() == pytest.approx(made.mean())
