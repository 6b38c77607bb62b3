"""Tail: the newest contiguous part of one stream's log, in memory, and how updates are cut into writes.

Pure; knows no clients and no database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..types import Update

ALIGN = 64  # ids: readers that lag differently soon cut at the same ids, so that they can share encoded bytes
WRITE_BYTES = 65536  # one write carries at most this much, or one update


class Tail:
    """Updates `first_id..head` of one stream, bounded in entries and in characters of text. Always keeps the newest."""

    __slots__ = ("_bytes", "_max_bytes", "_max_entries", "_start", "_updates", "head")

    def __init__(self, head: int, max_entries: int, max_bytes: int) -> None:
        self.head = head
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._updates: list[Update] = []
        self._start = 0  # entries before it are dropped; deleting them one by one would be quadratic
        self._bytes = 0

    @property
    def first_id(self) -> int:
        """The oldest id held; `head + 1` when nothing is."""
        return self.head - len(self) + 1

    @property
    def size(self) -> int:
        """Characters of text held."""
        return self._bytes

    @property
    def newest(self) -> Update | None:
        """The update at the head, if it is held."""
        return self._updates[-1] if self._updates else None

    def __len__(self) -> int:
        return len(self._updates) - self._start

    def extend(self, updates: Sequence[Update]) -> None:
        """Add what follows the head. Raises ValueError for anything else."""
        if not updates:
            return
        if updates[0].id != self.head + 1 or updates[-1].id != self.head + len(updates):
            raise ValueError(
                f"{updates[0].stream}: {updates[0].id}..{updates[-1].id} does not follow {self.head}"
            )
        self._updates.extend(updates)
        self._bytes += sum([len(update.text) for update in updates])
        self.head = updates[-1].id
        self._shrink()

    def after(self, cursor: int, most: int = ALIGN) -> Sequence[Update] | None:
        """Return what follows `cursor`, up to the next multiple of ALIGN; None when only the log has it."""
        if cursor == self.head - 1 and self._updates:
            return self._updates[-1:]  # the newest is what most clients start with
        index = cursor - self.first_id + 1
        if index < 0 or cursor > self.head:
            return None
        stop = min(index + most, index + ALIGN - cursor % ALIGN)
        return self._updates[self._start + index : self._start + stop]

    def reset(self, head: int) -> None:
        """Drop everything; the next update is `head + 1`."""
        self._updates.clear()
        self._start = self._bytes = 0
        self.head = head

    def _shrink(self) -> None:
        while len(self) > 1 and (len(self) > self._max_entries or self._bytes > self._max_bytes):
            self._bytes -= len(self._updates[self._start].text)
            self._updates[self._start] = self._updates[-1]  # frees the text now
            self._start += 1
        if self._start > len(self._updates) // 2:
            del self._updates[: self._start]
            self._start = 0


def batches(updates: Sequence[Update], overhead: int) -> Iterator[Sequence[Update]]:
    """Cut updates so that each batch encodes to at most WRITE_BYTES, or is one update.

    `overhead` is what the wire needs around each text, in bytes.
    """
    if len(updates) == 1:
        yield updates
        return
    start, size = 0, 0
    for index, (_, _, text) in enumerate(updates):
        cost = overhead + (len(text) if text.isascii() else len(text.encode()))
        if size + cost > WRITE_BYTES and index > start:
            yield updates[start:index]
            start, size = index, 0
        size += cost
    if start < len(updates):
        yield updates[start:]
