"""A lease: of several processes on one database, the one that may do a piece of work. Knows nothing of that work.

Clocks of two machines are never compared. The holder raises a number in the lease's row (`renewals`) again and again;
who wants the lease watches that number, and takes it over once it has stood still for LEASE_SECONDS of his own
monotonic clock. So a holder that is frozen for longer loses the lease without knowing. That does no harm, because
what it writes is written under the lease: the transaction itself checks, by `require_lease`, that the row still has
its name, and locks the row until it commits.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from ..errors import LeaseLost
from ..types import Fence
from .database import Database, Query, Transaction

LEASE_SECONDS = 3.0  # how long a holder may be silent: a holder renews three times as often
NOBODY = ""

READ = "SELECT holder, renewals FROM leases WHERE name = :name"
CREATE = "INSERT INTO leases (name, holder, renewals) VALUES (:name, '', 0) ON CONFLICT (name) DO NOTHING"
TAKE = (
    "UPDATE leases SET holder = :holder, renewals = renewals + 1"
    " WHERE name = :name AND renewals = :renewals RETURNING renewals"
)
RENEW = "UPDATE leases SET renewals = renewals + 1 WHERE name = :name AND holder = :holder RETURNING renewals"
RELEASE = (
    "UPDATE leases SET holder = '', renewals = renewals + 1"
    " WHERE name = :name AND holder = :holder RETURNING renewals"
)


class Before(StrEnum):
    """How a lease was found that was taken: nobody had it yet, its holder gave it up, or fell silent."""

    NEW = "new"
    RELEASED = "released"
    SILENT = "silent"


class Term(NamedTuple):
    """A time for which this process has the lease. Each has a holder's name of its own."""

    fence: Fence
    before: Before


class _Seen(NamedTuple):
    """The row as it was read, and since when (by our clock) it has not changed."""

    holder: str
    renewals: int
    since: float


class Lease:
    """This process's view of one lease. Every method raises LogUnavailable when the database fails.

    `clock` returns seconds and never goes back.
    """

    def __init__(self, db: Database, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._name = name
        self._clock = clock
        self._seen: _Seen | None = None

    async def try_to_take(self) -> Term | None:
        """Look at the lease, and take it if it is free, or its holder silent. To be called until it is taken."""
        # What was seen before a look that fails is forgotten: while the database was away the holder could not renew.
        before, self._seen = self._seen, None
        asked_at = self._clock()
        rows = await self._db.rows(READ, {"name": self._name})
        holder, renewals = rows[0] if rows else (NOBODY, 0)
        if holder == NOBODY:
            return await self._take(renewals, Before.RELEASED if renewals else Before.NEW)
        if before is None or (before.holder, before.renewals) != (holder, renewals):
            before = _Seen(holder, renewals, self._clock())
        # From the end of the first look to the beginning of this one: however long either took.
        if asked_at - before.since >= LEASE_SECONDS:
            return await self._take(renewals, Before.SILENT)
        self._seen = before
        return None

    async def _take(self, renewals: int, before: Before) -> Term | None:
        fence = Fence(self._name, secrets.token_hex(8))
        taken = await self._db.transact(_take_lease(fence, renewals))
        return Term(fence, before) if taken else None

    async def renew(self, fence: Fence) -> None:
        """Show that the holder is there. Raises LeaseLost."""
        await self._db.transact(require_lease(fence))

    async def release(self, fence: Fence) -> None:
        """Give the lease up, so that a successor need not wait. Does nothing when it is lost."""
        await self._db.transact(_release_lease(fence))


# ---- transactions


def require_lease(fence: Fence) -> Transaction[None]:
    """Renew a lease within a transaction, which keeps others from taking it until the commit. Raises LeaseLost."""
    rows = yield Query(RENEW, {"name": fence.lease, "holder": fence.holder})
    if not rows:
        raise LeaseLost(fence.lease, fence.holder)


def _take_lease(fence: Fence, renewals: int) -> Transaction[bool]:
    yield Query(CREATE, {"name": fence.lease})
    rows = yield Query(TAKE, {"name": fence.lease, "holder": fence.holder, "renewals": renewals})
    return bool(rows)


def _release_lease(fence: Fence) -> Transaction[None]:
    yield Query(RELEASE, {"name": fence.lease, "holder": fence.holder})
