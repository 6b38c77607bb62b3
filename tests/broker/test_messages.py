"""broker/messages: what is encoded is decoded unchanged, within its size; whatever else there is, is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.broker.messages import MessageLimits, Unreadable, decode, encode, head_line
from dashboard_rt.types import MAX_ID_DIGITS, Notification

HEAD = head_line("me")
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=60)


@given(st.lists(TEXTS, max_size=40), st.integers(120, 2000), st.integers(100, 10**MAX_ID_DIGITS - 1))
def test_every_update_arrives_once_in_order_within_the_size(
    texts: list[str], size: int, last_id: int
) -> None:
    notification = Notification("k3f9", "events", last_id, texts, 1234.5)
    bodies = encode(notification, MessageLimits(size, 16))
    assert all(len(body) <= size for body in bodies)
    told = [each for body in bodies for each in decode((HEAD + body).decode())]
    assert told[-1].last_id == last_id
    assert {(each.epoch, each.stream, each.committed_ms) for each in told} == {("k3f9", "events", 1234.5)}
    sent = [text for each in told for text in each.texts]
    if sent or not texts:
        assert sent == texts
        assert [each.first_id for each in told[1:]] == [each.last_id + 1 for each in told[:-1]]


def test_the_size_counts_bytes_and_not_characters() -> None:
    fits = Notification("e", "s", 1, ["ü" * 40])
    size = len(encode(fits, MessageLimits(1000, 1))[0])
    assert size == len(b'["e","s",1,1,0.0]') + 1 + 80
    assert decode((HEAD + encode(fits, MessageLimits(size, 1))[0]).decode())[0].texts == ["ü" * 40]
    assert decode((HEAD + encode(fits, MessageLimits(size - 1, 1))[0]).decode())[0].texts == []


def test_what_would_take_too_many_messages_is_only_named() -> None:
    limits = MessageLimits(700, 16)
    assert len(encode(Notification("e", "s", 16, ["x" * 500] * 16), limits)) == 16
    (alone,) = encode(Notification("e", "s", 17, ["x" * 500] * 17), limits)
    (told,) = decode((HEAD + alone).decode())
    assert (told.last_id, told.texts) == (17, [])


def test_several_in_one_message_stay_apart() -> None:
    notifications = [Notification("e", name, 7, ["[1]", "2"], 5.0) for name in ("a", "b")]
    message = HEAD + b"\n".join(
        body for each in notifications for body in encode(each, MessageLimits(1000, 1))
    )
    assert decode(message.decode()) == notifications


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "{}",
        "[1,2,3]",
        '["e","s",1,0]',
        '["e","s",1,0,0,0]',
        '["e","s","1",0,0]',
        '[1,"s",1,0,0]',
        '["e","s",true,0,0]',
        '["e","s",1,0,null]',
        '["e","s",1,-1,0]',
        '["e","s",1,2,0]\n1\n2',  # more updates than ids
        '["e","s",5,2,0]\n1',
        '["e","s",5,1,0]\n1\n2',
        '["e","s",1000000000000000000,0,0]',
        '["e","s",5,1,0]\n"a\rb"',
        '["e","s",NaN,0,0]',
    ],
)
def test_anything_else_is_refused(body: str) -> None:
    with pytest.raises(Unreadable):
        decode(f"somebody\n{body}")


def test_a_message_without_lines_is_refused() -> None:
    for text in ("", "somebody", "hello"):
        with pytest.raises(Unreadable):
            decode(text)
