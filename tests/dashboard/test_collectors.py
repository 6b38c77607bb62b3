"""collectors: what they store and publish, one run per slot, failures that are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from dashboard_rt.dashboard.collectors import Collectors, Job
from dashboard_rt.dashboard.model import Dashboard, Metrics
from dashboard_rt.dashboard.system_metrics import SystemMetrics
from dashboard_rt.errors import LogUnavailable
from dashboard_rt.eventlog.database import Database
from dashboard_rt.eventlog.publisher import Publisher
from dashboard_rt.eventlog.sqlite import SqliteDatabase
from dashboard_rt.settings import DASHBOARD_STREAM
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Position, Receipt

pytestmark = pytest.mark.anyio


class FakePublisher(Publisher):
    """Keeps what is published."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.away = False

    async def publish(self, stream: str, texts: Sequence[str], key: str | None = None) -> Receipt:
        assert stream == DASHBOARD_STREAM
        if self.away:
            raise LogUnavailable("away")
        self.published += map(orjson.loads, texts)
        self.arrived.set()
        return Receipt(Position("e", len(self.published)), len(texts))


class FakeSystemMetrics(SystemMetrics):
    """Figures that the test chose."""

    def __init__(self) -> None:
        self.cpu = 10.0

    def read(self) -> Metrics:
        return Metrics(self.cpu, 20, 30, 1.5)


class World:
    """A database with everything that collectors need, and the collectors of as many processes as a test wants."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.dashboard = Dashboard(db, keep=100)
        self.publisher = FakePublisher()
        self.telemetry = Telemetry()
        self.system_metrics = FakeSystemMetrics()
        self.now = 1000.0

    def collectors(self, lag: float | None = None) -> Collectors:
        return Collectors(
            self.db,
            self.dashboard,
            self.publisher,
            self.telemetry,
            lambda: lag,
            system_metrics=self.system_metrics,
            now=lambda: self.now,
        )

    def runs(self, job: str, result: str) -> float:
        return self.telemetry.value("job_runs", job=job, result=result)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    db = SqliteDatabase(f"sqlite:///{tmp_path}/jobs.db")
    await db.connect()
    yield World(db)
    await db.disconnect()


async def test_metrics_are_stored_and_published(world: World) -> None:
    await world.collectors(lag=4.25).collect_metrics()
    (update,) = world.publisher.published
    assert update["metrics"] == {"cpu": 10, "memory": 20, "disk": 30, "network": 1.5, "response_time": 4.25}
    assert update["published_at_ms"] == 1_000_000 and update["timestamp"] == "1970-01-01T00:16:40.000Z"
    assert await world.dashboard.latest_metrics() == Metrics(10, 20, 30, 1.5, 4.25)


async def test_a_worker_knows_no_lag(world: World) -> None:
    await world.collectors().collect_metrics()
    assert world.publisher.published[0]["metrics"]["response_time"] is None


async def test_an_activity_only_when_the_status_changed(world: World) -> None:
    collectors = world.collectors()
    for cpu in (10, 20, 95, 96, 10):
        world.system_metrics.cpu = cpu
        await collectors.run_now()
    activities = world.publisher.published[-1]["activities"]
    assert [(a["level"], a["message"]) for a in activities] == [
        ("info", "Status is online, was offline. All is well: CPU 10 %, memory 20 %"),
        ("error", "Status is offline, was online. Overloaded: CPU 95 %, memory 20 %"),
        ("info", "Status is online. All is well: CPU 10 %, memory 20 %"),
    ]


async def test_no_status_without_figures(world: World) -> None:
    await world.collectors().check_status()
    assert world.publisher.published == []


async def test_one_process_runs_each_slot(world: World) -> None:
    one, other = world.collectors(), world.collectors()
    for _ in range(3):
        await asyncio.gather(one.run_slot(one.jobs[0]), other.run_slot(other.jobs[0]))
        world.now += one.jobs[0].period
    assert (world.runs("metrics", "ok"), world.runs("metrics", "elsewhere")) == (3, 3)
    assert len(world.publisher.published) == 3


async def test_old_claims_are_forgotten(world: World) -> None:
    collectors = world.collectors()
    for _ in range(30):
        await collectors.run_slot(collectors.jobs[0])
        world.now += collectors.jobs[0].period
    ((count,),) = await world.db.rows("SELECT count(*) FROM job_claims")
    assert count == 11


@pytest.mark.parametrize("error", [LogUnavailable("away"), ZeroDivisionError("bug")])
async def test_a_failed_run_is_counted(world: World, error: Exception) -> None:
    async def fail() -> None:
        raise error

    await world.collectors().run_slot(Job("metrics", 5, fail))
    assert world.runs("metrics", "failed") == 1
    assert world.telemetry.value("swallowed", where="jobs.metrics") == 1


async def test_test_updates(world: World) -> None:
    collectors = world.collectors()
    assert await collectors.publish_test() == Receipt(Position("e", 1), 1)
    assert await collectors.publish_test(3) == Receipt(Position("e", 4), 3)
    assert [u["test"]["number"] for u in world.publisher.published] == [1, 1, 2, 3]
    assert world.publisher.published[-1]["activities"][0]["message"] == "Burst of 3 test updates"


async def test_the_schedule_runs_at_once_and_stops(world: World) -> None:
    collectors = world.collectors()
    collectors.start()
    async with asyncio.timeout(10):
        await world.publisher.arrived.wait()
    await collectors.stop()
    assert world.runs("metrics", "ok") == 1 and world.runs("metrics", "failed") == 0
    await collectors.stop()  # harmless


async def test_stopping_waits_for_what_runs(world: World) -> None:
    collectors = world.collectors()
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await end.wait()

    collectors.jobs = (Job("slow", 5, slow),)
    collectors.start()
    await begun.wait()
    asyncio.get_running_loop().call_later(0.05, end.set)
    await collectors.stop()
    assert world.runs("slow", "ok") == 1


async def test_slots_begin_apart_but_inside(world: World) -> None:
    collectors = world.collectors()
    job = collectors.jobs[1]
    starts = [collectors.slot_start(job).timestamp() for _ in range(20)]
    assert all(1005 + 1.5 <= start <= 1005 + 4.5 for start in starts)
