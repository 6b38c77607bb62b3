"""The publishes that wait for the writer, and what of them goes into the next transaction. Never awaits.

Bounded in number, bytes and time: when the log is slow, publishers hear 503 soon instead of filling the memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from .errors import InvalidUpdate, LogUnavailable, TooLarge
from .types import Append, Receipt

GROUP_UPDATES = 1000
GROUP_BYTES = 4 * 1024 * 1024
MAX_UPDATES = 10_000  # of one publish: its transaction must not keep other processes from theirs
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
WAIT_SECONDS = 5.0


class Waiting(NamedTuple):
    """One publish. Whoever awaits its `receipt` may be cancelled, which cancels nothing else."""

    append: Append
    size: int
    since: float
    receipt: asyncio.Future[Receipt]


class WaitingRoom:
    """First come, first served."""

    def __init__(self) -> None:
        self._queue: deque[Waiting] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def admit(self, append: Append, now: float, receipt: asyncio.Future[Receipt]) -> None:
        """Take a place at the end. Raises InvalidUpdate, TooLarge; LogUnavailable when too much waits."""
        size = checked_size(append)
        if self._queue and (len(self) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES):
            raise LogUnavailable("Too many updates wait to be written. Try again later.")
        self._queue.append(Waiting(append, size, now, receipt))
        self._bytes += size

    def take_group(self) -> list[Waiting]:
        """What one transaction takes from the front, but for those whose caller has left."""
        group: list[Waiting] = []
        updates = size = 0
        while self._queue:
            updates += len(self._queue[0].append.texts)
            size += self._queue[0].size
            if group and (updates > GROUP_UPDATES or size > GROUP_BYTES):
                break
            waiting = self._queue.popleft()
            self._bytes -= waiting.size
            if not waiting.receipt.done():
                group.append(waiting)
        return group

    def take_late(self, now: float) -> list[Waiting]:
        """Those who waited longer than `WAIT_SECONDS`: their senders have lost patience too."""
        late = []
        while self._queue and self._queue[0].since < now - WAIT_SECONDS:
            late.append(self._queue.popleft())
            self._bytes -= late[-1].size
        return late

    def take_all(self) -> list[Waiting]:
        """Everybody, when there will be no more transactions."""
        left = [*self._queue]
        self._queue.clear()
        self._bytes = 0
        return left


def checked_size(append: Append) -> int:
    """The bytes of an append. What the database would choke on is refused here, before it can spoil a group.

    Raises InvalidUpdate, TooLarge.
    """
    if not append.texts:
        raise InvalidUpdate("There is nothing to publish: send at least one JSON text.")
    if len(append.texts) > MAX_UPDATES:
        raise TooLarge(f"At most {MAX_UPDATES} updates at a time: send the rest in another publish.")
    try:
        return len((append.key or "").encode()) + sum(map(_line_size, append.texts))
    except UnicodeEncodeError as error:
        raise InvalidUpdate(f"An update must be valid Unicode ({error.reason}).") from None


def _line_size(text: str) -> int:
    if "\n" in text or "\r" in text:
        raise InvalidUpdate("An update is one line: pass it through clean_json first.")
    return len(text.encode())
