"""tail: contiguous, bounded in entries and in bytes, cut where lagging readers meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.hub.tail import ALIGN, Tail
from dashboard_rt.types import Update


def updates(first: int, count: int, size: int = 1) -> list[Update]:
    return [Update("s", n, "x" * size) for n in range(first, first + count)]


def test_an_empty_tail_ends_where_the_log_does() -> None:
    tail = Tail(7, 10, 1000)
    assert (tail.head, tail.first_id, len(tail), tail.newest) == (7, 8, 0, None)
    assert tail.after(7) == []
    assert tail.after(6) is None  # only the log has it
    assert tail.after(8) is None


@pytest.mark.parametrize("first", [7, 9])
def test_a_hole_or_a_double_is_refused(first: int) -> None:
    tail = Tail(7, 10, 1000)
    with pytest.raises(ValueError, match=f"{first}..{first + 1} does not follow 7"):
        tail.extend(updates(first, 2))
    assert tail.head == 7


def test_it_is_bounded_in_entries() -> None:
    tail = Tail(0, 10, 10**6)
    tail.extend(updates(1, 25))
    assert (tail.first_id, tail.head, len(tail), tail.size) == (16, 25, 10, 10)
    assert tail.after(14) is None
    held = tail.after(15)
    assert held is not None and [u.id for u in held] == list(range(16, 26))


def test_it_is_bounded_in_bytes_but_the_newest_stays() -> None:
    tail = Tail(0, 100, 50)
    tail.extend(updates(1, 10, size=20))
    assert (len(tail), tail.size) == (2, 40)
    tail.extend(updates(11, 1, size=500))
    assert (len(tail), tail.size) == (1, 500)
    assert tail.newest == Update("s", 11, "x" * 500)


def test_what_is_given_up_is_let_go_of() -> None:
    tail = Tail(0, 10, 10**6)
    for first in range(1, 1000, 3):
        tail.extend(updates(first, 3))
        assert len(tail._updates) <= 2 * len(tail) + 3  # the list does not grow with the log
        assert {u.id for u in tail._updates} <= set(range(tail.first_id, tail.head + 1))


def test_readers_that_lag_differently_converge_on_the_same_cuts() -> None:
    tail = Tail(0, 1000, 10**6)
    tail.extend(updates(1, 300))
    ends = set()
    for cursor in (3, 10, 50):
        batch = tail.after(cursor)
        assert batch is not None and batch[0].id == cursor + 1
        ends.add(batch[-1].id)
    assert ends == {ALIGN}
    whole = tail.after(ALIGN)
    assert whole is not None and len(whole) == ALIGN


def test_reset_goes_on_behind_a_hole() -> None:
    tail = Tail(0, 10, 1000)
    tail.extend(updates(1, 5))
    tail.reset(40)
    assert (tail.head, tail.first_id, tail.size, tail.newest) == (40, 41, 0, None)
    tail.extend(updates(41, 1))
    assert tail.head == 41


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 20), st.integers(1, 60))
def test_reading_on_from_any_cursor_gives_each_id_once(counts: list[int], entries: int, size: int) -> None:
    tail = Tail(0, entries, size)
    for count in counts:
        tail.extend(updates(tail.head + 1, count))
    for start in range(tail.first_id - 1, tail.head + 1):
        cursor, seen = start, []
        while cursor < tail.head:
            batch = tail.after(cursor)
            assert batch
            seen += [u.id for u in batch]
            cursor = seen[-1]
        assert seen == list(range(start + 1, tail.head + 1))
