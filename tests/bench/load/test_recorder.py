"""bench/load/recorder.py: nothing is lost on the way from raw durations to counts, however they come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load import recorder
from bench.load.recorder import Recent, Recorder
from bench.statistics import histogram


def filled(values: list[int]) -> Recorder:
    found = Recorder()
    for value in values:
        found.append(value)
    return found


@given(st.lists(st.integers(-5_000_000, 90_000_000_000), max_size=60), st.integers(0, 60))
def test_it_says_what_a_histogram_of_all_values_says(values: list[int], fold_after: int) -> None:
    found = Recorder()
    for number, value in enumerate(values):
        found.append(value)
        if number == fold_after:
            found.fold()
    assert len(found) == len(values)
    assert found.histogram().summary() == histogram.of(values).summary()


def test_slices_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "SLICE", 10)
    found = filled(list(range(25)))
    assert [found.fold() for _ in range(4)] == [True, True, True, False]
    assert found.counts.total() == 25


def test_raw_values_are_let_go_and_still_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "KEPT", 100)
    found = Recorder()
    for value in range(1000):
        found.append(value * 1000)
        if value % 50 == 49:
            found.fold()
    assert len(found.raw) <= 150
    assert len(found) == 1000
    assert found.histogram().count == 1000


def test_recent_is_of_what_came_since_the_last_time() -> None:
    found, chance = filled([1_000_000] * 50), random.Random(1)
    assert found.recent(chance) == Recent(1.0, 1.0)
    assert found.recent(chance) == Recent(None, None)
    for value in [2_000_000] * 50 + [9_000_000] * 50:
        found.append(value)
    recent = found.recent(chance)
    assert recent.p50_ms in (2.0, 9.0)
    assert recent.p99_ms == 9.0
    assert len(found) == 150
