"""SQLite: two held connections, one that writes and one that reads. Nothing else imports `databases`.

A transaction runs whole in the thread of the writing connection, in one hop: the event loop pays two thread
switches instead of two a statement, and a cancelled caller cannot leave it half done. That is why it goes past
the queries of `databases`: each of those is a compile by SQLAlchemy and up to four hops, and one cancelled between
two of them leaves its cursor, and with it a read transaction, open for good.

The functions at the end run in a connection's thread. The interpreter's lock changes hands at every statement,
which beside a busy event loop can take milliseconds: so statements are few, and many rows go in with one INSERT,
never with `executemany`.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache, partial
from typing import Any

import aiosqlite
import databases
from anyio import CancelScope

from ..errors import BadSetting, LogUnavailable
from .database import (
    Database,
    Query,
    Rows,
    Statement,
    T,
    Transaction,
    Values,
)
from .migrations import migrate

BUSY_SECONDS = 2.0  # how long another process may hold the write lock before a publish is refused
TURN_SECONDS = 5.0  # how long a transaction waits for the others of this process
START_SECONDS = 10.0  # how long a start waits for the starts of other processes
# FULL: a publish that was acknowledged is on disk. Debian's SQLite wipes deleted text unless told not to.
WRITER_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = OFF")
READER_PRAGMAS = ("query_only = ON",)
ROWS_PER_INSERT = 256


class SqliteDatabase(Database):
    """A writing and a reading connection to one SQLite file."""

    def __init__(self, url: str) -> None:
        """Take `sqlite:///<path>`; BadSetting otherwise: options in the URL would become part of the file's name."""
        if not re.fullmatch(r"sqlite:///[^?#]+", url) or url == "sqlite:///:memory:":
            raise BadSetting("DATABASE_URL must be a SQLite file such as sqlite:///./dashboard.db.")
        self._path = databases.DatabaseURL(url).database
        self._writer = _HeldConnection(url, WRITER_PRAGMAS)
        self._reader = _HeldConnection(url, READER_PRAGMAS)
        self._turn = asyncio.Lock()
        self._waiting = 0  # transactions that wait for their turn
        self._wal_path = url.removeprefix("sqlite:///") + "-wal"
        self._wal_stamp: tuple[int, int] | None = None  # when no commit of another process was unseen in it
        self._data_version = 0
        self._unseen = False  # another process has committed, and `changed` has not said so yet

    async def connect(self) -> None:
        """Open the file and run the missing migrations. Safe while other processes do the same."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while failure := await self._try_to_prepare():
            if not is_busy(failure):
                raise BadSetting(f"DATABASE_URL: this file cannot be used ({failure}).") from failure
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(
                    f"Another process keeps the database to itself ({failure})."
                ) from failure
            # Of two connections that switch one file to WAL, SQLite fails one at once instead of letting it wait.
            await asyncio.sleep(random.uniform(0.01, 0.05))
        try:
            await self._writer.open()
            await self._reader.open()
            self._data_version = await self._writer.run(data_version)
        except BaseException:
            await self.disconnect()
            raise

    async def disconnect(self) -> None:
        with CancelScope(
            shield=True
        ):  # aiosqlite's threads are no daemons: left open, the process never ends
            await self._reader.close()
            await self._writer.close()

    async def transact(self, transaction: Transaction[T]) -> T:
        await self._take_turn()
        try:
            result, version = await self._writer.run(partial(transact_and_look, transaction=transaction))
            self._note_version(version)
        finally:
            self._turn.release()
        return result

    async def rows(self, sql: str, values: Values | None = None) -> Rows:
        return await self._reader.run(partial(execute, statement=Query(sql, values)))

    async def page(self, sql: str, values: Values, most_chars: int) -> Rows:
        return await self._reader.run(partial(rows_that_fit, sql=sql, values=values, most_chars=most_chars))

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Mapping[str, Any]]:
        return await self._reader.run(partial(named_rows, sql=sql, values=values))

    def may_have_changed(self) -> bool:
        """Compare size and time of the WAL file with those that were seen last: 2 us."""
        return self._unseen or self._wal_stamp != _file_stamp(self._wal_path)

    async def changed(self) -> bool:
        # On the writing connection, because the answer leaves out what the asking connection wrote itself.
        if not self._unseen and self.may_have_changed():
            self._note_version(await self._writer.run(data_version))
        unseen, self._unseen = self._unseen, False
        return unseen

    def _note_version(self, version: int) -> None:
        # A commit of another process between this version and this stamp is missed here. The next transaction or
        # the next poll finds it: it costs that process's updates some latency.
        self._unseen = self._unseen or version != self._data_version
        self._data_version = version
        self._wal_stamp = _file_stamp(self._wal_path)

    async def _take_turn(self) -> None:
        """Wait for this process's other transactions, first come, first served. The caller releases the lock."""
        if not self._turn.locked() and not self._waiting:
            await self._turn.acquire()  # does not wait: a timer for it would cost as much as all the rest
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise LogUnavailable("Another transaction of this process does not end. Try again.") from None
        finally:
            self._waiting -= 1

    async def _try_to_prepare(self) -> sqlite3.Error | None:
        """Find out what is wrong with the file before aiosqlite does: its thread survives a failed opening."""
        try:
            await asyncio.to_thread(prepare, self._path, BUSY_SECONDS, migrate())
        except sqlite3.Error as error:
            return error
        return None


