"""A transaction as a generator: it yields statements and is sent their rows. Knows no driver and no database.

So the same few lines of logic run whole in the thread of a SQLite connection, or one await at a time elsewhere.
SQL is what SQLite and PostgreSQL both understand, with `:name` for values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
Values: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = list[tuple[Any, ...]]


class Query(NamedTuple):
    """A statement with its values; is answered with its rows."""

    sql: str
    values: Values | None = None


class Insert(NamedTuple):
    """Many rows for one table, in few statements however many they are; is answered with no rows."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


Statement: TypeAlias = Query | Insert
Transaction: TypeAlias = Generator[Statement, Rows, T]


def drive(transaction: Transaction[T], answer: Callable[[Statement], Rows]) -> T:
    """Run a transaction with statements that `answer` runs; its result. What either raises goes through."""
    try:
        statement = next(transaction)
        while True:
            statement = transaction.send(answer(statement))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        transaction.close()
