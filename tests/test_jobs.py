"""The collectors: what they store and publish, one run a slot, errors that are survived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from dashboard_rt.dashboard import Dashboard, Metrics
from dashboard_rt.db import Database
from dashboard_rt.errors import LogUnavailable
from dashboard_rt.jobs import Job, Jobs
from dashboard_rt.probe import Probe
from dashboard_rt.settings import DASHBOARD_STREAM
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Position, Receipt

pytestmark = pytest.mark.anyio


class FakePublisher:
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


class FakeProbe(Probe):
    """Figures that the test chose."""

    def __init__(self) -> None:
        self.cpu = 10.0

    def read(self) -> Metrics:
        return Metrics(self.cpu, 20, 30, 1.5)


class House:
    """A database with everything that jobs need, and as many Jobs on it as a test wants."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.dashboard = Dashboard(db, keep=100)
        self.publisher = FakePublisher()
        self.telemetry = Telemetry()
        self.probe = FakeProbe()
        self.now = 1000.0

    def jobs(self, lag: float | None = None) -> Jobs:
        return Jobs(
            self.db,
            self.dashboard,
            self.publisher,
            self.telemetry,
            lambda: lag,
            probe=self.probe,
            now=lambda: self.now,
        )

    def runs(self, job: str, result: str) -> float:
        return self.telemetry.value("job_runs", job=job, result=result)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    db = Database(f"sqlite:///{tmp_path}/jobs.db")
    await db.connect()
    yield House(db)
    await db.disconnect()


async def test_metrics_are_stored_and_published(house: House) -> None:
    await house.jobs(lag=4.25).collect_metrics()
    (update,) = house.publisher.published
    assert update["metrics"] == {"cpu": 10, "memory": 20, "disk": 30, "network": 1.5, "response_time": 4.25}
    assert update["published_at_ms"] == 1_000_000 and update["timestamp"] == "1970-01-01T00:16:40.000Z"
    assert await house.dashboard.latest_metrics() == Metrics(10, 20, 30, 1.5, 4.25)


async def test_a_worker_knows_no_lag(house: House) -> None:
    await house.jobs().collect_metrics()
    assert house.publisher.published[0]["metrics"]["response_time"] is None


async def test_an_activity_only_when_the_status_changed(house: House) -> None:
    jobs = house.jobs()
    for cpu in (10, 20, 95, 96, 10):
        house.probe.cpu = cpu
        await jobs.run_now()
    activities = house.publisher.published[-1]["activities"]
    assert [(a["level"], a["message"]) for a in activities] == [
        ("info", "Status is online, was offline. All is well: CPU 10 %, memory 20 %"),
        ("error", "Status is offline, was online. Overloaded: CPU 95 %, memory 20 %"),
        ("info", "Status is online. All is well: CPU 10 %, memory 20 %"),
    ]


async def test_no_status_without_figures(house: House) -> None:
    await house.jobs().check_status()
    assert house.publisher.published == []


async def test_one_process_runs_each_slot(house: House) -> None:
    one, other = house.jobs(), house.jobs()
    for _ in range(3):
        await asyncio.gather(one.run_slot(one.jobs[0]), other.run_slot(other.jobs[0]))
        house.now += one.jobs[0].period
    assert (house.runs("metrics", "ok"), house.runs("metrics", "elsewhere")) == (3, 3)
    assert len(house.publisher.published) == 3


async def test_old_claims_are_forgotten(house: House) -> None:
    jobs = house.jobs()
    for _ in range(30):
        await jobs.run_slot(jobs.jobs[0])
        house.now += jobs.jobs[0].period
    ((count,),) = await house.db.rows("SELECT count(*) FROM job_claims")
    assert count == 11


@pytest.mark.parametrize("error", [LogUnavailable("away"), ZeroDivisionError("bug")])
async def test_a_failed_run_is_counted(house: House, error: Exception) -> None:
    async def fail() -> None:
        raise error

    await house.jobs().run_slot(Job("metrics", 5, fail))
    assert house.runs("metrics", "failed") == 1
    assert house.telemetry.value("swallowed", where="jobs.metrics") == 1


async def test_test_updates(house: House) -> None:
    jobs = house.jobs()
    assert await jobs.publish_test() == Receipt(Position("e", 1), 1)
    assert await jobs.publish_test(3) == Receipt(Position("e", 4), 3)
    assert [u["test"]["number"] for u in house.publisher.published] == [1, 1, 2, 3]
    assert house.publisher.published[-1]["activities"][0]["message"] == "Burst of 3 test updates"


async def test_the_schedule_runs_at_once_and_stops(house: House) -> None:
    jobs = house.jobs()
    jobs.start()
    async with asyncio.timeout(10):
        await house.publisher.arrived.wait()
    await jobs.stop()
    assert house.runs("metrics", "ok") == 1 and house.runs("metrics", "failed") == 0
    await jobs.stop()  # harmless


async def test_stopping_waits_for_what_runs(house: House) -> None:
    jobs = house.jobs()
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await end.wait()

    jobs.jobs = (Job("slow", 5, slow),)
    jobs.start()
    await begun.wait()
    asyncio.get_running_loop().call_later(0.05, end.set)
    await jobs.stop()
    assert house.runs("slow", "ok") == 1


async def test_slots_begin_apart_but_inside(house: House) -> None:
    jobs = house.jobs()
    job = jobs.jobs[1]
    starts = [jobs.slot_start(job).timestamp() for _ in range(20)]
    assert all(1005 + 1.5 <= start <= 1005 + 4.5 for start in starts)