class _HeldConnection:
    """One connection of `databases`, kept open: opening one is a thread and 0.8 ms."""

    def __init__(self, url: str, pragmas: Sequence[str]) -> None:
        factory = partial(open_connection, pragmas)
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
            # tests/eventlog/test_sqlite.py says so when these two names move.
            result: T = await self._raw._execute(work, self._raw._conn)  # type: ignore[no-untyped-call]
            return result
        except sqlite3.Error as error:
            raise LogUnavailable(f"The database failed ({error}). Try again.") from error


def _file_stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


# ---- in the thread of a connection


def open_connection(pragmas: Sequence[str], *args: Any, **options: Any) -> sqlite3.Connection:
    """Serve as `factory` of `sqlite3.connect`: PRAGMAs cannot travel in a URL of `databases`."""
    connection = sqlite3.Connection(*args, **options)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(path: str, timeout: float, migration: Transaction[None]) -> None:
    """Open the file once, make it a WAL file of the newest schema, close it. Raises sqlite3.Error."""
    factory = partial(open_connection, WRITER_PRAGMAS)
    with closing(sqlite3.connect(path, timeout, isolation_level=None, factory=factory)) as connection:  # type: ignore[call-overload]
        transact(connection, migration)


def transact(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    """Run a transaction from BEGIN to COMMIT. Whatever is raised undoes it."""
    try:
        begin(connection)
        result = run_transaction(transaction, partial(execute, connection))
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return result


def transact_and_look(connection: sqlite3.Connection, transaction: Transaction[T]) -> tuple[T, int]:
    """Run a transaction and read the data version behind it, which saves that question a hop of its own."""
    return transact(connection, transaction), data_version(connection)


def run_transaction(transaction: Transaction[T], execute: Callable[[Statement], Rows]) -> T:
    """Run a transaction, its statements by `execute`, and return its result. What either raises is raised here."""
    try:
        statement = next(transaction)
        while True:
            statement = transaction.send(execute(statement))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        transaction.close()


def begin(connection: sqlite3.Connection) -> None:
    """Take the write lock at once: a transaction that reads first and asks for it later fails under load."""
    connection.rollback()  # does nothing, unless a failing disk let a COMMIT and its ROLLBACK fail before
    connection.execute("BEGIN IMMEDIATE")


def execute(connection: sqlite3.Connection, statement: Statement) -> Rows:
    """Run one statement of a transaction and return its rows."""
    if isinstance(statement, Query):
        return connection.execute(statement.sql, statement.values or ()).fetchall()
    for rows in _powers_of_two(statement.rows):
        sql = _insert_sql(statement.table, statement.columns, len(rows))
        connection.execute(sql, [value for row in rows for value in row])
    return []


def rows_that_fit(connection: sqlite3.Connection, sql: str, values: Values, most_chars: int) -> Rows:
    """Run one statement until the texts in the last column of its rows have `most_chars` characters together."""
    rows: Rows = []
    chars = 0
    with closing(
        connection.execute(sql, values)
    ) as cursor:  # a cursor left open keeps a read transaction open
        for row in cursor:
            rows.append(row)
            chars += len(row[-1])
            if chars >= most_chars:
                break
    return rows


def named_rows(
    connection: sqlite3.Connection, sql: str, values: Values | None = None
) -> list[Mapping[str, Any]]:
    """Run one statement and return its rows by column name."""
    cursor = connection.execute(sql, values or ())
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection has committed (SQLite's `PRAGMA data_version`)."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another process had the file, so that trying again may help."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@cache
def _insert_sql(table: str, columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


def _powers_of_two(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Cut into slices of 256, 128, ... 1 rows: nine prepared statements instead of one for every number."""
    start = 0
    while start < len(rows):
        size = min(ROWS_PER_INSERT, 1 << (len(rows) - start).bit_length() - 1)
        yield rows[start : start + size]
        start += size
