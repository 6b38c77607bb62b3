from __future__ import annotations

import asyncio

import pytest

from dashboard_rt import waiting
from dashboard_rt.errors import InvalidUpdate, LogUnavailable, TooLarge
from dashboard_rt.types import Append, Receipt
from dashboard_rt.waiting import WaitingRoom, checked_size

pytestmark = pytest.mark.anyio


@pytest.fixture
async def room() -> WaitingRoom:
    return WaitingRoom()


def admit(room: WaitingRoom, *texts: str, now: float = 0.0) -> asyncio.Future[Receipt]:
    receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    room.admit(Append("a", texts), now, receipt)
    return receipt


def taken(room: WaitingRoom) -> list[str]:
    return [text for place in room.take_group() for text in place.append.texts]


async def test_a_group_is_everybody_in_order(room: WaitingRoom) -> None:
    for text in "123":
        admit(room, text)
    assert taken(room) == ["1", "2", "3"]
    assert len(room) == 0
    assert taken(room) == []


async def test_a_group_ends_at_its_number_of_updates(
    room: WaitingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "GROUP_UPDATES", 3)
    admit(room, "1", "2")
    admit(room, "3")
    admit(room, "4")
    assert taken(room) == ["1", "2", "3"]
    assert taken(room) == ["4"]


async def test_a_group_ends_at_its_size(room: WaitingRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "GROUP_BYTES", 10)
    admit(room, "1" * 6)
    admit(room, "2" * 6)
    assert taken(room) == ["1" * 6]
    assert taken(room) == ["2" * 6]


async def test_one_that_is_larger_than_a_group_goes_alone(
    room: WaitingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "GROUP_UPDATES", 2)
    admit(room, "1", "2", "3")
    admit(room, "4")
    assert taken(room) == ["1", "2", "3"]
    assert taken(room) == ["4"]


async def test_who_has_left_is_not_written(room: WaitingRoom) -> None:
    admit(room, "1")
    admit(room, "2").cancel()
    admit(room, "3")
    assert taken(room) == ["1", "3"]


async def test_the_number_is_bounded(room: WaitingRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", 2)
    admit(room, "1")
    admit(room, "2")
    with pytest.raises(LogUnavailable, match="Too many"):
        admit(room, "3")
    assert taken(room) == ["1", "2"]
    admit(room, "3")


async def test_the_bytes_are_bounded_but_one_always_fits(
    room: WaitingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING_BYTES", 10)
    admit(room, "1" * 20)
    with pytest.raises(LogUnavailable, match="Too many"):
        admit(room, "2")
    room.take_group()
    for _ in range(2):
        admit(room, "1" * 5)
    with pytest.raises(LogUnavailable, match="Too many"):
        admit(room, "2")


async def test_the_late_are_taken_out_first(room: WaitingRoom) -> None:
    early, soon = admit(room, "1", now=10.0), admit(room, "2", now=14.0)
    assert [place.receipt for place in room.take_late(15.5)] == [early]
    assert [place.receipt for place in room.take_all()] == [soon]
    assert len(room) == 0


def test_size_is_bytes_with_the_key() -> None:
    assert checked_size(Append("a", ["ü", "12"], "k")) == 5


@pytest.mark.parametrize("bad", ["1\n2", "1\r2"])
def test_an_update_is_one_line(bad: str) -> None:
    with pytest.raises(InvalidUpdate, match="clean_json"):
        checked_size(Append("a", ["1", bad]))


def test_what_no_database_takes_is_refused() -> None:
    with pytest.raises(InvalidUpdate, match="Unicode"):
        checked_size(Append("a", ["\ud800"]))
    with pytest.raises(InvalidUpdate, match="Unicode"):
        checked_size(Append("a", ["1"], "\ud800"))
    with pytest.raises(InvalidUpdate, match="nothing to publish"):
        checked_size(Append("a", []))
    with pytest.raises(TooLarge, match="10000"):
        checked_size(Append("a", ["1"] * 10_001))
