"""What a SQLite database does while it is open: transactions, reads, looks for what others have done.

A transaction runs whole in the thread of the writing connection, in one hop: the event loop pays two thread switches
instead of two a statement, and a cancelled caller cannot leave it half done. That is why it goes past the queries of
`databases`: each of those is a compile by SQLAlchemy and up to four hops, and one cancelled between two of them
leaves its cursor, and with it a read transaction, open for good.

The functions at the end run in a connection's thread. The interpreter's lock changes hands at every statement, which
beside a busy event loop can take milliseconds: so statements are few, and many rows go in with one INSERT, never
with `executemany`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache, partial
from typing import Any

from ..errors import LogUnavailable
from .database import Database, Lock, Query, Rows, Statement, T, Transaction, Values
from .sqlite_connection import READER_PRAGMAS, WRITER_PRAGMAS, HeldConnection

TURN_SECONDS = 5.0  # how long a transaction waits for the others of this process
# How old the last look at the files may be before a transaction writes. Whoever follows the log looks more often; a
# `publish` that waited for its next line does not, and must not write by files that others have left meanwhile.
LOOK_SECONDS = 0.25
ROWS_PER_INSERT = 256
REPLACED = "The database file was deleted or replaced under this process. Try again."


class SqliteTransactions(Database):
    """A writing and a reading connection. Whoever inherits from it opens them, and says what is open.

    `timeout` is how many seconds they wait for the locks of other processes.
    """

    def __init__(self, timeout: float) -> None:
        self._writer = HeldConnection(WRITER_PRAGMAS, timeout)
        self._reader = HeldConnection(READER_PRAGMAS, timeout)
        self._turn = asyncio.Lock()
        self._waiting = 0  # transactions that wait for their turn
        self._paths: tuple[str, ...] = ()  # of the files that are open; the last one grows with every commit
        self._inodes: list[tuple[int, int]] = []  # theirs
        self._replaced = False  # the paths lead to other files, and nothing has been opened there yet
        self._stamp: tuple[int, int] | None = (
            None  # of the last file, when no commit of others was unseen in it
        )
        self._looked_at = 0.0  # loop.time() of the last look
        self._data_version = 0
        self._unseen = False  # another process has committed, and `changed` has not said so yet

    @abstractmethod
    def _examine(self) -> None:
        """Find out what the paths lead to when it is not what was opened, and set `_replaced` if that is so."""

    @abstractmethod
    async def _reopen(self) -> None:
        """Open what the paths lead to now. LogUnavailable when that cannot be done yet."""

    # ---- transactions and reads

    async def transact(self, transaction: Transaction[T]) -> T:
        await self._take_turn()
        try:
            if asyncio.get_running_loop().time() > self._looked_at + LOOK_SECONDS:
                self._look()
            if self._replaced:
                await self._reopen()
            inodes = self._inodes
            result, version = await self._run(
                self._writer, partial(transact_and_look, transaction=transaction)
            )
            stamp = self._look()
            if self._replaced or self._inodes is not inodes:
                raise LogUnavailable(REPLACED)  # it was committed to a file that nobody will open again
            self._note_version(version, stamp)
        finally:
            self._turn.release()
        return result

    async def rows(self, sql: str, values: Values | None = None) -> Rows:
        return await self._read(partial(execute, statement=Query(sql, values)))

    async def page(self, sql: str, values: Values, most_chars: int) -> Rows:
        return await self._read(partial(rows_that_fit, sql=sql, values=values, most_chars=most_chars))

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Mapping[str, Any]]:
        return await self._read(partial(named_rows, sql=sql, values=values))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._replaced:
            await self._reopen()
        return await self._run(self._reader, work)

    async def _run(self, held: HeldConnection, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a connection's thread, after what waits there; to its end, even if cancelled."""
        raw = held.raw
        if raw is None:
            raise LogUnavailable("The database is not connected.")
        try:
            # aiosqlite has no public way to run more than one statement in a hop. Its version is pinned, and
            # tests/eventlog/test_sqlite.py says so when these two names move.
            result: T = await raw._execute(work, raw._conn)  # type: ignore[no-untyped-call]
            return result
        except sqlite3.Error as error:
            raise LogUnavailable(f"The database failed ({error}). Try again.") from error

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

    # ---- what others do to the files

    def _look(self) -> tuple[int, int] | None:
        """Compare the files that are open with what their paths lead to; return size and time of the last: 6 us."""
        self._looked_at = asyncio.get_running_loop().time()
        try:
            # What a link leads to, and then what is in the place itself.
            found = [*map(os.stat, self._paths[:1]), *map(os.lstat, self._paths[1:])]
        except OSError:
            self._examine()
            return None
        if [(stat.st_dev, stat.st_ino) for stat in found] != self._inodes or not (found and found[0].st_size):
            self._examine()
        return (found[-1].st_size, found[-1].st_mtime_ns) if found else None

    def may_have_changed(self) -> bool:
        stamp = self._look()
        return self._replaced or self._unseen or stamp != self._stamp

    async def changed(self) -> bool:
        # On the writing connection, because the answer leaves out what the asking connection wrote itself.
        # Not behind a transaction that is under way: that tells the version too, and its disk may hang.
        if not self._unseen and self.may_have_changed() and not self._replaced and not self._turn.locked():
            version = await self._run(self._writer, data_version)
            self._note_version(version, self._look())
        unseen, self._unseen = self._unseen, False
        return unseen or self._replaced

    def _note_version(self, version: int, stamp: tuple[int, int] | None) -> None:
        # A commit of another process between this version and this look is missed here. The next transaction or
        # the next poll finds it: it costs that process's updates some latency.
        self._unseen = self._unseen or version != self._data_version
        self._data_version = version
        self._stamp = stamp


# ---- in the thread of a connection


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
    if isinstance(statement, Lock):
        return []  # BEGIN IMMEDIATE has kept out everybody
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
