from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dashboard_rt import sqlite
from dashboard_rt.transaction import Insert, Query, Transaction


def connect(path: Path, pragmas: tuple[str, ...], timeout: float = 0.05) -> sqlite3.Connection:
    factory = partial(sqlite.connection, pragmas)
    opened: sqlite3.Connection = sqlite3.connect(  # type: ignore[call-overload]
        path, timeout=timeout, isolation_level=None, factory=factory
    )
    return opened


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    writer = connect(tmp_path / "test.db", sqlite.WRITER)
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
    reader = connect(tmp_path / "test.db", sqlite.READER)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO t VALUES (1, 2)")
    reader.close()


def test_a_connection_whose_pragma_fails_is_closed(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        connect(tmp_path / "test.db", ("nonsense nonsense",))


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 255, 256, 257, 1000])
def test_many_rows_go_in_whole_and_in_order(connection: sqlite3.Connection, rows: int) -> None:
    assert sqlite.transact(connection, inserting(rows)) == "done"
    assert connection.execute("SELECT a, b FROM t ORDER BY rowid").fetchall() == [
        (n, str(n)) for n in range(rows)
    ]


def test_inserts_need_few_texts_of_sql(connection: sqlite3.Connection) -> None:
    seen: set[str] = set()
    connection.set_trace_callback(lambda sql: seen.add(sql) if sql.startswith("INSERT") else None)
    for rows in range(1, 600):
        for some in sqlite._in_powers_of_two([(0, 0)] * rows):
            seen.add(sqlite._insert_sql("t", ("a", "b"), len(some)))
    assert len(seen) == 9


def test_an_error_undoes_the_transaction(connection: sqlite3.Connection) -> None:
    def failing() -> Transaction[None]:
        yield Insert("t", ("a", "b"), [(1, 2)])
        yield Query("SELECT nonsense")

    with pytest.raises(sqlite3.OperationalError):
        sqlite.transact(connection, failing())
    assert count(connection) == 0
    assert not connection.in_transaction


def test_begin_ends_what_a_failing_disk_left_open(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1, 2)")
    sqlite.transact(connection, inserting(1))
    assert count(connection) == 1


def test_a_locked_file_is_busy_and_other_errors_are_not(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    other = connect(tmp_path / "test.db", sqlite.WRITER)
    sqlite.begin(other)
    with pytest.raises(sqlite3.OperationalError) as locked:
        sqlite.transact(connection, inserting(1))
    assert sqlite.is_busy(locked.value)
    assert not sqlite.is_busy(sqlite3.OperationalError("no such table"))
    other.close()


def test_rows_by_name(connection: sqlite3.Connection) -> None:
    sqlite.transact(connection, inserting(2))
    assert sqlite.named_rows(connection, "SELECT a, b AS c FROM t WHERE a = :a", {"a": 1}) == [
        {"a": 1, "c": "1"}
    ]
    assert sqlite.named_rows(connection, "DELETE FROM t") == []


def test_written_counts_rows_with_and_without_returning(connection: sqlite3.Connection) -> None:
    sqlite.transact(connection, inserting(3))
    assert sqlite.written(connection, "UPDATE t SET b = :b", {"b": 0}) == 3
    assert sqlite.written(connection, "DELETE FROM t WHERE a > 0 RETURNING a") == 2
