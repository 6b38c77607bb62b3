"""types: positions as clients send them back, and the first id of a notification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.types import Notification, Position


@given(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), st.integers(0, 10**18 - 1))
def test_a_position_reads_back_as_it_was_written(epoch: str, number: int) -> None:
    assert Position.parse(str(Position(epoch, number))) == Position(epoch, number)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "k3f9",
        "-7",
        "k3f9-",
        "k3f9-1.5",
        "k3f9- 1",
        "k3f9-+1",
        "k3f9-٣",
        "k3f9-²",
        "k3f9-" + "9" * 19,
        "e" * 64 + "-1",
    ],
)
def test_what_is_no_position_is_none_and_never_an_error(text: str | None) -> None:
    assert Position.parse(text) is None


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    Position.parse(text)


def test_an_epoch_may_hold_dashes() -> None:
    assert Position.parse("a-b-12") == Position("a-b", 12)


def test_a_notification_knows_the_id_of_its_first_update() -> None:
    assert Notification("e", "s", 10, ("a", "b", "c")).first_id == 8
    assert Notification("e", "s", 10).first_id == 11
