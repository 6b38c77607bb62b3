"""bench/scenarios/outage.py: silence up to the end is no recovery. What runs is in test_scenarios.py."""

from __future__ import annotations

from typing import Any

import pytest

from bench.scenarios import outage
from bench.scenarios.interruption import Interrupted
from bench.serving.publisher import Published

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
