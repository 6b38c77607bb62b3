"""The database: two held connections, transactions, migrations at the start. Nothing else imports `databases`.

A transaction runs whole in the thread of the writing connection, in **one hop**: the event loop pays two thread
switches instead of two a statement, and a cancelled caller cannot leave it half done. `writing()` is the comfortable
form, a hop a statement, for what nobody waits for.

Why the raw connection and not the queries of `databases`: each of those is a compile by SQLAlchemy and up to four
hops, and one cancelled between two of them leaves its cursor, and with it a read transaction, open for good.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiosqlite
import databases
from anyio import CancelScope

from . import sqlite
from .errors import BadSetting, LogUnavailable
from .schema import migrating
from .transaction import Insert, Query, Rows, T, Transaction, Values

BUSY_SECONDS = 2.0  # how long another process may hold the write lock (design.md §4)
TURN_SECONDS = 5.0  # how long a transaction waits for the others of this process
START_SECONDS = 10.0  # how long a start waits for the starts of other processes


class Database:
    """A writing and a reading connection to one SQLite file. Its failures are LogUnavailable."""

    def __init__(self, url: str) -> None:
        """`sqlite:///<path>`, or BadSetting; options in the URL would become part of the file's name."""
        if not re.fullmatch(r"sqlite:///[^?#]+", url) or url == "sqlite:///:memory:":
            raise BadSetting("DATABASE_URL must be a SQLite file such as sqlite:///./dashboard.db.")
        self._path = databases.DatabaseURL(url).database
        self._writer = _Held(url, sqlite.WRITER)
        self._reader = _Held(url, sqlite.READER)
        self._turns = asyncio.Lock()
        self._queueing = 0
        self._wal = url.removeprefix("sqlite:///") + "-wal"
        self._stamp: tuple[int, int] | None = None  # of the WAL, when nobody else's commit was in it unseen
        self._version = 0
        self._unseen = False  # somebody else has committed, and `changed` has not told yet

    async def connect(self) -> None:
        """Open, and run the missing migrations. Safe while other processes do the same.

        Raises BadSetting when the file cannot be used at all, LogUnavailable when others lock it for too long.
        """
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while failure := await self._prepare():
            if not sqlite.is_busy(failure):
                raise BadSetting(f"DATABASE_URL: this file cannot be used ({failure}).") from failure
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(
                    f"Another process keeps the database to itself ({failure})."
                ) from failure
            # Two connections that switch one file to WAL: SQLite does not wait, it fails one of them at once.
            await asyncio.sleep(random.uniform(0.01, 0.05))
        try:
            await self._writer.open()
            await self._reader.open()
            self._version = await self._writer.run(sqlite.data_version)
        except BaseException:
            await self.disconnect()
            raise

    async def disconnect(self) -> None:
        """Close both connections, after what runs on them. Harmless when they are not open."""
        with CancelScope(shield=True):  # their threads are no daemons: left open, the process never ends
            await self._reader.close()
            await self._writer.close()

    async def transact(self, transaction: Transaction[T]) -> T:
        """Run a transaction; its result, once it is on disk. What it raises undoes it and is raised here.

        A caller that is cancelled does not learn how it went, but it went whole or not at all.
        """
        await self._take_turn()
        try:
            work = partial(sqlite.transact_and_look, transaction=transaction)
            result, version = await self._writer.run(work)
            self._look(version)
        finally:
            self._turns.release()
        return result

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Session]:
        """A transaction over several awaits: commits at the end, rolls back when the block raises.

        Only use the session in the block; above all do not publish in it: appends wait for its end.
        """
        await self._take_turn()
        try:
            # `Task.cancel` gets through the shield, but does no harm: the thread takes its work in order, so the
            # rollback runs after whatever had begun, and before the work of anybody else.
            with CancelScope(shield=True):
                try:
                    await self._writer.run(sqlite.begin)
                    yield Session(self._writer)
                    await self._writer.run(sqlite3.Connection.commit)
                except BaseException as error:
                    await self._undo(error)
                    raise
        finally:
            self._turns.release()

    async def rows(self, sql: str, values: Values | None = None) -> Rows:
        """Committed rows, as tuples."""
        return await self._reader.run(partial(sqlite.answer, statement=Query(sql, values)))

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Mapping[str, Any]]:
        """Committed rows, by column name."""
        return await self._reader.run(partial(sqlite.named_rows, sql=sql, values=values))

    def stirred(self) -> bool:
        """Whether `changed` is worth asking: the file's stamp is another than when it was last known. Costs 2 us."""
        return self._unseen or self._stamp != _stamp(self._wal)

    async def changed(self) -> bool:
        """Whether anybody but this process has committed since the last call, or since `connect`.

        Asks on the writing connection, because the answer leaves out what the asking connection wrote itself.
        """
        if not self._unseen and self.stirred():
            self._look(await self._writer.run(sqlite.data_version))
        unseen, self._unseen = self._unseen, False
        return unseen

    def _look(self, version: int) -> None:
        # A commit of another process between this version and this stamp is missed here. The next transaction
        # finds it, or the next look at the log: it costs that process's updates some latency.
        self._unseen = self._unseen or version != self._version
        self._version = version
        self._stamp = _stamp(self._wal)

    async def _take_turn(self) -> None:
        """One transaction of this process at a time, first come, first served. Whoever has its turn releases it."""
        if not self._turns.locked() and not self._queueing:
            await self._turns.acquire()  # at once; a timer for that costs as much as the rest of it
            return
        self._queueing += 1
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise LogUnavailable("Another transaction of this process does not end. Try again.") from None
        finally:
            self._queueing -= 1

    async def _undo(self, error: BaseException) -> None:
        try:
            await self._writer.run(sqlite3.Connection.rollback)
        except LogUnavailable as also:
            error.add_note(f"The rollback failed too ({also}); the next transaction begins with another.")

    async def _prepare(self) -> sqlite3.Error | None:
        """Find out what is wrong with the file before aiosqlite does: its thread survives a failed opening."""
        try:
            await asyncio.to_thread(sqlite.prepare, self._path, BUSY_SECONDS, migrating())
        except sqlite3.Error as error:
            return error
        return None


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


