"""The check of positions, the totals, percentiles, exit codes and the text of the summary."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator

import orjson
import pytest

from dashboard_rt.client import report
from dashboard_rt.client.connection import (
    Event,
    EventKind,
    OpenConnection,
    ResponseHead,
    Step,
    Timing,
    TransportName,
)
from dashboard_rt.client.failures import ConnectionFailed, FailureReason
from dashboard_rt.client.report import (
    Printer,
    RunStats,
    SequenceChecker,
    exit_code,
    format_step,
    format_summary,
    percentile,
    plural,
)
from dashboard_rt.client.terminal import display_width
from dashboard_rt.types import Position, Verdict

# ---- SequenceChecker


def at(number: int, epoch: str = "e") -> Position:
    return Position(epoch, number)


def checker_at(number: int) -> SequenceChecker:
    checker = SequenceChecker()
    assert checker.check_verdict(Verdict.FRESH, at(number), None) is None
    return checker


def counts(checker: SequenceChecker) -> tuple[int, int, int]:
    return checker.lost, checker.doubled, checker.missed


def test_contiguous_ids_are_no_fault() -> None:
    checker = checker_at(4)
    assert [checker.check_update(at(n)) for n in (5, 6, 7)] == [None] * 3
    assert counts(checker) == (0, 0, 0)
    assert checker.position == at(7)


def test_skipped_ids_are_lost() -> None:
    checker = checker_at(4)
    assert "LOST 2" in (checker.check_update(at(7)) or "")
    assert checker.check_update(at(8)) is None
    assert counts(checker) == (2, 0, 0)


def test_a_repeated_id_is_doubled_and_leaves_the_position() -> None:
    checker = checker_at(4)
    checker.check_update(at(5))
    assert "DOUBLED" in (checker.check_update(at(5)) or "")
    assert checker.check_update(at(6)) is None
    assert counts(checker) == (0, 1, 0)


def test_a_heartbeat_ahead_of_the_position_is_a_loss() -> None:
    checker = checker_at(4)
    assert checker.check_reached(at(4)) is None
    assert "LOST 1" in (checker.check_reached(at(5)) or "")


def test_an_announced_gap_is_no_fault() -> None:
    checker = checker_at(4)
    assert checker.check_verdict(Verdict.GAP, at(20), 16) is None
    assert checker.check_update(at(21)) is None
    assert counts(checker) == (0, 0, 16)


def test_recovered_must_continue_at_the_position() -> None:
    checker = checker_at(4)
    assert checker.check_verdict(Verdict.RECOVERED, at(4), None) is None
    assert "LOST 1" in (checker.check_verdict(Verdict.RECOVERED, at(5), None) or "")
    assert SequenceChecker(at(9)).check_verdict(Verdict.RECOVERED, at(9), None) is None


def test_another_epoch_without_a_gap_is_a_loss() -> None:
    checker = checker_at(4)
    assert "another epoch" in (checker.check_update(at(5, "new")) or "")
    assert checker.check_update(at(6, "new")) is None
    assert counts(checker) == (1, 0, 0)


def test_updates_without_a_position_are_unchecked() -> None:
    checker = SequenceChecker()
    assert checker.check_update(None) is None
    assert (checker.unchecked, checker.position) == (1, None)
    assert checker.check_update(at(3)) is None
    assert counts(checker) == (0, 0, 0)


# ---- statistics and text


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentile([3, 1, 2, 4], 50) == 2
    assert percentile(range(1, 101), 95) == 95
    assert percentile([7], 95) == 7
    assert math.isnan(percentile([], 50))


def test_a_step_that_never_happened_is_printed_as_never() -> None:
    timing = Timing()
    timing.marks[Step.HEAD] = 0.002
    assert format_step([timing, Timing()], Step.HEAD) == "p50 2.0 ms, p95 2.0 ms, max 2.0 ms"
    assert format_step([timing], Step.CONNECT) == "never"


@pytest.mark.parametrize(
    ("stats", "signal_number", "code"),
    [
        (RunStats(reached=2), None, 0),
        (RunStats(reached=2), 2, 130),
        (RunStats(reached=2), 15, 143),
        (RunStats(reached=1), 2, 1),
        (RunStats(reached=2, lost=1), None, 1),
        (RunStats(reached=2, doubled=1), 2, 1),
        (RunStats(reached=2, gave_up=1), None, 1),
        (RunStats(reached=2, away=1), 2, 1),
    ],
)
def test_exit_codes(stats: RunStats, signal_number: int | None, code: int) -> None:
    assert exit_code(stats, 2, signal_number) == code


def test_the_summary_has_every_figure() -> None:
    stats, checker = RunStats(reached=1, reconnects=1), SequenceChecker()
    for event in (
        Event(EventKind.VERDICT, "", at(1), verdict=Verdict.GAP, missed=4),
        Event(EventKind.UPDATE, "", at(3)),
        Event(EventKind.UPDATE, "", at(3)),
        Event(EventKind.UPDATE, ""),
        Event(EventKind.HEARTBEAT, "", at(3)),
        Event(EventKind.GOODBYE, '{"reason":"full"}'),
    ):
        stats.record_event(event, checker)
    stats.record_failure(ConnectionFailed(FailureReason.DROPPED, "It broke."))
    text = format_summary(stats, 2, 2.0)
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


def test_the_summary_of_a_run_that_received_nothing_is_short() -> None:
    stats = RunStats(gave_up=1)
    stats.record_failure(ConnectionFailed(FailureReason.UNREACHABLE, "Nobody there."))
    assert format_summary(stats, 1, 1.0).splitlines()[1:] == [
        "  clients       0 of 1 reached the stream, 0 reconnects, 1 gave up, 0 away at the end",
        "  failures      unreachable 1",
    ]


def test_a_goodbye_without_a_reason_is_counted_as_such() -> None:
    stats = RunStats()
    for text in ("{}", '{"reason":null}', "not JSON"):
        stats.record_event(Event(EventKind.GOODBYE, text), SequenceChecker())
    assert stats.goodbyes == {"no reason": 3}


# ---- what strangers wrote


STRANGE = "a\x1b[2J\x9b31m\u202e\n日本"
SHOWN = r"a\u001b[2J\u009b31m\u202e\u000a日本"


def test_what_strangers_wrote_is_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(clients=1, debug=True)
    head = ResponseHead(200, "HTTP/1.1", {"via": STRANGE}, subprotocol=STRANGE)
    printer.connected(1, OpenConnection(TransportName.CABLE, Timing(), head, nothing()))
    for kind in EventKind:
        printer.received(1, Event(kind, STRANGE, Position(STRANGE, 1)), fault=STRANGE)
    printer.failed(1, ConnectionFailed(FailureReason.DROPPED, STRANGE))
    printer.waiting(1, 1.0, Position(STRANGE, 1))
    out, err = capsys.readouterr()
    lines = (out + err).splitlines()
    assert len(lines) == 2 + 2 * len(EventKind) + 2
    assert all(SHOWN in line and line.isprintable() for line in lines)


async def nothing() -> AsyncGenerator[Event, None]:
    """No events."""
    for event in list[Event]():
        yield event


def test_the_summary_has_no_line_of_a_stranger() -> None:
    stats = RunStats(reached=1)
    stats.record_event(
        Event(EventKind.GOODBYE, orjson.dumps({"reason": STRANGE}).decode()), SequenceChecker()
    )
    stats.record_failure(ConnectionFailed(FailureReason.DROPPED, STRANGE))
    lines = format_summary(stats, 2, 1.0).split("\n")
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if SHOWN in line] == [
        f"  goodbyes      {SHOWN} 1",
        f"    1 x {SHOWN}",
    ]


@pytest.mark.parametrize("text", ["日本" * 100, "e\u0301" * 100, "👍" * 100, STRANGE * 10])
def test_a_line_is_as_wide_as_the_terminal_at_most(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = iter([60, 31, 30])
    monkeypatch.setattr(report, "terminal_columns", lambda: next(columns))
    printer = Printer(clients=1, debug=False)
    for most in (60, 31, 30):  # a window that is made smaller
        printer.received(1, Event(EventKind.UPDATE, text), fault=None)
        line = capsys.readouterr().out.rstrip("\n")
        assert most - 2 <= sum(map(display_width, line)) <= most
        assert line.endswith("…")


@pytest.mark.parametrize("reason", [1, [1], {"a": {}}, "", None])
def test_a_reason_that_is_no_text_is_none(reason: object) -> None:
    assert Event(EventKind.GOODBYE, orjson.dumps({"reason": reason}).decode()).goodbye_reason == "no reason"


def test_a_reason_is_counted_by_its_first_words() -> None:
    assert Event(EventKind.GOODBYE, '{"reason":"%s"}' % ("a" * 5000)).goodbye_reason == "a" * 64
    deep = "[" * 1000 + "]" * 1000
    assert Event(EventKind.GOODBYE, f'{{"reason":{deep}}}').goodbye_reason == "no reason"
