"""bench/load/ledger.py: a dropped, a doubled and a swapped update are told apart, as a bitmap would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.ledger import Account, Ledger, total


def books(seen: list[int], last: int, first: int = 1) -> Account:
    ledger = Ledger(first)
    for seq in seen:
        ledger.see(seq)
    return ledger.account(last)


@pytest.mark.parametrize(
    ("seen", "lost", "doubled", "disordered"),
    [
        ([1, 2, 3, 4, 5], 0, 0, 0),
        ([1, 2, 4, 5], 1, 0, 0),
        ([1, 2, 3, 4], 1, 0, 0),
        ([2, 3, 4, 5], 1, 0, 0),
        ([], 5, 0, 0),
        ([1, 2, 2, 3, 4, 5], 0, 1, 0),
        ([1, 2, 3, 4, 5, 1], 0, 1, 0),
        ([1, 3, 2, 4, 5], 0, 0, 1),
        ([5, 4, 3, 2, 1], 0, 0, 4),
        ([1, 3, 2, 2, 5], 1, 1, 1),
    ],
)
def test_each_fault_is_named(seen: list[int], lost: int, doubled: int, disordered: int) -> None:
    account = books(seen, 5)
    assert account == Account(5, 5 - lost, lost, doubled, disordered)
    assert account.clean == (lost == doubled == disordered == 0)


def test_the_newest_state_a_stream_starts_with_is_not_counted() -> None:
    assert books([9, 10, 11], 11, first=10) == Account(2, 2, 0, 0, 0)


@given(st.lists(st.integers(1, 12), max_size=40))
def test_it_agrees_with_a_bitmap(seen: list[int]) -> None:
    account = books(seen, 12)
    assert account.received == len(set(seen))
    assert account.lost == 12 - len(set(seen))
    assert account.received + account.doubled == len(seen)
    assert (account.disordered + account.doubled == 0) == (seen == sorted(set(seen)))


def test_sums() -> None:
    assert total([Account(5, 4, 1, 0, 2), Account(5, 5, 0, 3, 0)]) == Account(10, 9, 1, 3, 2)
