"""system_metrics: rates between two readings, and real figures."""

from __future__ import annotations

import pytest

from dashboard_rt.dashboard.system_metrics import Counters, SystemMetrics, read_counters, resident_bytes


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_rates_between_two_readings() -> None:
    counts = iter([Counters(100, 10, 100, 0), Counters(104, 12, 104, 1_000_000)])
    clock = Clock()
    reader = SystemMetrics(lambda at: next(counts), clock, clock.sleep)
    clock.now = 104.0
    metrics = reader.read()
    assert metrics.cpu == 50.0 and metrics.network == pytest.approx(2.0)


def test_two_readings_are_at_least_the_interval_apart() -> None:
    clock = Clock()
    moments: list[float] = []

    def count(at: float) -> Counters:
        moments.append(at)
        return Counters(at, at, at, 0)

    reader = SystemMetrics(count, clock, clock.sleep)
    reader.read()
    reader.read()
    assert moments == pytest.approx([100.0, 100.2, 100.4])


def test_counters_that_were_reset_give_no_negative_rate() -> None:
    counts = iter([Counters(100, 10, 100, 5000), Counters(104, 10, 104, 0)])
    clock = Clock()
    assert SystemMetrics(lambda at: next(counts), clock, clock.sleep).read().network == 0


def test_real_figures() -> None:
    before, after = read_counters(1.0), read_counters(2.0)
    assert 0 < before.busy < before.total and after.total >= before.total and after.traffic >= 0
    metrics = SystemMetrics(sleep=lambda seconds: None).read()
    assert 0 <= metrics.cpu <= 100 and 0 < metrics.memory <= 100 and 0 < metrics.disk <= 100
    assert metrics.response_time is None
    assert resident_bytes() > 1_000_000
