from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from dashboard_rt import db as db_module
from dashboard_rt.db import Database
from dashboard_rt.errors import BadSetting, LogUnavailable
from dashboard_rt.transaction import Query, Transaction
from tests.logkit import url

pytestmark = pytest.mark.anyio

CLAIM = "INSERT INTO job_claims (job, slot) VALUES (:job, :slot)"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(url(tmp_path))
    await database.connect()
    yield database
    await database.disconnect()


@pytest.fixture
async def other(db: Database, tmp_path: Path) -> AsyncIterator[Database]:
    """Another process, as far as SQLite can tell."""
    database = Database(url(tmp_path))
    await database.connect()
    yield database
    await database.disconnect()


def claiming(slot: int) -> Transaction[int]:
    yield Query(CLAIM, {"job": "j", "slot": slot})
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
        Database(bad)


async def test_a_path_that_does_not_exist_is_a_bad_setting(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/nowhere/test.db")
    with pytest.raises(BadSetting, match=r"DATABASE_URL.*unable to open"):
        await database.connect()


async def test_a_file_that_is_no_database_is_refused_and_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_text("certainly not a database " * 100)
    with pytest.raises(BadSetting, match=r"DATABASE_URL.*not a database"):
        await Database(url(tmp_path)).connect()
    assert not [thread for thread in threading.enumerate() if "connection" in thread.name]


async def test_a_file_that_is_locked_for_too_long_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_module, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(db_module, "START_SECONDS", 0.05)
    holder = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LogUnavailable, match="keeps the database to itself"):
        await Database(url(tmp_path)).connect()
    holder.close()


async def test_many_processes_start_at_once_on_a_new_file(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from dashboard_rt.db import Database\n"
        "async def main():\n"
        "    db = Database(sys.argv[1]); await db.connect(); await db.disconnect()\n"
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
    database = Database(url(tmp_path))
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


async def test_a_session_writes_counts_and_reads_its_own(db: Database) -> None:
    async with db.writing() as session:
        await session.insert_many("job_claims", ("job", "slot"), [("j", n) for n in range(10)])
        assert await session.execute("DELETE FROM job_claims WHERE slot < :n", {"n": 4}) == 4
        assert await session.fetch_all("SELECT count(*) AS n FROM job_claims") == [{"n": 6}]
        assert await slots(db) == []
    assert await slots(db) == [4, 5, 6, 7, 8, 9]


async def test_a_session_that_raises_is_rolled_back(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.writing() as session:
            await session.execute(CLAIM, {"job": "j", "slot": 1})
            raise ZeroDivisionError
    assert await slots(db) == []


async def test_a_rollback_that_fails_does_not_hide_the_first_error(db: Database) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        async with db.writing():
            await db.disconnect()
            raise ZeroDivisionError
    assert "The rollback failed too" in caught.value.__notes__[0]


async def test_transactions_of_one_process_take_turns(db: Database) -> None:
    async with db.writing() as session:
        waiting = asyncio.ensure_future(db.transact(claiming(2)))
        await session.execute(CLAIM, {"job": "j", "slot": 1})
        assert not waiting.done()
    assert await waiting == 2
    assert await slots(db) == [1, 2]


async def test_a_turn_that_never_comes_is_unavailable(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_module, "TURN_SECONDS", 0.01)
    async with db.writing():
        with pytest.raises(LogUnavailable, match="does not end"):
            await db.transact(claiming(1))
    assert await db.transact(claiming(2)) == 2


async def test_a_write_lock_held_elsewhere_is_unavailable_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_module, "BUSY_SECONDS", 0.01)
    database = Database(url(tmp_path))
    await database.connect()
    holder = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match="locked"):
        await database.transact(claiming(1))
    with pytest.raises(LogUnavailable, match="locked"):
        async with database.writing():
            raise AssertionError("unreachable")
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


async def test_a_scope_that_is_cancelled_lets_the_session_finish(db: Database) -> None:
    with anyio.CancelScope() as scope:
        async with db.writing() as session:
            scope.cancel()
            await session.execute(CLAIM, {"job": "j", "slot": 1})
    assert await slots(db) == [1]


async def test_a_task_that_is_cancelled_in_a_session_rolls_back_and_poisons_nothing(db: Database) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with db.writing() as session:
            await session.execute(CLAIM, {"job": "j", "slot": 1})
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(write())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await db.transact(claiming(2)) == 2
    assert await slots(db) == [2]


async def test_a_task_that_is_cancelled_at_any_moment_of_a_session_poisons_nothing(db: Database) -> None:
    async def write(slot: int) -> None:
        async with db.writing() as session:
            await session.execute(CLAIM, {"job": "j", "slot": slot})

    for moments in range(12):
        task = asyncio.ensure_future(write(moments))
        for _ in range(moments):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert await db.transact(claiming(100)) == 100


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
    async with db.writing() as session:
        await session.execute(CLAIM, {"job": "j", "slot": 2})
        assert not await db.changed()
    assert not await db.changed()
    assert await other.changed()


async def test_changed_is_not_fooled_by_own_writes_in_between(db: Database, other: Database) -> None:
    await db.changed()
    await other.transact(claiming(1))
    await db.transact(claiming(2))
    assert await db.changed()


async def test_nobody_wrote_since_connect(db: Database) -> None:
    assert not await db.changed()
