"""eventlog/sqlite: opening, transactions, turns, cancelled callers, commits of others, files that are replaced."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from dashboard_rt.errors import BadSetting, LogUnavailable
from dashboard_rt.eventlog import sqlite, sqlite_transactions
from dashboard_rt.eventlog.database import Database, Query, Transaction
from dashboard_rt.eventlog.sqlite import SqliteDatabase
from tests.logkit import url
from tests.patience import HANG_LIMIT

pytestmark = pytest.mark.anyio

CLAIM = "INSERT INTO job_claims (job, slot) VALUES (:job, :slot)"


def files(directory: Path) -> list[str]:
    """The names of the files in a directory."""
    return sorted(file.name for file in directory.iterdir())


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
        "sqlite:///%3Amemory%3A",
        "sqlite:///x.db?timeout=30",
        "sqlite:///x#y",
        "sqlite:///x%00.db",
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


@pytest.mark.parametrize("path", ["", "missing/"])
async def test_a_directory_is_a_bad_setting(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadSetting, match=r"^DATABASE_URL: .* is a directory"):
        await SqliteDatabase(f"sqlite:///{tmp_path}/{path}").connect()


@pytest.mark.parametrize("path", ["link.db", "folder/test.db", "data/test.db", "link%2Edb", "odd ?#%&.db"])
async def test_commits_of_others_are_noticed_by_whatever_name_the_file_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "link.db").symlink_to("data/test.db")
    (tmp_path / "odd ?#%&.db").symlink_to("data/test.db")
    (tmp_path / "folder").symlink_to("data")
    quoted = path if "link" in path else path.translate({ord(char): f"%{ord(char):02x}" for char in "?#%"})
    named, plain = SqliteDatabase(f"sqlite:///{quoted}"), SqliteDatabase(url(tmp_path / "data"))
    monkeypatch.chdir("/")
    for db in (named, plain):
        await db.connect()
    await named.changed()
    assert not named.may_have_changed()
    await plain.transact(claiming(1))
    assert named.may_have_changed() and await named.changed()
    assert await slots(named) == [1]
    for db in (named, plain):
        await db.disconnect()


@pytest.mark.parametrize(
    "name", ["a b.db", "a%3Fb%23c%25d.db", "ü.db", "file:x.db", "%3Amemory%3A", "x%0Ay.db"]
)
async def test_odd_names_are_names_of_files(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        db = SqliteDatabase(f"sqlite:///{tmp_path}/{name}")
        await db.connect()
        await db.transact(claiming(len(await slots(db))))
        assert files(tmp_path) == [unquote(name) + end for end in ("", "-shm", "-wal")]
        await db.disconnect()
    assert files(tmp_path) == [unquote(name)]


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
        "import asyncio, sys; from dashboard_rt.eventlog.sqlite import SqliteDatabase\n"
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
    monkeypatch.setattr(sqlite_transactions, "TURN_SECONDS", 0.01)
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


# ---- a disk that hangs


async def test_a_look_for_commits_of_others_does_not_wait_for_a_transaction(
    db: Database, other: Database
) -> None:
    await db.changed()
    release = threading.Event()
    hanging = asyncio.ensure_future(db.transact(holding(1, release)))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        assert not await db.changed()
        assert await slots(db) == []
    release.set()
    await hanging
    await other.transact(claiming(2))
    assert await db.changed()


HANGING = """
import asyncio, sys, threading
from dashboard_rt.eventlog import sqlite, sqlite_connection
from dashboard_rt.eventlog.database import Query
sqlite.CLOSE_SECONDS = sqlite_connection.CLOSE_SECONDS = 0.1
sqlite_connection.EXIT_SECONDS = float(sys.argv[3])
def hang():
    yield Query("SELECT 1")
    threading.Event().wait(float(sys.argv[2]))
async def main():
    db = sqlite.SqliteDatabase(sys.argv[1])
    await db.connect()
    task = asyncio.ensure_future(db.transact(hang()))
    await asyncio.sleep(0.05)
    await db.disconnect()
    print("disconnected", flush=True)
    task.cancel()
