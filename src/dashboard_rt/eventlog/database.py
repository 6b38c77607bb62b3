"""What the log asks of a database: statements, transactions, committed rows. Knows no driver.

A transaction is a generator: it yields statements and is sent their rows. So the same lines run whole in the
thread of a SQLite connection, or one await at a time on a database that is reached over a network. SQL is what
SQLite and PostgreSQL both understand, with `:name` for values; a value whose type PostgreSQL cannot see is CAST.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
Values: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = list[tuple[Any, ...]]


class Query(NamedTuple):
    """One statement with its values. Its answer is the rows that it returns."""

    sql: str
    values: Values | None = None


class Insert(NamedTuple):
    """Many rows for one table, in as few statements as possible. Its answer is no rows."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


class Lock(NamedTuple):
    """Keep out other transactions that take a lock of this name, until the end of this one. Its answer is no rows.

    For what reads first and writes by what it read. (SQLite runs one transaction at a time anyway.)
    """

    name: str


Statement: TypeAlias = Query | Insert | Lock
Transaction: TypeAlias = Generator[Statement, Rows, T]


class Database(ABC):
    """One database. Every method raises LogUnavailable when it fails or is too slow."""

    @abstractmethod
    async def connect(self) -> None:
        """Open it and bring its tables up to date. BadSetting when it cannot be used at all."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close it after what runs. Does nothing when it is not open."""

    @abstractmethod
    def on_replaced(self, begin: Callable[[str], Transaction[None]]) -> None:
        """Run `begin(name)` first on a database that is found in the place of the one that was open.

        `name` is the same in all processes that find the same one.
        """

    @abstractmethod
    async def transact(self, transaction: Transaction[T]) -> T:
        """Run a transaction and return its result once it is on disk. What it raises undoes it.

        A caller that is cancelled does not learn how it went, but it went whole or not at all.
        """

    @abstractmethod
    async def rows(self, sql: str, values: Values | None = None) -> Rows:
        """Read committed rows as tuples."""

    @abstractmethod
    async def page(self, sql: str, values: Values, most_chars: int) -> Rows:
        """Read committed rows up to the one whose last column, a text, fills the page; read nothing behind it."""

    @abstractmethod
    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Mapping[str, Any]]:
        """Read committed rows by column name."""

    @abstractmethod
    def may_have_changed(self) -> bool:
        """Tell whether `changed` is worth asking. Costs next to nothing, no await."""

    @abstractmethod
    async def changed(self) -> bool:
        """Tell whether another process has committed since the last call, or since `connect`."""
