"""bench/load/timeline.py: latencies by the moment of intended sending; the books of several processes."""

from __future__ import annotations

import pytest

from bench.load import timeline
from bench.load.ledger import Ledger
from bench.load.payload import Stamp
from bench.load.tally import Tally
from bench.load.timeline import SLOT_NS, Timeline

MS = 1_000_000
START = 50 * SLOT_NS


def stamp(seq: int, intended: int) -> Stamp:
    return Stamp(seq, intended, intended)


def kept(*late_ms: tuple[int, int]) -> Timeline:
    """A timeline of (slot behind START, latency in ms)."""
    made = Timeline()
    for seq, (slot, late) in enumerate(late_ms, 1):
        intended = START + slot * SLOT_NS + 7
        made.take([stamp(seq, intended)], 1, intended + late * MS)
    return made


def test_a_late_delivery_belongs_to_the_moment_of_its_sending() -> None:
    """Not to that of its arrival: one that waits out a second is late in the slot in which it should have gone."""
    rows = timeline.table(kept((0, 2), (1, 900), (1, 1)).report(), START)["rows"]
    assert [(row[0], row[1]) for row in rows] == [(0.0, 1), (0.1, 2)]
    assert rows[1][-1] == pytest.approx(900, rel=0.01)


def test_seconds_count_from_the_origin_and_may_be_before_it() -> None:
    rows = timeline.table(kept((0, 1), (4, 1)).report(), START + 3 * SLOT_NS)["rows"]
    assert [row[0] for row in rows] == [-0.3, 0.1]


def test_what_is_ahead_of_the_window_is_left_out() -> None:
    made = Timeline()
    made.take([stamp(1, START), stamp(2, START)], 2, START + MS)
    assert timeline.table(made.report(), START)["rows"][0][1] == 1


def test_the_slots_of_several_processes_are_added_and_not_averaged() -> None:
    whole = timeline.merged([kept((0, 1), (0, 1)).report(), kept((0, 100), (2, 5)).report()])
    rows = timeline.table(whole, START)["rows"]
    assert [(row[0], row[1]) for row in rows] == [(0.0, 3), (0.2, 1)]
    assert rows[0][-1] == pytest.approx(100, rel=0.01)


def test_a_window_takes_whole_slots_only() -> None:
    slots = kept((0, 1), (1, 50), (2, 9)).report()
    found = timeline.between(slots, START + 1, START + 2 * SLOT_NS)
    assert found is not None and found["count"] == 1 and found["p50"] == pytest.approx(50, rel=0.01)
    assert timeline.between(slots, START + 1, START + SLOT_NS) is None


def test_a_tally_keeps_one_when_it_is_asked_to() -> None:
    tally, plain = Tally(), Tally()
    tally.measure(1, timeline=True)
    for each in (tally, plain):
        each.take([stamp(1, START)], Ledger(1), START + MS, 10)
    assert plain.timeline is None
    assert tally.timeline is not None and len(tally.timeline.report()) == 1
