"""The update that is published: realistic JSON that carries its number and two moments. Pure.

`seq` counts from 1 on one stream; `t` is the *intended* send time in CLOCK_MONOTONIC nanoseconds; `sent` is the
actual one, a string of fixed width so that it can be stamped into a body that was built beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

DEFAULT_SIZE = 350
LEAST_SIZE, MOST_SIZE = 330, 65_536  # what always fits, to the byte; what docs/protocol.md takes
UNSENT = b'"sent":"0000000000000000000"'
STAMP = b'"sent":"%019d"'

_TEMPLATE = (
    '{"seq":%d,"t":%d,"sent":"0000000000000000000","system_status":{"status":"online","uptime":99.%d,'
    '"message":"All systems operational"},"metrics":{"cpu":%.1f,"memory":%.1f,"disk":61.0,"network":%.2f,'
    '"response_time":%.1f},"activities":[{"message":"Collected metrics of %d hosts","level":"info"}]%s}'
)


class Stamp(NamedTuple):
    """What a received update says about itself: its number, and the two moments in nanoseconds."""

    seq: int
    intended_ns: int
    sent_ns: int


def update(seq: int, intended_ns: int, size: int = DEFAULT_SIZE) -> bytes:
    """The JSON text of update `seq`, `size` bytes long (more when it does not fit), not stamped yet."""
    figures = (
        seq % 10,
        seq * 37 % 1000 / 10,
        seq * 53 % 1000 / 10,
        seq * 91 % 10000 / 100,
        seq * 17 % 90 / 10,
    )
    bare = len(_TEMPLATE % (seq, intended_ns, *figures, seq % 97, ""))
    return (_TEMPLATE % (seq, intended_ns, *figures, seq % 97, _padding(size - bare, seq))).encode()


def _padding(size: int, seq: int) -> str:
    """Text of exactly `size` characters when that is possible, as varied as identifiers are."""
    text = size - len(',"trace":""')
    if text <= 0:
        return ""
    words = "".join(f"{(seq + step) * 2654435761 % 2**32:08x}" for step in range(text // 8 + 1))
    return f',"trace":"{words[:text]}"'


def stamped(body: bytes, sent_ns: int) -> bytes:
    """`body` with the moment of sending written into each of its updates; its length does not change."""
    return body.replace(UNSENT, STAMP % sent_ns)


def read(message: object) -> Stamp | None:
    """The stamp of a decoded update; None when it is not one of ours."""
    if not isinstance(message, dict):
        return None
    try:
        return Stamp(int(message["seq"]), int(message["t"]), int(message["sent"]))
    except (KeyError, TypeError, ValueError):
        return None


def within(message: object, keys: Iterable[str]) -> object:
    """What is found in decoded JSON behind these keys, one after the other; None where one is missing."""
    for key in keys:
        message = message.get(key) if isinstance(message, dict) else None
    return message
