"""A chain of positions, and what may be wrong with it."""

from __future__ import annotations

from dashboard_rt.client.ledger import Ledger
from dashboard_rt.types import Position, Verdict


def at(number: int, epoch: str = "e") -> Position:
    return Position(epoch, number)


def started(number: int) -> Ledger:
    ledger = Ledger()
    assert ledger.verdict(Verdict.FRESH, at(number), None) is None
    return ledger


def counted(ledger: Ledger) -> tuple[int, int, int]:
    return ledger.lost, ledger.doubled, ledger.missed


def test_contiguous_ids_are_fine() -> None:
    ledger = started(4)
    assert [ledger.update(at(n)) for n in (5, 6, 7)] == [None] * 3
    assert counted(ledger) == (0, 0, 0)
    assert ledger.position == at(7)


def test_a_hole_is_lost() -> None:
    ledger = started(4)
    assert "LOST 2" in (ledger.update(at(7)) or "")
    assert ledger.update(at(8)) is None
    assert counted(ledger) == (2, 0, 0)


def test_a_repeated_id_is_doubled_and_moves_nothing() -> None:
    ledger = started(4)
    ledger.update(at(5))
    assert "DOUBLED" in (ledger.update(at(5)) or "")
    assert ledger.update(at(6)) is None
    assert counted(ledger) == (0, 1, 0)


def test_a_heartbeat_ahead_of_us_is_a_loss() -> None:
    ledger = started(4)
    assert ledger.reached(at(4)) is None
    assert "LOST 1" in (ledger.reached(at(5)) or "")


def test_a_gap_that_was_told_is_no_fault() -> None:
    ledger = started(4)
    assert ledger.verdict(Verdict.GAP, at(20), 16) is None
    assert ledger.update(at(21)) is None
    assert counted(ledger) == (0, 0, 16)


def test_recovered_goes_on_from_our_own_position() -> None:
    ledger = started(4)
    assert ledger.verdict(Verdict.RECOVERED, at(4), None) is None
    assert "LOST 1" in (ledger.verdict(Verdict.RECOVERED, at(5), None) or "")
    assert Ledger(at(9)).verdict(Verdict.RECOVERED, at(9), None) is None


def test_another_epoch_without_a_gap_is_a_loss() -> None:
    ledger = started(4)
    assert "another epoch" in (ledger.update(at(5, "new")) or "")
    assert ledger.update(at(6, "new")) is None
    assert counted(ledger) == (1, 0, 0)


def test_without_positions_nothing_is_checked() -> None:
    ledger = Ledger()
    assert ledger.update(None) is None
    assert (ledger.unchecked, ledger.position) == (1, None)
    assert ledger.update(at(3)) is None
    assert counted(ledger) == (0, 0, 0)
