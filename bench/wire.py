"""What both parsers share: the result of a read, and the memory of reads that were parsed before. Pure.

A fan-out sends the same bytes to every client, and parsing is a pure function of bytes: a read that begins and
ends at a message's border needs to be parsed once, whichever client it came to. Every update is still entered
in the ledger of the client that received it.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.payload import Stamp

MEMO_BYTES = 8 * 1024 * 1024


class WireError(Exception):
    """The server broke the protocol; the message says how."""


class Control(NamedTuple):
    """Anything that is not an update: a verdict, a heartbeat, a ping. `detail` is its text."""

    name: str
    detail: str


class Batch(NamedTuple):
    """What one read held: updates in order, and the rest."""

    updates: tuple[Stamp, ...]
    controls: tuple[Control, ...]


NOTHING = Batch((), ())


class Memo:
    """Reads and what they held; emptied when it grows past `limit` bytes."""

    def __init__(self, limit: int = MEMO_BYTES) -> None:
        self.known: dict[bytes, Batch] = {}
        self.size = 0
        self.limit = limit

    def keep(self, data: bytes, batch: Batch) -> None:
        """Remember a read whose parser was at a border before and after it."""
        self.size += len(data)
        if self.size > self.limit:
            self.known.clear()
            self.size = len(data)
        self.known[data] = batch


class Head(NamedTuple):
    """The head of an HTTP/1.1 response; header names in lower case, the last of a name wins."""

    status: int
    headers: dict[str, str]


def read_head(buffer: bytes) -> tuple[Head, bytes] | None:
    """The head at the start of `buffer` and what follows it; None while it is not whole."""
    text, end, rest = buffer.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *rows = text.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise WireError(f"not an HTTP response: {first[:60]!r}")
    pairs = (row.partition(":") for row in rows)
    return Head(int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}), rest
