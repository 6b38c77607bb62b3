"""eventlog/sqlite_transactions: what runs in the thread of a connection. Transactions themselves are in test_sqlite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dashboard_rt.eventlog import sqlite_connection as connections
from dashboard_rt.eventlog import sqlite_transactions as transactions
from dashboard_rt.eventlog.database import Insert, Query, Rows, Statement, Transaction
from dashboard_rt.eventlog.sqlite_transactions import run_transaction


def connect(path: Path, pragmas: tuple[str, ...], timeout: float = 0.05) -> sqlite3.Connection:
    factory = partial(connections.open_connection, pragmas)
    opened: sqlite3.Connection = sqlite3.connect(  # type: ignore[call-overload]
        path, timeout=timeout, isolation_level=None, factory=factory
    )
    return opened


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    writer = connect(tmp_path / "test.db", connections.WRITER_PRAGMAS)
    writer.execute("CREATE TABLE t (a, b)")
    yield writer
    writer.close()


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def inserting(rows: int) -> Transaction[str]:
    yield Insert("t", ("a", "b"), [(n, str(n)) for n in range(rows)])
    return "done"


def test_the_writer_waits_for_the_disk(connection: sqlite3.Connection) -> None:
    full, wal, off = 2, "wal", 0
    pragmas = ("synchronous", "journal_mode", "secure_delete")
    assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == [full, wal, off]


def test_the_reader_cannot_write(connection: sqlite3.Connection, tmp_path: Path) -> None:
    reader = connect(tmp_path / "test.db", connections.READER_PRAGMAS)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO t VALUES (1, 2)")
    reader.close()


def test_a_connection_whose_pragma_fails_is_closed(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        connect(tmp_path / "test.db", ("nonsense nonsense",))


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 255, 256, 257, 1000])
def test_many_rows_go_in_whole_and_in_order(connection: sqlite3.Connection, rows: int) -> None:
    assert transactions.transact(connection, inserting(rows)) == "done"
    assert connection.execute("SELECT a, b FROM t ORDER BY rowid").fetchall() == [
        (n, str(n)) for n in range(rows)
    ]


def test_inserts_need_few_texts_of_sql(connection: sqlite3.Connection) -> None:
    seen: set[str] = set()
    connection.set_trace_callback(lambda sql: seen.add(sql) if sql.startswith("INSERT") else None)
    for rows in range(1, 600):
        for some in transactions._powers_of_two([(0, 0)] * rows):
            seen.add(transactions._insert_sql("t", ("a", "b"), len(some)))
    assert len(seen) == 9


def test_an_error_undoes_the_transaction(connection: sqlite3.Connection) -> None:
    def failing() -> Transaction[None]:
        yield Insert("t", ("a", "b"), [(1, 2)])
        yield Query("SELECT nonsense")

    with pytest.raises(sqlite3.OperationalError):
        transactions.transact(connection, failing())
    assert count(connection) == 0
    assert not connection.in_transaction


def test_begin_ends_what_a_failing_disk_left_open(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1, 2)")
    transactions.transact(connection, inserting(1))
    assert count(connection) == 1


def test_a_locked_file_is_busy_and_other_errors_are_not(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    other = connect(tmp_path / "test.db", connections.WRITER_PRAGMAS)
    transactions.begin(other)
    with pytest.raises(sqlite3.OperationalError) as locked:
        transactions.transact(connection, inserting(1))
    assert transactions.is_busy(locked.value)
    assert not transactions.is_busy(sqlite3.OperationalError("no such table"))
    other.close()


@pytest.mark.parametrize(("most_chars", "rows"), [(1, 1), (10, 1), (11, 2), (29, 3), (1000, 100)])
def test_a_page_reads_nothing_behind_its_last_row(
    connection: sqlite3.Connection, most_chars: int, rows: int
) -> None:
    transactions.transact(connection, inserting(100))
    read: list[int] = []

    def text_of(number: int) -> str:
        read.append(number)
        return "x" * 10

    connection.create_function("text_of", 1, text_of)
    found = transactions.rows_that_fit(
        connection, "SELECT a, text_of(a) FROM t WHERE a < :most ORDER BY rowid", {"most": 100}, most_chars
    )
    assert [row[0] for row in found] == [*range(rows)]
    assert len(read) <= rows + 1
    assert not connection.in_transaction


def test_rows_by_name(connection: sqlite3.Connection) -> None:
    transactions.transact(connection, inserting(2))
    assert transactions.named_rows(connection, "SELECT a, b AS c FROM t WHERE a = :a", {"a": 1}) == [
        {"a": 1, "c": "1"}
    ]
    assert transactions.named_rows(connection, "DELETE FROM t") == []


# ---- the statements of a transaction


def adding() -> Transaction[int]:
    first = yield Query("first")
    second = yield Query("second")
    return int(first[0][0] + second[0][0])


def test_each_statement_is_answered_and_the_result_returned() -> None:
    answers: dict[str, Rows] = {"first": [(1,)], "second": [(2,)]}

    def answer(statement: Statement) -> Rows:
        assert isinstance(statement, Query)
        return answers[statement.sql]

    assert run_transaction(adding(), answer) == 3


def test_an_error_of_a_statement_goes_through_and_ends_the_transaction() -> None:
    transaction = adding()

    def answer(statement: Statement) -> Rows:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        run_transaction(transaction, answer)
    assert list(transaction) == []


def test_a_transaction_without_statements_is_possible() -> None:
    def nothing() -> Transaction[str]:
        return "done"
        yield Query("never")  # type: ignore[unreachable]

    assert run_transaction(nothing(), lambda statement: []) == "done"
