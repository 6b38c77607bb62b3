"""UsedTickets: which single-use tickets were used, in the database, so that no process takes one twice.

Tickets that come together are written in one transaction: after a restart thousands come at once, and each
transaction waits for the disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import LogUnavailable
from ..eventlog.database import Database, Query, Transaction
from ..hub.tasks import BackgroundTasks
from ..telemetry import Telemetry

WAIT_SECONDS = 3.0  # for the database, before a client is told to come back
MOST_AT_ONCE = 200  # in one transaction, behind which publishes wait
# Beyond these a client is told at once to come back: one that repeats itself while the database hangs fills memory.
MOST_WAITING = 20_000
TRIM_SECONDS = 60.0
# How long a row outlives its ticket. More than clocks can differ: without its row a ticket could be used again where
# the clock is slow.
KEEP_SECONDS = 600.0
UNAVAILABLE = "Single-use tickets cannot be used while the database is away: try again in a moment."


class _Use(NamedTuple):
    """One ticket that waits to be written. `first` becomes whether it was new, None when nobody can know."""

    id: str
    expires_at_ms: int
    first: asyncio.Future[bool | None]


class UsedTickets:
    """The table `used_tickets`. `clock` returns Unix seconds."""

    def __init__(self, db: Database, telemetry: Telemetry, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._telemetry = telemetry
        self._clock = clock
        self._tasks = BackgroundTasks(telemetry, "tickets.task")
        self._waiting: list[_Use] = []
        self._writing = False
        self._next_trim = 0.0

    async def add(self, id: str, expires_at: float) -> bool:
        """Write a ticket down, and return whether it was new. `expires_at` is in Unix seconds.

        Raises LogUnavailable when that cannot be known: the ticket may be lost then.
        """
        if len(self._waiting) >= MOST_WAITING:
            self._telemetry.swallow("tickets.full", LogUnavailable(UNAVAILABLE))
            raise LogUnavailable(UNAVAILABLE)
        first: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Use(id, int(expires_at * 1000), first))
        if not self._writing:
            self._writing = True
            # A task of its own: a client that leaves must not cancel the transaction of the others.
            self._tasks.spawn(self._write_all())
        answer = None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                answer = await first
        except TimeoutError as error:
            self._telemetry.swallow("tickets.timeout", error)
        if answer is None:
            raise LogUnavailable(UNAVAILABLE)
        return answer

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._write(group)
        finally:
            self._writing = False

    async def _write(self, group: Sequence[_Use]) -> None:
        new: set[str] | None = None
        now = self._clock()
        trim_before = int((now - KEEP_SECONDS) * 1000) if now >= self._next_trim else None
        try:
            new = await self._db.transact(add_uses(group, trim_before))
        except LogUnavailable as error:
            self._telemetry.swallow("tickets.write", error)
        else:
            if trim_before is not None:
                self._next_trim = now + TRIM_SECONDS
        for use in group:
            if not use.first.done():  # the others have waited for too long
                use.first.set_result(None if new is None else use.id in new)
            if new is not None:
                new.discard(use.id)  # of two that came together the first was first


def add_uses(uses: Sequence[_Use], trim_before_ms: int | None) -> Transaction[set[str]]:
    """Insert the ids, and return those that were not there; delete what expired before `trim_before_ms`.

    In the order of their ids: two processes that insert the same ones would wait for each other otherwise.
    """
    new: set[str] = set()
    for id, expires_at_ms in sorted({(use.id, use.expires_at_ms) for use in uses}):
        rows = yield Query(
            "INSERT INTO used_tickets (id, expires_at_ms) VALUES (:id, :expires_at_ms)"
            " ON CONFLICT (id) DO NOTHING RETURNING id",
            {"id": id, "expires_at_ms": expires_at_ms},
        )
        new.update(row[0] for row in rows)
    if trim_before_ms is not None:
        yield Query("DELETE FROM used_tickets WHERE expires_at_ms < :before", {"before": trim_before_ms})
    return new