class Session:
    """What can be done in a `writing()` block; each call is a hop to the database's thread. LogUnavailable."""

    def __init__(self, writer: _Held) -> None:
        self._writer = writer

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Mapping[str, Any]]:
        """The rows that a statement answers, by column name."""
        return await self._writer.run(partial(sqlite.named_rows, sql=sql, values=values))

    async def execute(self, sql: str, values: Values | None = None) -> int:
        """Run a statement; how many rows it wrote."""
        return await self._writer.run(partial(sqlite.written, sql=sql, values=values))

    async def insert_many(self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        """Write many rows in one hop."""
        await self._writer.run(partial(sqlite.answer, statement=Insert(table, columns, rows)))


class _Held:
    """One connection of `databases`, kept: opening one is a thread and 0.8 ms."""

    def __init__(self, url: str, pragmas: Sequence[str]) -> None:
        factory = partial(sqlite.connection, pragmas)
        self._database = databases.Database(url, timeout=BUSY_SECONDS, factory=factory)
        self._held: Any = None
        self._raw: aiosqlite.Connection | None = None

    async def open(self) -> None:
        await self._database.connect()
        held = self._database.connection()
        try:
            await held.__aenter__()
        except sqlite3.Error as error:
            raise LogUnavailable(f"The database cannot be opened ({error}).") from error
        self._held, self._raw = held, held.raw_connection

    async def close(self) -> None:
        held, self._held, self._raw = self._held, None, None
        if held is not None:
            await held.__aexit__(None, None, None)
            await self._database.disconnect()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the connection's thread, after what waits there; to its end, even if cancelled."""
        if self._raw is None:
            raise LogUnavailable("The database is not connected.")
        try:
            # aiosqlite has no public way to run more than one statement in a hop. Its version is pinned, and
            # test_db.py says so when these two names move.
            result: T = await self._raw._execute(work, self._raw._conn)  # type: ignore[no-untyped-call]
            return result
        except sqlite3.Error as error:
            raise LogUnavailable(f"The database failed ({error}). Try again.") from error
