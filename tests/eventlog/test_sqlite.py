"""eventlog/sqlite: opening, transactions, turns, cancelled callers, commits of others, and the functions below."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from dashboard_rt.errors import BadSetting, LogUnavailable
from dashboard_rt.eventlog import sqlite
from dashboard_rt.eventlog.database import Database, Insert, Query, Rows, Statement, Transaction
from dashboard_rt.eventlog.sqlite import SqliteDatabase, run_transaction
from tests.logkit import url

pytestmark = pytest.mark.anyio

CLAIM = "INSERT INTO job_claims (job, slot) VALUES (:job, :slot)"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = SqliteDatabase(url(tmp_path))
    await database.connect()
    yield database
    await database.disconnect()


@pytest.fixture
async def other(db: Database, tmp_path: Path) -> AsyncIterator[Database]:
    """Another process, as far as SQLite can tell."""
    database = SqliteDatabase(url(tmp_path))
    await database.connect()
    yield database
    await database.disconnect()


def claiming(slot: int) -> Transaction[int]:
    yield Query(CLAIM, {"job": "j", "slot": slot})
    return slot


def holding(slot: int, release: threading.Event) -> Transaction[int]:
    """Keep the write lock until told; it runs in the connection's thread, so that waiting is allowed."""
    yield Query(CLAIM, {"job": "j", "slot": slot})
    assert release.wait(10)
    return slot


async def slots(db: Database) -> list[int]:
    return [row[0] for row in await db.rows("SELECT slot FROM job_claims ORDER BY slot")]


# ---- opening


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "postgres://localhost/x",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///x.db?timeout=30",
        "sqlite:///x#y",
    ],
)
def test_only_plain_sqlite_files(bad: str) -> None:
    with pytest.raises(BadSetting, match=r"^DATABASE_URL must be"):
        SqliteDatabase(bad)


async def test_a_path_that_does_not_exist_is_a_bad_setting(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite:///{tmp_path}/nowhere/test.db")
    with pytest.raises(BadSetting, match=r"DATABASE_URL.*unable to open"):
        await database.connect()


async def test_a_file_that_is_no_database_is_refused_and_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_text("certainly not a database " * 100)
    with pytest.raises(BadSetting, match=r"DATABASE_URL.*not a database"):
        await SqliteDatabase(url(tmp_path)).connect()
    assert not [thread for thread in threading.enumerate() if "connection" in thread.name]


async def test_a_file_that_is_locked_for_too_long_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(sqlite, "START_SECONDS", 0.05)
    holder = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LogUnavailable, match="keeps the database to itself"):
        await SqliteDatabase(url(tmp_path)).connect()
    holder.close()


async def test_many_processes_start_at_once_on_a_new_file(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from dashboard_rt.eventlog.sqlite import SqliteDatabase, run_transaction\n"
        "async def main():\n"
        "    db = SqliteDatabase(sys.argv[1]); await db.connect(); await db.disconnect()\n"
        "asyncio.run(main())"
    )
    starts = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, url(tmp_path), stderr=asyncio.subprocess.PIPE
        )
        for _ in range(5)
    ]
    for start in starts:
        _, errors = await start.communicate()
        assert start.returncode == 0, errors.decode()


async def test_what_was_never_connected_is_unavailable_and_can_be_disconnected(tmp_path: Path) -> None:
    database = SqliteDatabase(url(tmp_path))
    await database.disconnect()
    with pytest.raises(LogUnavailable, match="not connected"):
        await database.rows("SELECT 1")
    with pytest.raises(LogUnavailable, match="not connected"):
        await database.transact(claiming(1))


async def test_it_can_be_connected_again(db: Database) -> None:
    await db.transact(claiming(1))
    await db.disconnect()
    await db.disconnect()
    await db.connect()
    assert await slots(db) == [1]


# ---- reading and writing


async def test_a_transaction_returns_its_result_and_is_seen_by_readers(db: Database) -> None:
    assert await db.transact(claiming(7)) == 7
    assert await db.fetch_all("SELECT * FROM job_claims WHERE slot = :slot", {"slot": 7}) == [
        {"job": "j", "slot": 7}
    ]