asyncio.run(main())
"""


@pytest.mark.parametrize(("seconds", "patience", "status"), [("3600", "0.1", 1), ("1.5", "60", 0)])
async def test_a_process_ends_although_its_disk_hangs(
    tmp_path: Path, seconds: str, patience: str, status: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HANGING, url(tmp_path), seconds, patience),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(HANG_LIMIT):
        output, errors = await process.communicate()
    assert output == b"disconnected\n"
    assert errors.startswith(b"The disk does not answer")
    assert process.returncode == status


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


async def test_a_page_leaves_no_snapshot_behind(db: Database) -> None:
    for slot in range(3):
        await db.transact(claiming(slot))
    query = "SELECT slot, job FROM job_claims WHERE slot < :most ORDER BY slot"
    assert await db.page(query, {"most": 9}, 1) == [(0, "j")]
    await db.transact(claiming(3))
    assert await slots(db) == [0, 1, 2, 3]


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


# ---- files that are replaced


def backup(directory: Path) -> Path:
    """A copy of the database as it is now, in one file of its own."""
    copy = directory / "backup.db"
    with sqlite3.connect(directory / "test.db") as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    return copy


def database(directory: Path, suffix: str = "") -> Path:
    return directory / f"test.db{suffix}"


def delete(directory: Path) -> None:
    database(directory).unlink()


def delete_all(directory: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database(directory, suffix).unlink()


def delete_wal(directory: Path) -> None:
    database(directory, "-wal").unlink()


def delete_shm(directory: Path) -> None:
    database(directory, "-shm").unlink()


def replace_wal(directory: Path) -> None:
    database(directory, "-wal").unlink()
    database(directory, "-wal").touch()


def rename_backup_over(directory: Path) -> None:
    (directory / "backup.db").rename(database(directory))


def rename_empty_over(directory: Path) -> None:
    (directory / "empty").touch()
    (directory / "empty").rename(database(directory))


def cut_to_nothing(directory: Path) -> None:
    os.truncate(database(directory), 0)


def move_away(directory: Path) -> None:
    database(directory).rename(database(directory, ".old"))


def rename_directory(directory: Path) -> None:
    directory.rename(directory.with_name("elsewhere"))
    directory.mkdir()


# What happens to the file, and the slots that are in it once it has been opened anew. Slot 1 is in the backup, slot 2
# was committed since; slot 3 is tried while the file is replaced, slot 4 afterwards.
REPLACEMENTS = [
    (delete, [4]),
    (delete_all, [4]),
    (move_away, [4]),
    (delete_wal, [1, 2, 3, 4]),
    (replace_wal, [1, 2, 3, 4]),
    (delete_shm, [1, 2, 3, 4]),
    (rename_backup_over, [1, 4]),
    (rename_empty_over, [4]),
    (cut_to_nothing, [4]),
    (rename_directory, [4]),
]


@pytest.fixture
async def replaceable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteDatabase]:
    """A database in a directory of its own, with slot 1 in its backup and slot 2 in its WAL."""
    monkeypatch.setattr(sqlite, "SETTLE_SECONDS", 0.02)
    (tmp_path / "data").mkdir()
    made = SqliteDatabase(url(tmp_path / "data"))
    await made.connect()
    await made.transact(claiming(1))
    backup(tmp_path / "data")
    await made.transact(claiming(2))
    yield made
    await made.disconnect()


async def opened_anew(db: Database) -> list[int]:
    """The slots, once the database can be read again."""
    async with asyncio.timeout(HANG_LIMIT):
        while True:
            try:
                return await slots(db)
            except LogUnavailable:
                await asyncio.sleep(0.005)


@pytest.mark.parametrize(("replace", "left"), REPLACEMENTS)
async def test_nothing_is_acknowledged_that_the_file_of_that_name_does_not_hold(
    replaceable: SqliteDatabase, tmp_path: Path, replace: Callable[[Path], None], left: list[int]
) -> None:
    begun: list[str] = []

    def begin(name: str) -> Transaction[None]:
        begun.append(name)
        yield Query("SELECT 1")

    replaceable.on_replaced(begin)
    replace(tmp_path / "data")
    with pytest.raises(LogUnavailable, match="deleted or replaced"):
        await replaceable.transact(claiming(3))
    assert await opened_anew(replaceable) == left[:-1]
    await replaceable.transact(claiming(4))
    assert len(begun) == 1
    await replaceable.disconnect()
    await replaceable.connect()
    assert await slots(replaceable) == left


@pytest.mark.parametrize(("replace", "left"), REPLACEMENTS)
async def test_a_file_that_was_replaced_is_noticed_without_a_transaction(
    replaceable: SqliteDatabase, tmp_path: Path, replace: Callable[[Path], None], left: list[int]
) -> None:
    await replaceable.changed()
    assert not replaceable.may_have_changed()
    replace(tmp_path / "data")
    assert replaceable.may_have_changed()
    assert await replaceable.changed()
    with pytest.raises(LogUnavailable, match="deleted or replaced"):
        await replaceable.rows("SELECT 1")
    assert await opened_anew(replaceable) == [slot for slot in left if slot < 3]
    assert not await replaceable.changed() or not await replaceable.changed()


async def test_a_transaction_during_which_the_file_is_replaced_is_not_acknowledged(
    replaceable: SqliteDatabase, tmp_path: Path
) -> None:
    release = threading.Event()
    transaction = asyncio.ensure_future(replaceable.transact(holding(3, release)))
    await asyncio.sleep(0.01)
    rename_backup_over(tmp_path / "data")
    assert replaceable.may_have_changed()
    reading = asyncio.ensure_future(opened_anew(replaceable))
    await asyncio.sleep(0.05)
    release.set()
    with pytest.raises(LogUnavailable, match="deleted or replaced"):
        await transaction
    assert await reading == [1]


async def test_a_file_that_was_moved_away_holds_all_that_was_committed(
    replaceable: SqliteDatabase, tmp_path: Path
) -> None:
    move_away(tmp_path / "data")
    assert replaceable.may_have_changed()
    assert await opened_anew(replaceable) == []
    with sqlite3.connect(database(tmp_path / "data", ".old")) as old:
        assert old.execute("SELECT slot FROM job_claims ORDER BY slot").fetchall() == [(1,), (2,)]
    old.close()


async def test_a_file_that_is_being_copied_is_left_alone_until_it_stands_still(
    replaceable: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SETTLE_SECONDS", 60)
    whole = (tmp_path / "data" / "backup.db").read_bytes()
    database(tmp_path / "data").unlink()
    assert replaceable.may_have_changed()
    with database(tmp_path / "data").open("wb", buffering=0) as copy:
        for start in range(0, len(whole), 4096):
            copy.write(whole[start : start + 4096])
            with pytest.raises(LogUnavailable, match="as soon as it stands still"):
                await replaceable.rows("SELECT 1")
    assert database(tmp_path / "data").read_bytes() == whole
    monkeypatch.setattr(sqlite, "SETTLE_SECONDS", 0.02)
    assert await opened_anew(replaceable) == [1]


@pytest.mark.parametrize("obstacle", ["garbage", "directory", "no directory", "newer", "full"])
async def test_what_cannot_be_opened_is_unavailable_until_something_else_is_there(
    replaceable: SqliteDatabase, tmp_path: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    match obstacle:
        case "garbage":
            database(data).unlink()
            database(data).write_text("certainly not a database " * 1000)
        case "directory":
            database(data).unlink()
            database(data).mkdir()
        case "no directory":
            data.rename(tmp_path / "elsewhere")
        case "newer":
            with sqlite3.connect(data / "backup.db") as newer:
                newer.execute("UPDATE meta SET value = 1000 WHERE key = 'schema_version'")
            newer.close()
            rename_backup_over(data)
        case "full":
            monkeypatch.setattr(sqlite, "prepare", failing_with_a_full_disk)
            database(data).unlink()
    assert replaceable.may_have_changed()
    for _ in range(8):  # some of them are attempts
        with pytest.raises(LogUnavailable, match="deleted or replaced"):
            await replaceable.transact(claiming(3))
        await asyncio.sleep(0.01)
    match obstacle:
        case "directory":
            database(data).rmdir()
        case "no directory":
            (tmp_path / "elsewhere").rename(data)
        case "full":
            monkeypatch.undo()
        case _:
            database(data).unlink()
    assert await opened_anew(replaceable) == ([1, 2] if obstacle == "no directory" else [])
    await replaceable.transact(claiming(4))


def failing_with_a_full_disk(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


async def test_a_file_that_is_written_over_where_it_lies_needs_the_operator(
    replaceable: SqliteDatabase, tmp_path: Path
) -> None:
    cut_to_nothing(tmp_path / "data")
    assert replaceable.may_have_changed()
    shutil.copyfile(tmp_path / "data" / "backup.db", database(tmp_path / "data"))
    await asyncio.sleep(0.03)
    for _ in range(2):
        with pytest.raises(LogUnavailable, match=r"stop all servers|stands still"):
            await replaceable.rows("SELECT 1")
        await asyncio.sleep(0.03)
    rename_backup_over(tmp_path / "data")
    assert await opened_anew(replaceable) == [1]


async def test_a_link_that_is_switched_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "SETTLE_SECONDS", 0.02)
    for name, slot in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        made = SqliteDatabase(url(tmp_path / name))
        await made.connect()
        await made.transact(claiming(slot))
        await made.disconnect()
    link = tmp_path / "test.db"
    link.symlink_to(tmp_path / "one" / "test.db")
    linked = SqliteDatabase(url(tmp_path))
    await linked.connect()
    await linked.transact(claiming(3))
    link.unlink()
    link.symlink_to(tmp_path / "two" / "test.db")
    with pytest.raises(LogUnavailable, match="deleted or replaced"):
        await linked.transact(claiming(4))
    assert await opened_anew(linked) == [2]
    assert files(tmp_path / "one") == ["test.db"], "closed, and complete"
    await linked.disconnect()


async def test_of_many_processes_each_opens_what_is_there(
    replaceable: SqliteDatabase, tmp_path: Path
) -> None:
    others = [SqliteDatabase(url(tmp_path / "data")) for _ in range(3)]
    names: list[str] = []

    def begin(name: str) -> Transaction[None]:
        names.append(name)
        yield Query("SELECT 1")

    for db in (replaceable, *others):
        if db is not replaceable:
            await db.connect()
        db.on_replaced(begin)
    rename_backup_over(tmp_path / "data")
    for number, db in enumerate((replaceable, *others)):
        assert db.may_have_changed()
        assert await opened_anew(db) == [1, *range(10, 10 + number)]
        await db.transact(claiming(10 + number))
    assert len(names) == 4 and len(set(names)) == 1
    for db in others:
        await db.disconnect()
    await replaceable.disconnect()
    await replaceable.connect()
    assert await slots(replaceable) == [1, 10, 11, 12, 13]


async def test_a_reader_that_is_cancelled_leaves_the_opening_to_itself(
    replaceable: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename_backup_over(tmp_path / "data")
    assert replaceable.may_have_changed()
    for _ in range(200):
        task = asyncio.ensure_future(replaceable.rows("SELECT 1"))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
    assert await opened_anew(replaceable) == [1]


async def test_a_look_that_fails_does_not_take_back_what_was_committed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    await db.transact(claiming(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing)
        assert await db.transact(claiming(2)) == 2
        db.may_have_changed()
    assert await slots(db) == [1, 2]
    assert await db.transact(claiming(3)) == 3
