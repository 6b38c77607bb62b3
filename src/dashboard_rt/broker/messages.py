"""Notifications as the messages of a networked broker, and back. Pure: knows no service and no connection.

A message is lines of UTF-8: the sender's id, then for each notification a JSON array and its updates, one a line:

    5f0c...
    ["k3f9", "events", 1042, 2, 1694041735123.4]
    {"n": 1}
    {"n": 2}

The array is epoch, stream, last id, number of updates, time of the commit in Unix ms. Updates are on one line each
already (eventlog/publisher.py), so none is escaped or parsed on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson

from ..types import MAX_ID_DIGITS, Notification

SHAPES = ((str, str, int, int, float), (str, str, int, int, int))


class MessageLimits(NamedTuple):
    """What a service carries: messages of at most `size` bytes, `pieces` of them for one notification.

    Above that reading the log costs less.
    """

    size: int
    pieces: int


class Unreadable(ValueError):
    """A message that is not one of ours."""


def head_line(sender: str) -> bytes:
    """Return the first line of a message; it also tells a process which messages are its own."""
    return sender.encode() + b"\n"


def encode(notification: Notification, limits: MessageLimits) -> list[bytes]:
    """Return a notification as bodies of messages, in the order to send them.

    One that is too large is cut into several, which the receiver takes one after the other. When an update alone is
    too large, or there would be too many, only the last id is told, and the receiver reads the log.
    """
    pieces = list(_pieces(notification, limits.size))
    if len(pieces) > limits.pieces or any(len(piece) > limits.size for piece in pieces):
        return [_body(notification, (), notification.last_id)]
    return pieces


def _pieces(notification: Notification, size: int) -> Iterator[bytes]:
    room = size - len(_body(notification, (), 10**MAX_ID_DIGITS)) - len("10000")
    waiting: list[bytes] = []
    used, sent = 0, notification.first_id - 1
    for text in notification.texts:
        line = text.encode()
        if waiting and used + len(line) + 1 > room:
            sent += len(waiting)
            yield _body(notification, waiting, sent)
            waiting, used = [], 0
        waiting.append(line)
        used += len(line) + 1
    yield _body(notification, waiting, notification.last_id)


def _body(notification: Notification, lines: Sequence[bytes], last_id: int) -> bytes:
    epoch, stream, committed_ms = notification.epoch, notification.stream, notification.committed_ms
    return b"\n".join([orjson.dumps([epoch, stream, last_id, len(lines), committed_ms]), *lines])


def decode(text: str) -> list[Notification]:
    """Return the notifications of a message. Raises Unreadable."""
    # A return would end a line of SSE, and no update of ours has one.
    if "\r" in text:
        raise Unreadable("it holds a carriage return")
    lines = text.split("\n")
    found: list[Notification] = []
    at = 1
    while at < len(lines):
        notification, count = _read_head(lines[at])
        texts = lines[at + 1 : at + 1 + count]
        if len(texts) != count:
            raise Unreadable("it ends before its last update")
        found.append(notification._replace(texts=texts))
        at += 1 + count
    if not found:
        raise Unreadable("it holds no notification")
    return found


def _read_head(line: str) -> tuple[Notification, int]:
    """Read the array in front of the updates, and the number of these. Raises Unreadable."""
    try:
        head = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise Unreadable("it is not JSON where it should be") from None
    # Exact types: in Python True is an int, too.
    if not isinstance(head, list) or tuple(map(type, head)) not in SHAPES:
        raise Unreadable("its JSON has another shape")
    epoch, stream, last_id, count, committed_ms = head
    if not 0 <= count <= last_id < 10**MAX_ID_DIGITS:
        raise Unreadable("its numbers cannot be")
    return Notification(epoch, stream, last_id, (), float(committed_ms)), count
