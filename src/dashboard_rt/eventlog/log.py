"""The log of every stream in the database: append, read, trim. Knows nothing of brokers, hubs or clients.

Ids of a stream are contiguous and in commit order because one row of `streams` hands them out: taking ids locks that
row until the commit, here as in every other process. (An auto-increment id becomes visible out of order under
concurrent commits, and readers would skip rows for good.) Streams are locked in the order of their names, so that
two groups never deadlock.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from ..errors import LogUnavailable, UnknownStream
from ..types import Append, Bounds, Kind, LogState, Position, Receipt, Update
from .database import Database, Insert, Lock, Query, Rows, Transaction
from .lease import require_lease

# One read brings texts of so many characters, or one update more: about what a connection takes before its buffer is
# full. What is read beyond that is read again, which for updates of 64 KiB and a slow client was a hundred times as
# much as was sent.
PAGE_CHARS = 65536
TRIM_ROWS = 500  # updates that one transaction of a trim removes: a waiting append waits that long
# An append that has waited longer for its stream, which happens with PostgreSQL, is dated when it got it.
WAITED_MS = 50
TRIM_PAUSE = 0.005  # seconds between two of them: other processes find the write lock only by trying

EPOCH = "SELECT value FROM meta WHERE key = 'epoch'"
STATE = (
    "SELECT meta.value, streams.name, streams.oldest_id, streams.last_id FROM meta"
    " LEFT JOIN streams ON 1 = 1 WHERE meta.key = 'epoch'"
)
# What somebody edited by hand, or restored in part: ids below those of the rows would be given out twice and refused.
REPAIRS = (
    "UPDATE streams SET last_id = (SELECT max(id) FROM updates WHERE stream = streams.name),"
    " newest_ms = (SELECT max(created_at_ms) FROM updates WHERE stream = streams.name)"
    " WHERE last_id < (SELECT max(id) FROM updates WHERE stream = streams.name)",
    "UPDATE streams SET oldest_id = last_id + 1 WHERE oldest_id > last_id + 1",
)
# An upsert: a stream whose row is gone (an older backup was restored) begins anew instead of failing for ever.
TAKE_IDS = (
    "INSERT INTO streams (name, kind, oldest_id, last_id, newest_ms) VALUES (:stream, :kind, 1, :count, :ms)"
    " ON CONFLICT (name) DO UPDATE SET last_id = streams.last_id + :count,"
    " newest_ms = CASE WHEN streams.newest_ms < :ms THEN :ms ELSE streams.newest_ms END"
    f" RETURNING last_id, newest_ms, ({EPOCH})"
)
AFTER = "SELECT id, text FROM updates WHERE stream = :stream AND id > :id ORDER BY id LIMIT :limit"
BEHIND_HOLE = (
    "SELECT max(id) FROM (SELECT id, lag(id, 1, CAST(:id AS BIGINT)) OVER (ORDER BY id) AS before FROM updates"
    " WHERE stream = :stream AND id > :id) AS found WHERE id > before + 1"
)
SINCE = (
    "SELECT oldest_id, last_id, (SELECT id FROM updates WHERE stream = :stream AND created_at_ms < :ms"
    " AND ends_group = 1 ORDER BY created_at_ms DESC, id DESC LIMIT 1) FROM streams WHERE name = :stream"
)


class EventLog:
    """The updates of the configured streams. Every method raises LogUnavailable when the database fails.

    `now` returns Unix seconds.
    """

    def __init__(
        self, db: Database, streams: Mapping[str, Kind], now: Callable[[], float] = time.time
    ) -> None:
        self._db = db
        self._streams = streams
        self._now = now
        db.on_replaced(self._begin_anew)

    async def open(self) -> None:
        """Register the streams with their configured kinds, and give a new database its epoch."""
        await self._db.transact(self._open())

    async def state(self) -> LogState:
        """Read the epoch and the bounds of every configured stream, in one statement."""
        rows = await self._db.rows(STATE)
        if not rows:
            raise LogUnavailable("The database has no epoch. Run `dashboard-rt init`.")
        found = {name: (oldest_id, last_id) for _, name, oldest_id, last_id in rows}
        bounds = {name: Bounds(kind, *found.get(name, (1, 0))) for name, kind in self._streams.items()}
        return LogState(rows[0][0], bounds)

    async def append(self, group: Sequence[Append]) -> tuple[list[Receipt], str]:
        """Commit a group in one transaction. Returns a receipt for each member, in order, and the epoch.

        A key that the log knows, or that is in the group twice, gets its first receipt. Raises UnknownStream, and
        LeaseLost when a member's fence does not hold; then nothing is written.
        """
        for member in group:
            if member.stream not in self._streams:
                raise UnknownStream(f"There is no stream {member.stream!r}. STREAMS lists those that exist.")
        return await self._db.transact(self._append_group(group))

    async def after(self, stream: str, id: int, limit: int) -> list[Update]:
        """Read the updates behind `id`, ascending and contiguous; from the oldest on where those are gone.

        At most `limit`, no more once they have PAGE_CHARS characters, and none behind a hole: ask again behind the
        last one. When the first is not `id + 1`, what is between them is no longer there.
        """
        rows = await self._db.page(AFTER, {"stream": stream, "id": id, "limit": limit}, PAGE_CHARS)
        return [Update(stream, *row) for row in _up_to_hole(rows)]

    async def behind_hole(self, stream: str, id: int) -> int | None:
        """Find the first id behind the last hole among the updates behind `id`; None when none of them is missing.

        Rows are missing when somebody deleted them by hand. What is missing at the end is not found here.
        """
        rows = await self._db.rows(BEHIND_HOLE, {"stream": stream, "id": id})
        return None if rows[0][0] is None else int(rows[0][0])

    async def since(self, stream: str, ms: int, limit: int) -> int | None:
        """Find the id behind which everything was created at `ms` (Unix ms) or later.

        None when the log no longer holds all of that, or when it is more than `limit` updates.
        """
        rows = await self._db.rows(SINCE, {"stream": stream, "ms": ms, "limit": limit})
        oldest_id, last_id, found = rows[0] if rows else (1, 0, None)
        if found is None and oldest_id == 1:
            found = 0  # all of it is that young
        return None if found is None or last_id - found > limit else int(found)

    def may_have_changed(self) -> bool:
        """Tell whether `changed` is worth asking. Costs next to nothing."""
        return self._db.may_have_changed()

    async def changed(self) -> bool:
        """Tell whether another process has committed since the last call. Reads no table."""
        return await self._db.changed()

    async def trim(self, keep: int) -> int:
        """Remove all but the newest `keep` updates of each stream, and their keys. Returns how many it removed.

        In short transactions, between which waiting appends get their turn.
        """
        removed = 0
        for stream, bounds in (await self.state()).streams.items():
            edge, oldest_id = bounds.last_id - keep, bounds.oldest_id
            while oldest_id <= edge:
                oldest_id, gone = await self._db.transact(_trim_stream(stream, edge))
                removed += gone
                await asyncio.sleep(TRIM_PAUSE)
        return removed

    async def new_epoch(self, expected: str | None = None) -> str:
        """Write a new epoch, so that all positions given out so far are refused. Returns the epoch that holds now.

        With `expected` only if the epoch still is that one, so that of several processes only the first does it.
        """
        return await self._db.transact(_renew_epoch(expected))

    def _open(self) -> Transaction[None]:
        yield Query(
            "INSERT INTO meta (key, value) VALUES ('epoch', :epoch) ON CONFLICT (key) DO NOTHING",
            {"epoch": _new_epoch()},
        )
        for name, kind in sorted(self._streams.items()):
            yield Query(
                "INSERT INTO streams (name, kind, oldest_id, last_id) VALUES (:name, :kind, 1, 0)"
                " ON CONFLICT (name) DO UPDATE SET kind = excluded.kind WHERE streams.kind <> excluded.kind",
                {"name": name, "kind": kind.value},
            )
        for repair in REPAIRS:
            yield Query(repair)

    def _begin_anew(self, database: str) -> Transaction[None]:
        """Make a database that has replaced another one a log of this life: with an epoch that no client has seen.

        Of several processes that find it the first one does so.
        """
        yield from self._open()
        known = yield Query("SELECT value FROM meta WHERE key = 'replacement'")
        if known != [(database,)]:
            yield from _renew_epoch(None)
            yield Query(
                "INSERT INTO meta (key, value) VALUES ('replacement', :database)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                {"database": database},
            )

    def _append_group(self, group: Sequence[Append]) -> Transaction[tuple[list[Receipt], str]]:
        now_ms = int(self._now() * 1000)  # in its turn to write: later appends have later times
        # Leases before streams, everywhere: two transactions that lock both never wait for each other.
        for fence in sorted({member.fence for member in group if member.fence is not None}):
            yield from require_lease(fence)
        receipts: dict[int, Receipt] = {}
        for stream in sorted({member.stream for member in group}):
            places = [place for place, member in enumerate(group) if member.stream == stream]
            members = [group[place] for place in places]
            added = yield from _append_to_stream(stream, self._streams[stream], members, now_ms)
            receipts.update(zip(places, added, strict=True))
        return [receipts[place] for place in range(len(group))], receipts[0].position.epoch


# ---- transactions


def _append_to_stream(
    stream: str, kind: Kind, members: Sequence[Append], now_ms: int
) -> Transaction[list[Receipt]]:
    """Take ids for everything first, because that locks the stream; those of repeated keys are given back.

    No update is dated before one that came earlier, whatever the clock says.
    """
    wanted = sum(len(member.texts) for member in members)
    values = {"stream": stream, "kind": kind.value, "count": wanted, "ms": now_ms}
    began = time.monotonic()
    ((end, created_at_ms, epoch),) = yield Query(TAKE_IDS, values)
    waited_ms = int((time.monotonic() - began) * 1000)
    if waited_ms > WAITED_MS:
        created_at_ms = max(created_at_ms, now_ms + waited_ms)
    known = yield from _known_receipts(stream, epoch, [m.key for m in members if m.key is not None])
    receipts, updates, keys = [], [], []
    last_id = end - wanted
    for member in members:
        if member.key is not None and member.key in known:
            receipts.append(known[member.key])
            continue
        updates += [(stream, last_id + n, text, created_at_ms, 0) for n, text in enumerate(member.texts, 1)]
        last_id += len(member.texts)
        receipt = Receipt(Position(epoch, last_id), len(member.texts))
        receipts.append(receipt)
        if member.key is not None:
            known[member.key] = receipt._replace(repeated=True)
            keys.append((stream, member.key, last_id, receipt.count))
    if last_id != end or waited_ms > WAITED_MS:
        yield Query(
            "UPDATE streams SET last_id = :id, newest_ms = :ms WHERE name = :stream",
            {"id": last_id, "ms": created_at_ms, "stream": stream},
        )
    if updates:
        updates[-1] = (*updates[-1][:-1], 1)
    yield Insert("updates", ("stream", "id", "text", "created_at_ms", "ends_group"), updates)
    yield Insert("idempotency", ("stream", "key", "last_id", "count"), keys)
    return receipts


def _known_receipts(stream: str, epoch: str, keys: Sequence[str]) -> Transaction[dict[str, Receipt]]:
    """Look up the receipts of the keys that were used before."""
    if not keys:
        return {}
    # The last one several times, up to a power of two: eleven prepared statements instead of one for every number.
    padding = [keys[-1]] * ((1 << (len(keys) - 1).bit_length()) - len(keys))
    names = {f"key{n}": key for n, key in enumerate([*keys, *padding])}
    rows = yield Query(
        "SELECT key, last_id, count FROM idempotency WHERE stream = :stream"
        f" AND key IN ({', '.join(f':{name}' for name in names)})",
        {"stream": stream, **names},
    )
    return {key: Receipt(Position(epoch, last_id), count, repeated=True) for key, last_id, count in rows}


def _trim_stream(stream: str, edge: int) -> Transaction[tuple[int, int]]:
    """Remove the oldest updates up to `edge`, at most TRIM_ROWS. Returns the oldest id now, and how many are gone."""
    yield Lock(f"trim {stream}")
    ((first_id,),) = yield Query("SELECT min(id) FROM updates WHERE stream = :stream", {"stream": stream})
    # From the first row on: where rows are missing there is nothing to go through.
    oldest_id = edge + 1 if first_id is None else min(first_id + TRIM_ROWS, edge + 1)
    values = {"stream": stream, "id": oldest_id}
    yield Query("UPDATE streams SET oldest_id = :id WHERE name = :stream AND oldest_id < :id", values)
    yield Query("DELETE FROM updates WHERE stream = :stream AND id < :id", values)
    yield Query("DELETE FROM idempotency WHERE stream = :stream AND last_id < :id", values)
    return oldest_id, max(0, oldest_id - first_id) if first_id is not None else 0


def _up_to_hole(rows: Rows) -> Rows:
    """Cut rows, which begin with an id, where one is missing. Contiguous ones are not looked through."""
    if not rows or rows[-1][0] - rows[0][0] == len(rows) - 1:
        return rows
    first_id = rows[0][0]
    return [row for place, row in enumerate(rows) if row[0] == first_id + place]


def _renew_epoch(expected: str | None) -> Transaction[str]:
    yield Lock("epoch")
    rows = yield Query(EPOCH)
    if rows and expected is not None and rows[0][0] != expected:
        return str(rows[0][0])
    fresh = _new_epoch()
    yield Query(
        "INSERT INTO meta (key, value) VALUES ('epoch', :epoch)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        {"epoch": fresh},
    )
    return fresh


def _new_epoch() -> str:
    return secrets.token_hex(4)  # short, because it is part of every position on every wire
