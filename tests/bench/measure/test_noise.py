"""bench/measure/noise.py: what is noisy, what is void, and that a real reading makes sense."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench.measure import noise, procfs
from bench.measure.noise import Noise, Reading

QUIET = Reading(spin_cov=0.02, preempted=0.001, jitter_p99_us=150.0, steal_share=0.0, load=0.1)


def test_a_quiet_machine() -> None:
    assert noise.judge([QUIET, QUIET]) == Noise("quiet", 0.02, 0.001, 150.0, 0.0, 0.1, ())


@pytest.mark.parametrize(
    ("changed", "verdict", "reason"),
    [
        ({"spin_cov": 0.2}, "noisy", "equal work varies by 20%"),
        ({"spin_cov": 0.5}, "void", "equal work varies by 50%"),
        ({"preempted": 0.05}, "noisy", "something else ran 5% of the time"),
        ({"preempted": 0.5}, "void", "something else ran 50% of the time"),
        ({"jitter_p99_us": 3000.0}, "noisy", "up to 3000 us late"),
        ({"jitter_p99_us": 30_000.0}, "void", "up to 30000 us late"),
        ({"steal_share": 0.02}, "noisy", "the hypervisor takes 2.0%"),
        ({"steal_share": 0.2}, "void", "the hypervisor takes 20.0%"),
        ({"load": 0.7}, "noisy", "0.70 processes per core"),
        ({"load": 1.5}, "void", "1.50 processes per core"),
    ],
)
def test_each_reading_has_its_limits(changed: dict[str, float], verdict: str, reason: str) -> None:
    found = noise.judge([QUIET, QUIET._replace(**changed)])
    assert found.verdict == verdict
    assert len(found.reasons) == 1 and reason in found.reasons[0]


def test_evenness_is_of_sums_and_not_of_pieces() -> None:
    steady = [500_000] * 400
    assert noise.evenness(steady) == pytest.approx(0)
    one_interrupt_a_period = [500_000 if at % 20 else 900_000 for at in range(400)]
    assert noise.evenness(one_interrupt_a_period) < 0.03
    half_the_time_shared = [500_000] * 200 + [1_000_000] * 200
    assert noise.evenness(half_the_time_shared) > 0.3


def test_a_percentile_is_a_value() -> None:
    assert noise.percentile([3, 1, 2], 99) == 3
    assert noise.percentile(range(100), 50) == 50


@pytest.mark.slow
def test_whoever_wants_to_run_is_seen_at_once() -> None:
    """Not a minute later, as in the load average."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        while procfs.runnable() < 3:
            time.sleep(0.001)
        assert noise.read(None).load >= 1 / (os.cpu_count() or 1)
    finally:
        for one in spinning:
            one.kill()
            one.wait()


def test_a_reading_of_this_machine_leaves_its_cores_alone() -> None:
    allowed = os.sched_getaffinity(0)
    found = noise.gate([min(allowed), max(allowed), None])
    assert os.sched_getaffinity(0) == allowed
    assert found.verdict in ("quiet", "noisy", "void") and found.spin_cov > 0 and found.jitter_p99_us > 0
    assert set(found.to_json()) == {*Noise._fields}
