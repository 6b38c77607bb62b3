"""bench/scenarios/outage.py: silence up to the end is no recovery. What runs is in test_scenarios.py."""

from __future__ import annotations

from typing import Any

import pytest

from bench.scenarios import outage
from bench.scenarios.interruption import Interrupted
from bench.serving.publisher import Published
from bench.statistics import histogram

SECOND = 1_000_000_000
DID = {"killed_ns": 10 * SECOND, "back_ns": 13 * SECOND}


def found(**report: Any) -> Interrupted:
    silent = max(0, 20 * SECOND - report["last_ns"])
    return Interrupted(DID, report, Published(), None, {}, silent)


def test_the_longest_silence_less_the_time_away_is_what_recovery_took() -> None:
    figures = outage.figures(found(gap_ns=4 * SECOND, last_ns=20 * SECOND))
    assert figures == {"stalled_seconds": 4.0, "recovered_seconds": pytest.approx(1.0)}


def test_a_server_that_stays_silent_has_not_recovered() -> None:
    silent = found(gap_ns=SECOND // 20, last_ns=10 * SECOND)
    assert outage.figures(silent) == {"stalled_seconds": 10.0}
    assert not outage.recovered(silent)


def test_latencies_are_told_by_the_moment_of_sending() -> None:
    """Before the service was killed, while it was away, and after its return."""
    slots = {"98": ms(2), "105": ms(900), "131": ms(7)}
    report = {"gap_ns": 0, "last_ns": 20 * SECOND, "timeline": slots}
    found = outage.latencies(Interrupted(DID, report, Published(), None, {}, 0))
    assert {name: round(value) for name, value in found.items() if name.endswith("p50_ms")} == {
        "before_p50_ms": 2,
        "away_p50_ms": 900,
        "after_p50_ms": 7,
    }


def test_a_time_in_which_nothing_was_sent_has_no_latency() -> None:
    report = {"gap_ns": 0, "last_ns": 20 * SECOND, "timeline": {"131": ms(7)}}
    found = outage.latencies(Interrupted(DID, report, Published(), None, {}, 0))
    assert set(found) == {"after_p50_ms", "after_max_ms"}


def ms(value: int) -> dict[str, Any]:
    return histogram.of([value * 1_000_000]).summary()
