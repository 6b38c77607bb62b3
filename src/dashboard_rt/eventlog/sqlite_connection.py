"""One held connection to a SQLite file and what runs in its thread. Nothing else imports `databases`.

A transaction runs whole in the thread of its connection, in one hop: the event loop pays two thread switches instead
of two a statement, and a cancelled caller cannot leave it half done. That is why it goes past the queries of
`databases`: each of those is a compile by SQLAlchemy and up to four hops, and one cancelled between two of them
leaves its cursor, and with it a read transaction, open for good.

The interpreter's lock changes hands at every statement, which beside a busy event loop can take milliseconds: so
statements are few, and many rows go in with one INSERT, never with `executemany`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache, partial
from typing import Any

import aiosqlite
import databases

from ..errors import LogUnavailable
from .database import Query, Rows, Statement, T, Transaction, Values

CLOSE_SECONDS = 2.0  # how long a connection may take to close: then its disk does not answer
EXIT_SECONDS = 1.0  # how long a process that has ended otherwise waits for such a disk
# FULL: a publish that was acknowledged is on disk. Debian's SQLite wipes deleted text unless told not to.
WRITER_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = OFF")
READER_PRAGMAS = ("query_only = ON",)
ROWS_PER_INSERT = 256

logger = logging.getLogger(__name__)


class HeldConnection:
    """One connection of `databases`, kept open: opening one is a thread and 0.8 ms.

    `timeout` is how many seconds it waits for the locks of others.
    """

    def __init__(self, pragmas: Sequence[str], timeout: float) -> None:
        self._options: dict[str, Any] = {"timeout": timeout, "factory": partial(open_connection, pragmas)}
        self._database: databases.Database
        self._held: Any = None
        self._raw: aiosqlite.Connection | None = None

    async def open(self, path: str) -> None:
        """Open the file at an absolute path. LogUnavailable when that fails."""
        self._database = databases.Database(database_url(path), **self._options)
        await self._database.connect()
        held = self._database.connection()
        try:
            await held.__aenter__()
        except sqlite3.Error as error:
            raise LogUnavailable(f"The database cannot be opened ({error}).") from error
        self._held, self._raw = held, held.raw_connection

    async def close(self) -> None:
        """Close it after what runs in its thread, or give the thread up when that does not end. Never raises."""
        (held, self._held), (raw, self._raw) = (self._held, None), (self._raw, None)
        if held is None or raw is None:
            return
        closing = asyncio.ensure_future(held.__aexit__(None, None, None))
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
        if not closing.done():
            logger.error("The disk does not answer: a database connection cannot be closed.")
            end_process_without(raw._thread)
            for _ in range(2):  # aiosqlite waits for its thread once more when it is cancelled
                closing.cancel()
                await asyncio.wait([closing], timeout=0.01)
        elif error := closing.exception():
            logger.warning("A database connection did not close well (%s).", error)
        await self._database.disconnect()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the connection's thread, after what waits there; to its end, even if cancelled."""
        if self._raw is None:
            raise LogUnavailable("The database is not connected.")
        try:
            # aiosqlite has no public way to run more than one statement in a hop. Its version is pinned, and
            # tests/eventlog/test_sqlite_connection.py says so when these two names move.
            result: T = await self._raw._execute(work, self._raw._conn)  # type: ignore[no-untyped-call]
            return result
        except sqlite3.Error as error:
            raise LogUnavailable(f"The database failed ({error}). Try again.") from error


def database_url(path: str) -> str:
    """Return the URL that `databases` reads an absolute path from: it splits and unquotes it."""
    return "sqlite:///" + path.translate({ord(char): f"%{ord(char):02X}" for char in "%?#\t\n\r"})


def end_process_without(thread: threading.Thread) -> None:
    """Have the process end, with status 1, although a thread of it hangs in the kernel.

    Threads of aiosqlite are no daemons, so the interpreter waits for them at its end. Nothing happens as long as the
    main thread goes on, which may have more to do than our app.
    """

    def watch() -> None:
        threading.main_thread().join()
        thread.join(EXIT_SECONDS)
        if thread.is_alive():
            os._exit(1)

    threading.Thread(target=watch, name="end of process", daemon=True).start()


async def run_in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that the process does not wait for at its end, as it does for `asyncio.to_thread`."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(settled: Callable[[], None]) -> None:
        if not result.done():
            settled()

    def run() -> None:
        try:
            settled = partial(result.set_result, work())
        except Exception as error:  # noqa: BLE001  raised where it is awaited
            settled = partial(result.set_exception, error)
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, settled)

    threading.Thread(target=run, name="database start", daemon=True).start()
    return await result


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


def checkpoint(connection: sqlite3.Connection) -> None:
    """Write all that was committed from the WAL into the database file, and cut the WAL down to nothing."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


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
