"""bench/load/tally.py: what is measured begins with a number, and a new window forgets the one before."""

from __future__ import annotations

import pytest

from bench.load.ledger import Account, Ledger
from bench.load.payload import Stamp
from bench.load.tally import PING_SLOT_NS, Tally


def stamps(*numbers: int) -> list[Stamp]:
    return [Stamp(seq, seq * 1000, seq * 1000 + 400) for seq in numbers]


def test_latencies_count_from_the_intended_and_from_the_actual_moment() -> None:
    tally, ledger = Tally(), Ledger()
    tally.take(stamps(1, 2), ledger, 5000, 800)
    assert list(tally.latency.raw) == [4000, 3000]
    assert list(tally.uncorrected.raw) == [3600, 2600]
    assert (tally.bytes, tally.first_ns, tally.last_ns, tally.updates) == (800, 5000, 5000, 2)
    assert ledger.account(2) == Account(2, 2, 0, 0, 0)


def test_what_comes_before_the_window_is_in_the_ledger_only() -> None:
    tally, ledger, begun = Tally(), Ledger(), []
    tally.on_measured = lambda: begun.append(tally.first_ns)
    tally.measure(3)
    tally.take(stamps(1), ledger, 2000, 400)
    tally.take(stamps(2, 3), ledger, 5000, 800)
    tally.take(stamps(4), ledger, 6000, 400)
    assert list(tally.latency.raw) == [2000, 2000]
    assert (tally.bytes, tally.updates, begun) == (1200, 4, [5000])
    assert ledger.account(4).clean


def test_a_new_window_starts_from_nothing() -> None:
    tally, ledger = Tally(), Ledger()
    tally.take(stamps(1), ledger, 2000, 400)
    tally.measure(2)
    assert (len(tally.latency), tally.bytes, tally.first_ns) == (0, 0, 0)
    tally.take(stamps(2), ledger, 3000, 400)
    assert (list(tally.latency.raw), tally.first_ns, tally.updates) == ([1000], 3000, 2)


def test_pings_count_from_the_beginning_of_the_window_on() -> None:
    tally = Tally()
    for slot in (1, 5, 5, 7):
        tally.note("ping", slot * PING_SLOT_NS)
    assert [tally.pings_since(slot * PING_SLOT_NS) for slot in (0, 5, 6, 8)] == [4, 3, 1, 0]
    assert tally.controls["ping"] == 4


def test_pings_of_the_window_before_are_forgotten() -> None:
    tally = Tally()
    tally.note("ping", PING_SLOT_NS)
    tally.measure(2)
    tally.note("ping", 2 * PING_SLOT_NS)
    assert (tally.pings_since(0), tally.controls["ping"]) == (1, 2)


@pytest.mark.parametrize(
    ("name", "counted"),
    [("ping", 1), ("ws_ping", 1), ("heartbeat", 1), ("verdict", 0), ("retry", 0), ("foreign", 0)],
)
def test_only_what_keeps_a_connection_alive_is_a_ping(name: str, counted: int) -> None:
    tally = Tally()
    tally.note(name, 1)
    assert (tally.pings_since(0), tally.controls[name]) == (counted, 1)
