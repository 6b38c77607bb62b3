"""What runs in the thread of a SQLite connection: plain blocking functions, each a whole piece of work.

The interpreter's lock changes hands at every statement, and beside a busy event loop each change can take
milliseconds. So statements are few: many rows go in with one INSERT, never with `executemany`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache, partial
from typing import Any

from .transaction import Query, Rows, Statement, T, Transaction, Values, drive

# A 201 means on disk, hence FULL; deleted text need not be wiped, which Debian's SQLite does unless told.
WRITER = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = OFF")
READER = ("query_only = ON",)
ROWS_AT_ONCE = 256


def connection(pragmas: Sequence[str], *args: Any, **options: Any) -> sqlite3.Connection:
    """A `factory` for `sqlite3.connect`: PRAGMAs cannot ride in a URL of `databases` (facts.md §3)."""
    opened = sqlite3.Connection(*args, **options)
    try:
        for pragma in pragmas:
            opened.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        opened.close()
        raise
    return opened


def prepare(path: str, timeout: float, migrating: Transaction[None]) -> None:
    """Open the file once, make it a WAL file of the newest schema, close it."""
    factory = partial(connection, WRITER)
    with closing(sqlite3.connect(path, timeout, isolation_level=None, factory=factory)) as opened:  # type: ignore[call-overload]
        transact(opened, migrating)


def transact(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    """Run a transaction from BEGIN to COMMIT. Whatever is raised undoes it."""
    try:
        begin(connection)
        result = drive(transaction, partial(answer, connection))
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return result


def transact_and_look(connection: sqlite3.Connection, transaction: Transaction[T]) -> tuple[T, int]:
    """The same, and the data version behind it: whether others have committed, at no hop of its own."""
    return transact(connection, transaction), data_version(connection)


def begin(connection: sqlite3.Connection) -> None:
    """Take the write lock at once: a transaction that reads first and asks for it later fails under load."""
    connection.rollback()  # nothing, unless a failing disk let a COMMIT and its ROLLBACK fail
    connection.execute("BEGIN IMMEDIATE")


def answer(connection: sqlite3.Connection, statement: Statement) -> Rows:
    """Run one statement of a transaction; its rows."""
    if isinstance(statement, Query):
        return connection.execute(statement.sql, statement.values or ()).fetchall()
    for rows in _in_powers_of_two(statement.rows):
        sql = _insert_sql(statement.table, statement.columns, len(rows))
        connection.execute(sql, [value for row in rows for value in row])
    return []


def named_rows(
    connection: sqlite3.Connection, sql: str, values: Values | None = None
) -> list[Mapping[str, Any]]:
    """The rows that a statement answers, by column name."""
    cursor = connection.execute(sql, values or ())
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def written(connection: sqlite3.Connection, sql: str, values: Values | None = None) -> int:
    """How many rows a statement wrote."""
    cursor = connection.execute(sql, values or ())
    cursor.fetchall()  # a RETURNING that is not read to its end keeps the statement, and the COMMIT, waiting
    return cursor.rowcount


def data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection has committed (sqlite.org/pragma.html#pragma_data_version)."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process had the file, so that trying again may help."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@cache
def _insert_sql(table: str, columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


def _in_powers_of_two(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Slices of 256, 128, ... 1 rows: nine texts of SQL that stay prepared, instead of one for every number."""
    start = 0
    while start < len(rows):
        size = min(ROWS_AT_ONCE, 1 << (len(rows) - start).bit_length() - 1)
        yield rows[start : start + size]
        start += size
