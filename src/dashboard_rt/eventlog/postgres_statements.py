"""How the log's statements are told to PostgreSQL: numbered parameters, arrays for many rows, pages by a cursor.

Takes a connection of asyncpg and raises what that raises. Knows neither how it was opened nor what becomes of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from .database import Insert, Lock, Query, Rows, Statement, T, Transaction, Values
from .postgres_failures import breaks

PARAMETER = re.compile(r"(?<!:):([a-z]\w*)")  # `:name`, but not the type of a cast `::name`
# A row more has to be asked for, and rows that do not fit are read again: so few at first, then as many as seem to fit.
FIRST_ROWS = 4
ROWS_GROW = 4
# The types of the arrays that an INSERT unnests, by the Python type of a column's first value. What a column holds
# otherwise PostgreSQL casts, such as BIGINT to SMALLINT.
ARRAYS = {int: "BIGINT[]", float: "DOUBLE PRECISION[]"}


async def run_transaction(raw: Any, transaction: Transaction[T]) -> T:
    """Run the statements of a transaction that has begun, and COMMIT. Whatever they raise undoes it."""
    try:
        result = await _run_statements(raw, transaction)
    except Exception as error:
        if not breaks(error):
            await raw.execute("ROLLBACK")
        raise
    await raw.execute("COMMIT")
    return result


async def _run_statements(raw: Any, transaction: Transaction[T]) -> T:
    try:
        statement = next(transaction)
        while True:
            statement = transaction.send(await execute(raw, statement))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        transaction.close()


async def execute(raw: Any, statement: Statement) -> Rows:
    """Run one statement and return its rows."""
    if isinstance(statement, Query):
        return [tuple(row) for row in await fetch(raw, statement.sql, statement.values)]
    if isinstance(statement, Lock):
        await raw.fetch(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"dashboard-rt {statement.name}"
        )
    elif statement.rows:
        await raw.fetch(_insert_sql(statement), *zip(*statement.rows, strict=True))
    return []


async def fetch(raw: Any, sql: str, values: Values | None) -> Sequence[Mapping[str, Any]]:
    """Run one query and return its rows as asyncpg has them. Of `values` only those that it names are sent."""
    numbered_sql, names = numbered(sql)
    rows: Sequence[Mapping[str, Any]] = await raw.fetch(numbered_sql, *(_named(values, names)))
    return rows


async def fetch_page(raw: Any, sql: str, values: Values, most_chars: int) -> Rows:
    """Run one query until the texts in the last column of its rows have `most_chars` characters together.

    What is read beyond that is at most ROWS_GROW times as many rows as are returned.
    """
    numbered_sql, names = numbered(sql)
    rows: Rows = []
    async with raw.transaction():  # a cursor lives in one
        cursor = await raw.cursor(numbered_sql, *_named(values, names))
        chars, wanted = 0, FIRST_ROWS
        while chars < most_chars:
            found = await cursor.fetch(wanted)
            for row in found:
                rows.append(tuple(row))
                chars += len(row[-1])
                if chars >= most_chars:
                    break
            if len(found) < wanted:
                break
            fitting = (most_chars - chars) * len(rows) // max(chars, 1) + 1
            wanted = max(1, min(fitting, ROWS_GROW * len(rows)))
    return rows


@cache
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return SQL with `$1`, `$2` ... in the place of `:name`, and the names in the order of the numbers."""
    names = tuple(dict.fromkeys(PARAMETER.findall(sql)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    return PARAMETER.sub(lambda match: numbers[match[1]], sql), names


def _named(values: Values | None, names: Sequence[str]) -> list[Any]:
    return [(values or {})[name] for name in names]


def _insert_sql(insert: Insert) -> str:
    return _unnesting(
        insert.table, insert.columns, tuple(ARRAYS.get(type(value), "TEXT[]") for value in insert.rows[0])
    )


@cache
def _unnesting(table: str, columns: tuple[str, ...], arrays: tuple[str, ...]) -> str:
    """Return one INSERT for any number of rows: a statement for each number would be prepared for each."""
    places = ", ".join(f"${number}::{array}" for number, array in enumerate(arrays, 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({places})"
