"""Sums, percentiles and exit codes."""

from __future__ import annotations

import math

import pytest

from dashboard_rt.client.failures import Failed, Why
from dashboard_rt.client.ledger import Ledger
from dashboard_rt.client.nouns import Heard, Moment, Timing, What
from dashboard_rt.client.tally import Tally, exit_code, percentile, plural, spread, summary
from dashboard_rt.types import Position, Verdict


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentile([3, 1, 2, 4], 50) == 2
    assert percentile(range(1, 101), 95) == 95
    assert percentile([7], 95) == 7
    assert math.isnan(percentile([], 50))


def test_spread_says_when_a_step_never_happened() -> None:
    timing = Timing()
    timing.marks[Moment.HEAD] = 0.002
    assert spread([timing, Timing()], Moment.HEAD) == "p50 2.0 ms, p95 2.0 ms, max 2.0 ms"
    assert spread([timing], Moment.CONNECT) == "never"


@pytest.mark.parametrize(
    ("tally", "signal_number", "code"),
    [
        (Tally(reached=2), None, 0),
        (Tally(reached=2), 2, 130),
        (Tally(reached=2), 15, 143),
        (Tally(reached=1), 2, 1),
        (Tally(reached=2, lost=1), None, 1),
        (Tally(reached=2, doubled=1), 2, 1),
        (Tally(reached=2, gave_up=1), None, 1),
        (Tally(reached=2, away=1), 2, 1),
    ],
)
def test_exit_codes(tally: Tally, signal_number: int | None, code: int) -> None:
    assert exit_code(tally, 2, signal_number) == code


def test_the_summary_has_every_figure() -> None:
    tally, ledger = Tally(reached=1, reconnects=1), Ledger()
    for heard in (
        Heard(What.VERDICT, "", Position("e", 1), verdict=Verdict.GAP, missed=4),
        Heard(What.UPDATE, "", Position("e", 3)),
        Heard(What.UPDATE, "", Position("e", 3)),
        Heard(What.UPDATE, ""),
        Heard(What.HEARTBEAT, "", Position("e", 3)),
    ):
        tally.hear(heard)
        tally.check(ledger, heard)
    tally.hear(Heard(What.GOODBYE, ""), "full")
    tally.fail(Failed(Why.DROPPED, "It broke."))
    text = summary(tally, 2, 2.0)
    for part in (
        "1 of 2 reached the stream, 1 reconnect,",
        "gap 1",
        "3 (1.5/s)",
        "lost 1, doubled 1, missed as announced 4",
        "NOT CHECKED 1",
        "full 1",
        "dropped 1",
        "1 x It broke.",
    ):
        assert part in text


def test_plural() -> None:
    assert (plural(1, "client"), plural(2, "client")) == ("1 client", "2 clients")


def test_where_nothing_was_heard_the_summary_is_short() -> None:
    tally = Tally(gave_up=1)
    tally.fail(Failed(Why.UNREACHABLE, "Nobody there."))
    assert summary(tally, 1, 1.0).splitlines()[1:] == [
        "  clients       0 of 1 reached the stream, 0 reconnects, 1 gave up, 0 away at the end",
        "  failures      unreachable 1",
    ]
