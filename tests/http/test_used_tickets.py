"""used_tickets: that a ticket is new once, in whatever process, and what happens while the database is away."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from dashboard_rt.errors import LogUnavailable
from dashboard_rt.http import used_tickets
from dashboard_rt.http.used_tickets import KEEP_SECONDS, TRIM_SECONDS, UsedTickets
from dashboard_rt.telemetry import Telemetry
from tests.logkit import connected, url

pytestmark = pytest.mark.anyio


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_ticket_is_new_once_in_all_processes(database_url: str) -> None:
    clock = Clock()
    async with connected(database_url) as one, connected(database_url) as other:
        here, there = (UsedTickets(db, Telemetry(), clock) for db in (one, other))
        assert await here.add("a", clock.now + 60)
        assert not await here.add("a", clock.now + 60)
        assert not await there.add("a", clock.now + 60)
        assert await there.add("b", clock.now + 60)


async def test_of_many_that_come_together_each_is_new_once(database_url: str) -> None:
    async with connected(database_url) as one, connected(database_url) as other:
        processes = [UsedTickets(db, Telemetry()) for db in (one, other)]
        uses = [used.add(f"{n}", 2e9) for n in range(500) for used in processes for _ in range(2)]
        answers = await asyncio.gather(*uses)
        assert [sum(answers[n * 4 : n * 4 + 4]) for n in range(500)] == [1] * 500


async def test_what_expired_long_ago_is_deleted(database_url: str) -> None:
    clock = Clock()
    async with connected(database_url) as db:
        used = UsedTickets(db, Telemetry(), clock)
        await used.add("old", clock.now + 60)
        clock.now += TRIM_SECONDS + KEEP_SECONDS + 1
        await used.add("recent", clock.now - KEEP_SECONDS)
        assert await db.rows("SELECT id FROM used_tickets") == [("recent",)]
        clock.now += TRIM_SECONDS + 1
        await used.add("new", clock.now + 60)
        assert await db.rows("SELECT id FROM used_tickets") == [("new",)]


async def test_a_client_that_leaves_takes_nothing_from_the_others(database_url: str) -> None:
    async with connected(database_url) as db:
        used = UsedTickets(db, Telemetry())
        leaving = asyncio.ensure_future(used.add("a", 2e9))
        staying = asyncio.ensure_future(used.add("b", 2e9))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying
        assert not await used.add("a", 2e9), "it was used up"


async def test_while_the_database_is_away_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard_rt.eventlog.sqlite.BUSY_SECONDS", 0.05)
    telemetry = Telemetry()
    async with connected(url(tmp_path)) as db:
        used = UsedTickets(db, telemetry)
        other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for answer in await asyncio.gather(*(used.add(id, 2e9) for id in "ab"), return_exceptions=True):
            assert isinstance(answer, LogUnavailable)
        assert telemetry.value("swallowed", where="tickets.write") >= 1
        other.close()
        assert await used.add("a", 2e9)


async def test_a_database_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(used_tickets, "WAIT_SECONDS", 0.05)
    telemetry = Telemetry()
    async with connected(url(tmp_path)) as db:
        used = UsedTickets(db, telemetry)
        other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable):
            await used.add("a", 2e9)
        assert telemetry.value("swallowed", where="tickets.timeout") == 1
        other.close()


async def test_not_more_wait_than_memory_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who gave up are waiting too, until the database has told."""
    monkeypatch.setattr(used_tickets, "MOST_WAITING", 3)
    monkeypatch.setattr(used_tickets, "MOST_AT_ONCE", 1)
    telemetry = Telemetry()
    async with connected(url(tmp_path)) as db:
        used = UsedTickets(db, telemetry)
        waiting = [asyncio.ensure_future(used.add(id, 2e9)) for id in "abc"]
        await asyncio.sleep(0)
        with pytest.raises(LogUnavailable):
            await used.add("d", 2e9)
        assert telemetry.value("swallowed", where="tickets.full") == 1
        assert all(await asyncio.gather(*waiting))
        assert await used.add("d", 2e9), "it was not used up"
