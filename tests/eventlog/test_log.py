from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dashboard_rt.errors import LogUnavailable, UnknownStream
from dashboard_rt.eventlog import log as log_module
from dashboard_rt.eventlog import sqlite as sqlite_module
from dashboard_rt.eventlog.database import Query, Transaction
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.types import Append, Bounds, Kind, LogState, Position, Receipt, Update
from tests.logkit import STREAMS, Opened, everything, fill, ids, opened, texts, url
from tests.patience import HANG_LIMIT

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def as_if_nobody_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a statement takes longer than it does where nobody has the lock."""
    monkeypatch.setattr(log_module, "WAITED_MS", 60_000)


@pytest.fixture
async def made(database_url: str) -> AsyncIterator[Opened]:
    async with opened(database_url) as parts:
        yield parts


@pytest.fixture
def log(made: Opened) -> EventLog:
    return made.log


def deleting(table: str) -> Transaction[None]:
    yield Query(f"DELETE FROM {table}")


# ---- opening, state, epoch


async def test_a_new_log_is_empty_and_has_an_epoch(log: EventLog) -> None:
    state = await log.state()
    assert state.streams == {"a": Bounds(Kind.LOG, 1, 0), "b": Bounds(Kind.STATE, 1, 0)}
    assert Position.parse(f"{state.epoch}-7") == Position(state.epoch, 7)


async def test_epoch_and_updates_survive_and_kinds_follow_the_setting(database_url: str) -> None:
    async with opened(database_url) as (_, log):
        await fill(log, "a", 3)
        before = await log.state()
    async with opened(database_url, {"a": Kind.STATE, "c": Kind.LOG}) as (db, log):
        after = await log.state()
        assert await db.rows("SELECT kind FROM streams WHERE name = 'a'") == [("state",)]
    assert after.epoch == before.epoch
    assert after.streams == {"a": Bounds(Kind.STATE, 1, 3), "c": Bounds(Kind.LOG, 1, 0)}


async def test_a_stream_that_comes_back_has_its_updates(database_url: str) -> None:
    async with opened(database_url) as (_, log):
        await fill(log, "b", 2)
    async with opened(database_url, {"a": Kind.LOG}) as (_, log):
        assert list((await log.state()).streams) == ["a"]
    async with opened(database_url) as (_, log):
        assert ids(await everything(log, "b")) == [1, 2]


async def test_a_new_epoch_without_condition_is_another(log: EventLog) -> None:
    before = (await log.state()).epoch
    assert await log.new_epoch() == (await log.state()).epoch != before


async def test_of_those_who_expect_the_same_epoch_only_the_first_changes_it(
    log: EventLog, database_url: str
) -> None:
    async with opened(database_url) as (_, other):
        for _ in range(10):
            before = (await log.state()).epoch
            first, second = await asyncio.gather(log.new_epoch(before), other.new_epoch(before))
            assert first == second == (await log.state()).epoch != before


async def test_without_an_epoch_there_is_no_state(made: Opened) -> None:
    await made.db.transact(deleting("meta WHERE key = 'epoch'"))
    with pytest.raises(LogUnavailable, match="dashboard-rt init"):
        await made.log.state()
    assert await made.log.new_epoch("gone") == (await made.log.state()).epoch


async def test_a_log_that_was_replaced_by_its_backup_begins_another_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "SETTLE_SECONDS", 0.01)
    async with opened(url(tmp_path)) as (_, log):
        await fill(log, "a", 3)
    shutil.copyfile(tmp_path / "test.db", tmp_path / "backup.db")
    async with opened(url(tmp_path)) as (_, log), opened(url(tmp_path)) as (_, other):
        await fill(log, "a", 2)
        before = (await log.state()).epoch
        (tmp_path / "backup.db").rename(tmp_path / "test.db")
        with pytest.raises(LogUnavailable, match="deleted or replaced"):
            await fill(log, "a", 1)
        assert other.may_have_changed()
        after = await until_available(log)
        assert after.epoch != before
        assert after.streams["a"] == Bounds(Kind.LOG, 1, 3)
        assert await until_available(other) == after, "one epoch for all processes"
        (receipt,), _ = await other.append([Append("a", texts(4))])
        assert receipt.position == Position(after.epoch, 4)
    async with opened(url(tmp_path)) as (_, log):
        assert (await log.state()).streams["a"].last_id == 4


async def test_a_log_that_was_deleted_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "SETTLE_SECONDS", 0.01)
    async with opened(url(tmp_path)) as (_, log):
        await fill(log, "a", 3)
        before = (await log.state()).epoch
        (tmp_path / "test.db").unlink()
        assert log.may_have_changed()
        after = await until_available(log)
        assert after.epoch != before
        assert after.streams["a"] == Bounds(Kind.LOG, 1, 0)


async def until_available(log: EventLog) -> LogState:
    async with asyncio.timeout(HANG_LIMIT):
        while True:
            try:
                return await log.state()
            except LogUnavailable:
                await asyncio.sleep(0.005)


# ---- append and after


async def test_ids_are_contiguous_in_the_order_of_the_group(log: EventLog) -> None:
    epoch = (await log.state()).epoch
    group = [Append("a", texts(1, 2)), Append("b", texts(10)), Append("a", texts(3))]
    receipts = [
        Receipt(Position(epoch, 2), 2),
        Receipt(Position(epoch, 1), 1),
        Receipt(Position(epoch, 3), 1),
    ]
    assert await log.append(group) == (receipts, epoch)
    assert await everything(log, "a") == [Update("a", n, text) for n, text in enumerate(texts(1, 2, 3), 1)]
    assert await everything(log, "b") == [Update("b", 1, *texts(10))]
    assert (await log.state()).streams["a"] == Bounds(Kind.LOG, 1, 3)


async def test_after_is_a_page_of_what_follows(log: EventLog) -> None:
    await fill(log, "a", 10)
    assert ids(await log.after("a", 4, 3)) == [5, 6, 7]
    assert ids(await log.after("a", 8, 100)) == [9, 10]
    assert await log.after("a", 10, 100) == []
    assert await log.after("nobody", 0, 100) == []


@pytest.mark.parametrize(
    ("sizes", "pages"),
    [
        ([30_000] * 7, [3, 3, 1]),
        ([65_536] * 3, [1, 1, 1]),
        ([1, 200_000, 1], [2, 1]),
        ([65_535, 1, 1], [2, 1]),
        ([300] * 400, [219, 181]),
    ],
)
async def test_a_page_is_bounded_in_characters_too(log: EventLog, sizes: list[int], pages: list[int]) -> None:
    await log.append([Append("a", ["é" * size for size in sizes])])
    cursor, found = 0, []
    while page := await log.after("a", cursor, 1000):
        found.append(len(page))
        cursor = page[-1].id
    assert found == pages


async def test_texts_come_back_as_they_went_in(log: EventLog) -> None:
    texts = ('{"a": "\\u0000\\ud83d\\ude00 ü \u2028"}', "null", '""', "9" * 70_000)
    await log.append([Append("a", texts)])
    assert tuple(update.text for update in await everything(log, "a")) == texts


async def test_an_unknown_stream_spoils_nothing(log: EventLog) -> None:
    with pytest.raises(UnknownStream, match="'nobody'"):
        await log.append([Append("a", texts(1)), Append("nobody", texts(1))])
    assert await everything(log, "a") == []


async def test_a_group_that_fails_leaves_no_hole(log: EventLog) -> None:
    await fill(log, "a", 2)
    with pytest.raises(LogUnavailable, match=r"binding|expected str"):
        await log.append([Append("a", texts(3)), Append("b", [object()])])  # type: ignore[list-item]
    await log.append([Append("a", texts(3))])
    assert ids(await everything(log, "a")) == [1, 2, 3]


async def test_two_processes_share_the_ids(log: EventLog, database_url: str) -> None:
    async def append(to: EventLog) -> None:
        for n in range(30):
            await to.append([Append("b", texts(n)), Append("a", texts(n, n))])

    async with opened(database_url) as (_, other):
        await asyncio.gather(append(log), append(other))
    assert ids(await everything(log, "a")) == [*range(1, 121)]
    assert ids(await everything(log, "b")) == [*range(1, 61)]


async def test_a_stream_whose_row_is_gone_begins_anew(made: Opened) -> None:
    await made.db.transact(deleting("streams"))
    assert (await made.log.state()).streams["a"] == Bounds(Kind.LOG, 1, 0)
    (receipt,), _ = await made.log.append([Append("a", texts(1))])
    assert receipt.position.id == 1


async def test_a_log_that_is_locked_is_unavailable_to_writers_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_SECONDS", 0.01)
    async with opened(url(tmp_path)) as (_, log):
        await fill(log, "a", 1)
        holder = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match="locked"):
            await log.append([Append("a", texts(2))])
        assert ids(await everything(log, "a")) == [1]
        holder.close()
        await log.append([Append("a", texts(2))])
        assert ids(await everything(log, "a")) == [1, 2]


async def test_others_commits_are_noticed(tmp_path: Path) -> None:
    async with opened(url(tmp_path)) as (_, log), opened(url(tmp_path)) as (_, other):
        await log.changed()
        await fill(log, "a", 1)
        assert not await log.changed()
        await fill(other, "a", 1)
        assert await log.changed()


# ---- rows that somebody deleted by hand


def deleting_updates(*ids: int) -> Transaction[None]:
    for id in ids:
        yield Query("DELETE FROM updates WHERE id = :id", {"id": id})


async def test_a_page_ends_at_a_hole(made: Opened) -> None:
    await fill(made.log, "a", 9)
    await made.db.transact(deleting_updates(1, 4, 5, 8))
    assert ids(await made.log.after("a", 0, 100)) == [2, 3]
    assert ids(await made.log.after("a", 2, 100)) == [3]
    assert ids(await made.log.after("a", 3, 100)) == [6, 7]
    assert ids(await made.log.after("a", 4, 1)) == [6]
    assert ids(await made.log.after("a", 7, 100)) == [9]


@pytest.mark.parametrize(
    ("missing", "behind", "found"),
    [
        ((), 0, None),
        ((1,), 0, 2),
        ((1,), 1, None),
        ((4, 5), 0, 6),
        ((4, 5), 3, 6),
        ((4, 5), 4, 6),
        ((4, 5), 5, None),
        ((2, 6), 0, 7),
        ((2, 6), 6, None),
        ((9,), 0, None),
        (tuple(range(1, 10)), 0, None),
    ],
)
async def test_the_last_hole(made: Opened, missing: tuple[int, ...], behind: int, found: int | None) -> None:
    await fill(made.log, "a", 9)
    await made.db.transact(deleting_updates(*missing))
    assert await made.log.behind_hole("a", behind) == found


@pytest.mark.parametrize("missing", [(1,), (3,), (9,), (1, 2, 3, 4, 5), tuple(range(1, 10))])
async def test_a_log_with_a_hole_is_trimmed_and_goes_on(made: Opened, missing: tuple[int, ...]) -> None:
    log = made.log
    await fill(log, "a", 9)
    await made.db.transact(deleting_updates(*missing))
    await log.trim(4)
    assert (await log.state()).streams["a"] == Bounds(Kind.LOG, 6, 9)
    kept = [id for id in range(6, 10) if id not in missing]
    assert [id for (id,) in await made.db.rows("SELECT id FROM updates ORDER BY id")] == kept
    (receipt,), _ = await log.append([Append("a", texts(10))])
    assert receipt.position.id == 10


async def test_a_trim_does_not_walk_through_ids_that_have_no_rows(made: Opened) -> None:
    await fill(made.log, "a", 9)
    await made.db.transact(editing("UPDATE updates SET id = id + 1000000000"))
    await made.db.transact(editing("UPDATE streams SET last_id = 1000000009 WHERE name = 'a'"))
    async with asyncio.timeout(HANG_LIMIT):
        await made.log.trim(4)
    assert (await made.log.state()).streams["a"].oldest_id == 1_000_000_006


def editing(sql: str) -> Transaction[None]:
    yield Query(sql)


@pytest.mark.parametrize(
    "edit",
    [
        "DELETE FROM streams WHERE name = 'a'",
        "UPDATE streams SET last_id = 2 WHERE name = 'a'",
        "UPDATE streams SET last_id = 0, oldest_id = 700 WHERE name = 'a'",
        "UPDATE streams SET oldest_id = 700 WHERE name = 'a'",
    ],
)
async def test_a_start_repairs_bounds_that_do_not_fit_the_rows(database_url: str, edit: str) -> None:
    async with opened(database_url) as (db, log):
        await EventLog(db, STREAMS, now=lambda: 5e9).append([Append("a", texts(*range(5)))])
        await db.transact(editing(edit))
    async with opened(database_url) as (db, log):
        bounds = (await log.state()).streams["a"]
        assert bounds.last_id == 5 and bounds.oldest_id in (1, 6)
        (receipt,), _ = await log.append([Append("a", texts(6))])
        assert receipt.position.id == 6
        assert await db.rows("SELECT DISTINCT created_at_ms FROM updates") == [(5_000_000_000_000,)]


# ---- idempotency keys


async def test_a_known_key_gets_its_first_receipt(log: EventLog) -> None:
    (first, _), _ = await log.append([Append("a", texts(1, 2), "k"), Append("a", texts(3))])
    (again, new), _ = await log.append([Append("a", texts(1, 2), "k"), Append("a", texts(4), "l")])
    assert again == first._replace(repeated=True)
    assert (new.position.id, new.repeated) == (4, False)
    assert ids(await everything(log, "a")) == [1, 2, 3, 4]
    assert (await log.state()).streams["a"].last_id == 4


async def test_a_key_twice_in_one_group_counts_once(log: EventLog) -> None:
    group = [Append("a", texts(1), "k"), Append("a", texts(1), "k"), Append("a", texts(2))]
    (first, second, third), _ = await log.append(group)
    assert [first.position.id, second.position.id, third.position.id] == [1, 1, 2]
    assert [first.repeated, second.repeated, third.repeated] == [False, True, False]
    assert [update.text for update in await everything(log, "a")] == list(texts(1, 2))


async def test_a_key_belongs_to_its_stream(log: EventLog) -> None:
    receipts, _ = await log.append([Append("a", texts(1), "k"), Append("b", texts(1), "k")])
    assert [receipt.repeated for receipt in receipts] == [False, False]


async def test_keys_are_known_to_other_processes(log: EventLog, database_url: str) -> None:
    await log.append([Append("a", texts(1), "k")])
    async with opened(database_url) as (_, other):
        (receipt,), _ = await other.append([Append("a", texts(1), "k")])
    assert receipt.repeated


async def test_random_groups_keep_ids_contiguous_and_keys_unique(log: EventLog) -> None:
    dice = random.Random(7)
    written: dict[tuple[str, str], str] = {}
    expected: dict[str, list[str]] = {"a": [], "b": []}
    for serial in range(60):
        group = []
        for place in range(dice.randrange(1, 8)):
            stream, key = dice.choice("ab"), dice.choice([None, *"123456789"])
            text = f'"{serial}.{place}"'
            group.append(Append(stream, [text], key))
            if key is None or (stream, key) not in written:
                expected[stream].append(text)
                written[stream, key or text] = text
        await log.append(group)
    for stream, wanted in expected.items():
        updates = await everything(log, stream)
        assert [update.text for update in updates] == wanted
        assert ids(updates) == [*range(1, len(wanted) + 1)]


# ---- since


async def test_since_is_the_id_before_the_first_that_is_young_enough(made: Opened) -> None:
    now = iter([10.0, 20.0, 30.0])
    log = EventLog(made.db, STREAMS, now=lambda: next(now))
    for _ in range(3):
        await log.append([Append("a", texts(1, 2))])  # ids 1-2 at 10 s, 3-4 at 20 s, 5-6 at 30 s
    assert await log.since("a", 20_001, 100) == 4
    assert await log.since("a", 20_000, 100) == 2
    assert await log.since("a", 99_000, 100) == 6
    assert await log.since("a", 5_000, 100) == 0


async def test_since_does_not_reach_beyond_the_limit(made: Opened) -> None:
    now = iter([10.0, 20.0])
    log = EventLog(made.db, STREAMS, now=lambda: next(now))
    await log.append([Append("a", texts(1, 2))])
    await log.append([Append("a", texts(3, 4, 5))])
    assert await log.since("a", 15_000, 3) == 2
    assert await log.since("a", 15_000, 2) is None
    assert await log.since("a", 5_000, 5) == 0
    assert await log.since("a", 5_000, 4) is None


async def test_since_does_not_reach_beyond_the_log(made: Opened) -> None:
    now = iter([10.0, 20.0])
    log = EventLog(made.db, STREAMS, now=lambda: next(now))
    await log.append([Append("a", texts(1, 2))])
    await log.append([Append("a", texts(3, 4))])
    await log.trim(2)
    assert await log.since("a", 25_000, 100) == 4
    assert await log.since("a", 15_000, 100) is None


async def times(made: Opened) -> list[int]:
    """The times of creation, in the order of the ids."""
    return [ms for (ms,) in await made.db.rows("SELECT created_at_ms FROM updates ORDER BY id")]


async def test_an_update_is_as_old_as_its_turn_to_write(tmp_path: Path) -> None:
    moment = 10.0
    async with opened(url(tmp_path)) as made:
        log = EventLog(made.db, STREAMS, now=lambda: moment)
        holder = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(log.append([Append("a", texts(1))]))
        await asyncio.sleep(0.02)  # it waits for the lock
        moment = 20.0
        holder.close()
        await waiting
        assert await times(made) == [20_000]


async def test_a_clock_that_is_set_back_hides_no_update_from_since(made: Opened) -> None:
    now = iter([10.0, 20.0, 15.0, 16.0, 30.0])
    log = EventLog(made.db, STREAMS, now=lambda: next(now))
    for number in range(1, 6):
        await log.append([Append("a", texts(number))])
    assert await times(made) == [10_000, 20_000, 20_000, 20_000, 30_000]
    assert await log.since("a", 18_000, 100) == 1
    assert await log.since("a", 25_000, 100) == 4


async def test_the_time_is_carried_on_by_other_processes_and_by_an_emptied_log(
    made: Opened, database_url: str
) -> None:
    await EventLog(made.db, STREAMS, now=lambda: 20.0).append([Append("a", texts(1))])
    await made.log.trim(0)
    async with opened(database_url) as (db, _):
        await EventLog(db, STREAMS, now=lambda: 10.0).append([Append("a", texts(2))])
    assert await times(made) == [20_000]


async def test_since_is_an_index_lookup(tmp_path: Path) -> None:
    values = {"stream": "a", "ms": 1}
    async with opened(url(tmp_path)) as (db, _):
        plan = [row[-1] for row in await db.rows(f"EXPLAIN QUERY PLAN {log_module.SINCE}", values)]
    assert any("INDEX updates_by_age (stream=? AND created_at_ms<?)" in line for line in plan), plan
    assert not any(line.startswith("SCAN") or "TEMP B-TREE" in line for line in plan), plan


async def test_since_finds_the_end_of_a_group_that_repeats_a_key(made: Opened) -> None:
    now = iter([10.0, 20.0, 30.0])
    log = EventLog(made.db, STREAMS, now=lambda: next(now))
    await log.append([Append("a", texts(1), "k")])
    await log.append([Append("a", texts(2, 3)), Append("a", texts(1), "k")])
    await log.append([Append("a", texts(1), "k")])
    assert await log.since("a", 25_000, 100) == 3
    assert await log.since("a", 15_000, 100) == 1


async def test_since_on_an_empty_log_is_its_beginning(log: EventLog) -> None:
    assert await log.since("a", 1, 100) == 0


# ---- trim


async def test_trim_keeps_the_newest_of_each_stream(log: EventLog) -> None:
    await fill(log, "a", 20)
    await fill(log, "b", 3)
    assert await log.trim(5) == 15
    assert ids(await everything(log, "a")) == [16, 17, 18, 19, 20]
    assert ids(await everything(log, "b")) == [1, 2, 3]
    assert (await log.state()).streams == {"a": Bounds(Kind.LOG, 16, 20), "b": Bounds(Kind.STATE, 1, 3)}
    assert await log.trim(5) == 0


async def test_trim_takes_many_small_slices_between_which_appends_go(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "TRIM_ROWS", 10)
    await fill(log, "a", 500)
    trimming = asyncio.ensure_future(log.trim(5))
    appended = 0
    while not trimming.done():
        await log.append([Append("a", texts(appended))])
        appended += 1
    removed = await trimming
    assert 495 <= removed < 495 + appended, "it may look at the bounds before or after the first appends"
    assert appended > 40
    assert ids(await everything(log, "a")) == [*range(removed + 1, 501 + appended)]


async def test_two_processes_that_trim_do_not_trim_too_much(log: EventLog, database_url: str) -> None:
    await fill(log, "a", 1800)
    async with opened(database_url) as (_, other):
        removed = await asyncio.gather(log.trim(100), other.trim(100))
    assert sum(removed) == 1700
    assert (await log.state()).streams["a"] == Bounds(Kind.LOG, 1701, 1800)


async def test_a_key_is_forgotten_with_its_last_update(made: Opened) -> None:
    log = made.log
    await log.append([Append("a", texts(1, 2), "old"), Append("a", texts(3), "new")])
    await log.trim(2)
    assert await made.db.rows("SELECT key FROM idempotency ORDER BY key") == [("new",), ("old",)]
    await log.trim(1)
    assert await made.db.rows("SELECT key FROM idempotency") == [("new",)]
    (receipt,), _ = await log.append([Append("a", texts(1, 2), "old")])
    assert (receipt.position.id, receipt.repeated) == (5, False)


async def test_trim_may_empty_a_stream_without_losing_count(log: EventLog) -> None:
    await fill(log, "a", 3)
    assert await log.trim(0) == 3
    assert (await log.state()).streams["a"] == Bounds(Kind.LOG, 4, 3)
    assert await log.since("a", 0, 100) is None
    await log.append([Append("a", texts(4))])
    assert ids(await everything(log, "a")) == [4]
