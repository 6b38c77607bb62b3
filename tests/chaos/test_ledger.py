"""The ledger finds what is lost, doubled or out of order."""

from __future__ import annotations

import pytest

from tests.chaos.ledger import ClientRecord, Ledger

LOG = [(1, 10), (2, 11), (3, 12), (4, 13)]


def client(*seen: int, start: int = 0, skips: tuple[tuple[int, int], ...] = ()) -> ClientRecord:
    """A client that saw the updates with these ids."""
    return ClientRecord("c", start, [(id_, 9 + id_) for id_ in seen], list(skips))


def found(*clients: ClientRecord, acknowledged: dict[int, int] | None = None) -> list[str]:
    """The first word of each sentence."""
    ledger = Ledger(acknowledged={10: 1, 13: 4} if acknowledged is None else acknowledged, clients=[*clients])
    return [line.partition(":")[0] for line in ledger.faults_found(LOG)]


@pytest.mark.parametrize(
    "whole", [client(1, 2, 3, 4), client(3, 4, start=2), client(1, 4, skips=((1, 3),)), client(start=4)]
)
def test_who_saw_all_of_it_is_not_named(whole: ClientRecord) -> None:
    assert found(whole) == []


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (client(1, 2, 4), "LOST"),
        (client(1, 2, 3), "LOST"),
        (client(1, 2, 3, start=2), "LOST"),
        (client(1, 2, 2, 3, 4), "DOUBLED"),
        (client(2, 1, 3, 4), "DISORDERED"),
        (client(1, 2, 3, 4, skips=((1, 3),)), "DISORDERED"),
    ],
)
def test_who_did_not_is(wrong: ClientRecord, word: str) -> None:
    assert found(client(1, 2, 3, 4), wrong) == [word]


@pytest.mark.parametrize("acknowledged", [{99: 5}, {10: 2}])
def test_what_was_acknowledged_is_in_the_log_and_where_it_was_said_to_be(
    acknowledged: dict[int, int],
) -> None:
    assert found(acknowledged=acknowledged) == ["LOST"]


@pytest.mark.parametrize(
    ("raw", "words"), [([1, 5, 9], []), ([1, 5, 5], ["DOUBLED"]), ([5, 1], ["DISORDERED"])]
)
def test_raw_messages_may_be_missed_but_not_come_twice_or_out_of_order(
    raw: list[int], words: list[str]
) -> None:
    ledger = Ledger(raw_seen=raw)
    assert [line.partition(":")[0] for line in ledger.faults_found([])] == words


def test_a_number_that_is_in_the_log_twice_and_a_hole_are_found() -> None:
    ledger = Ledger()
    assert [line.partition(":")[0] for line in ledger.faults_found([(1, 1), (3, 1)])] == [
        "DISORDERED",
        "DOUBLED",
    ]
