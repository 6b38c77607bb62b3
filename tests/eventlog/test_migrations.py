from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from dashboard_rt.errors import BadSetting
from dashboard_rt.eventlog.migrations import MIGRATIONS, migrate
from dashboard_rt.eventlog.sqlite_transactions import transact

TABLES = {"meta", "streams", "updates", "idempotency", "metrics", "statuses", "activities", "job_claims"} | {
    "used_tickets",
    "leases",
}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    return {name for (name,) in rows}


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()[0])


def test_an_empty_database_gets_all_tables(connection: sqlite3.Connection) -> None:
    transact(connection, migrate())
    assert tables(connection) == TABLES
    assert version(connection) == len(MIGRATIONS)


def test_the_second_start_changes_nothing(connection: sqlite3.Connection) -> None:
    transact(connection, migrate())
    before = connection.total_changes
    transact(connection, migrate())
    assert connection.total_changes == before


def test_only_what_is_missing_runs(connection: sqlite3.Connection) -> None:
    transact(connection, migrate((("CREATE TABLE one (a)",),)))
    transact(connection, migrate((("CREATE TABLE one (a)",), ("CREATE TABLE two (a)",))))
    assert tables(connection) == {"meta", "one", "two"}
    assert version(connection) == 2


def test_a_migration_that_fails_leaves_the_version_before_it(connection: sqlite3.Connection) -> None:
    transact(connection, migrate((("CREATE TABLE one (a)",),)))
    with pytest.raises(sqlite3.OperationalError):
        transact(connection, migrate(((), ("CREATE TABLE two (a)", "nonsense"))))
    assert tables(connection) == {"meta", "one"}
    assert version(connection) == 1


def test_a_log_of_the_first_schema_gets_times_that_rise(connection: sqlite3.Connection) -> None:
    transact(connection, migrate(MIGRATIONS[:1]))
    connection.execute(
        "INSERT INTO streams VALUES ('a', 'log', 1, 4), ('b', 'log', 1, 2), ('c', 'log', 1, 0)"
    )
    falling = [("a", 1, 10), ("a", 2, 30), ("a", 3, 20), ("a", 4, 40), ("b", 1, 7), ("b", 2, 5)]
    connection.executemany("INSERT INTO updates VALUES (?, ?, 'x', ?)", falling)
    transact(connection, migrate(MIGRATIONS[:2]))
    rows = connection.execute("SELECT created_at_ms FROM updates ORDER BY stream, id")
    assert [ms for (ms,) in rows] == [10, 30, 30, 40, 7, 7]
    rows = connection.execute("SELECT name, newest_ms FROM streams ORDER BY name")
    assert rows.fetchall() == [("a", 40), ("b", 7), ("c", 0)]


def test_a_database_of_a_newer_program_is_refused_with_a_sentence(connection: sqlite3.Connection) -> None:
    transact(connection, migrate(((), (), ())))
    with pytest.raises(BadSetting, match=r"newer dashboard-rt \(schema 3, this one knows 1\)"):
        transact(connection, migrate(((),)))