async def test_an_error_in_a_transaction_is_raised_and_undoes_it(db: Database) -> None:
    def failing() -> Transaction[None]:
        yield from claiming(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.transact(failing())
    with pytest.raises(LogUnavailable, match="no such table"):
        await db.rows("SELECT * FROM nonsense")
    assert await slots(db) == []


async def test_transactions_of_one_process_take_turns(db: Database) -> None:
    release = threading.Event()
    first = asyncio.ensure_future(db.transact(holding(1, release)))
    second = asyncio.ensure_future(db.transact(claiming(2)))
    await asyncio.sleep(0.01)
    assert not first.done() and not second.done()
    release.set()
    assert (await first, await second) == (1, 2)
    assert await slots(db) == [1, 2]


async def test_a_turn_that_never_comes_is_unavailable(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "TURN_SECONDS", 0.01)
    release = threading.Event()
    holder = asyncio.ensure_future(db.transact(holding(9, release)))
    await asyncio.sleep(0)
    with pytest.raises(LogUnavailable, match="does not end"):
        await db.transact(claiming(1))
    release.set()
    await holder
    assert await db.transact(claiming(2)) == 2


async def test_a_write_lock_held_elsewhere_is_unavailable_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    database = SqliteDatabase(url(tmp_path))
    await database.connect()
    holder = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match="locked"):
        await database.transact(claiming(1))
    assert await slots(database) == []  # readers do not mind
    holder.close()
    assert await database.transact(claiming(2)) == 2
    await database.disconnect()


# ---- cancelled callers


async def test_a_cancelled_transaction_is_whole_and_the_next_one_works(db: Database) -> None:
    for slot in range(20):
        task = asyncio.ensure_future(db.transact(claiming(slot)))
        await asyncio.sleep(0)  # it is on its way to the thread
        task.cancel()
        await asyncio.wait([task])
    assert await db.transact(claiming(100)) == 100
    assert await slots(db) == [*range(20), 100]


async def test_a_cancelled_reader_leaves_no_snapshot_behind(db: Database) -> None:
    task = asyncio.ensure_future(db.rows("SELECT * FROM job_claims"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await db.transact(claiming(1))
    assert await slots(db) == [1]


# ---- changed


async def test_changed_tells_what_others_wrote_once(db: Database, other: Database) -> None:
    await db.changed()
    await other.transact(claiming(1))
    await other.transact(claiming(2))
    assert await db.changed()
    assert not await db.changed()


async def test_changed_leaves_out_what_this_process_wrote(db: Database, other: Database) -> None:
    await db.changed()
    await db.transact(claiming(1))
    assert not await db.changed()
    assert await other.changed()


async def test_changed_is_not_fooled_by_own_writes_in_between(db: Database, other: Database) -> None:
    await db.changed()
    await other.transact(claiming(1))
    await db.transact(claiming(2))
    assert await db.changed()


async def test_nobody_wrote_since_connect(db: Database) -> None:
    assert not await db.changed()


# ---- in the thread of a connection


def connect(path: Path, pragmas: tuple[str, ...], timeout: float = 0.05) -> sqlite3.Connection:
    factory = partial(sqlite.open_connection, pragmas)
    opened: sqlite3.Connection = sqlite3.connect(  # type: ignore[call-overload]
        path, timeout=timeout, isolation_level=None, factory=factory
    )
    return opened


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    writer = connect(tmp_path / "test.db", sqlite.WRITER_PRAGMAS)
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
    reader = connect(tmp_path / "test.db", sqlite.READER_PRAGMAS)
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
        for some in sqlite._powers_of_two([(0, 0)] * rows):
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
    other = connect(tmp_path / "test.db", sqlite.WRITER_PRAGMAS)
    sqlite.begin(other)
    with pytest.raises(sqlite3.OperationalError) as locked:
        sqlite.transact(connection, inserting(1))
    assert sqlite.is_busy(locked.value)
    assert not sqlite.is_busy(sqlite3.OperationalError("no such table"))
    other.close()


@pytest.mark.parametrize(("most_chars", "rows"), [(1, 1), (10, 1), (11, 2), (29, 3), (1000, 100)])
def test_a_page_reads_nothing_behind_its_last_row(
    connection: sqlite3.Connection, most_chars: int, rows: int
) -> None:
    sqlite.transact(connection, inserting(100))
    read: list[int] = []

    def text_of(number: int) -> str:
        read.append(number)
        return "x" * 10

    connection.create_function("text_of", 1, text_of)
    found = sqlite.rows_that_fit(
        connection, "SELECT a, text_of(a) FROM t WHERE a < :most ORDER BY rowid", {"most": 100}, most_chars
    )
    assert [row[0] for row in found] == [*range(rows)]
    assert len(read) <= rows + 1
    assert not connection.in_transaction


async def test_a_page_leaves_no_snapshot_behind(db: Database) -> None:
    for slot in range(3):
        await db.transact(claiming(slot))
    query = "SELECT slot, job FROM job_claims WHERE slot < :most ORDER BY slot"
    assert await db.page(query, {"most": 9}, 1) == [(0, "j")]
    await db.transact(claiming(3))
    assert await slots(db) == [0, 1, 2, 3]


def test_rows_by_name(connection: sqlite3.Connection) -> None:
    sqlite.transact(connection, inserting(2))
    assert sqlite.named_rows(connection, "SELECT a, b AS c FROM t WHERE a = :a", {"a": 1}) == [
        {"a": 1, "c": "1"}
    ]
    assert sqlite.named_rows(connection, "DELETE FROM t") == []


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
