"""collectors: what they store and publish, one run per period, failures that are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any, cast

import orjson
import pytest

from dashboard_rt.dashboard import collectors as collectors_module
from dashboard_rt.dashboard.collectors import Collectors, Job
from dashboard_rt.dashboard.model import Dashboard, Metrics
from dashboard_rt.dashboard.system_metrics import SystemMetrics
from dashboard_rt.errors import LogUnavailable
from dashboard_rt.eventlog.database import Database, Query, T, Transaction
from dashboard_rt.eventlog.publisher import Publisher
from dashboard_rt.eventlog.sqlite import SqliteDatabase
from dashboard_rt.settings import DASHBOARD_STREAM
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Fence, Position, Receipt
from tests.handovers import until
from tests.logkit import connected
from tests.patience import HANG_LIMIT
from tests.simulation import VirtualLoop

pytestmark = pytest.mark.anyio


class FakePublisher(Publisher):
    """Keeps what is published."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.away = False

    async def publish(
        self, stream: str, texts: Sequence[str], key: str | None = None, fence: Fence | None = None
    ) -> Receipt:
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


class FreeDatabase(SqliteDatabase):
    """A database in which no other process has a claim."""

    def __init__(self) -> None: ...

    async def transact(self, transaction: Transaction[T]) -> T:
        rows: list[tuple[Any, ...]] = [(None,)]
        next(transaction)
        try:
            while True:
                transaction.send(rows)
        except StopIteration as end:
            result: T = end.value
            return result


class World:
    """A database with everything that collectors need, and the collectors of as many processes as a test wants."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.dashboard = Dashboard(db, keep=100)
        self.publisher = FakePublisher()
        self.telemetry = Telemetry()
        self.system_metrics = FakeSystemMetrics()
        self.now = 1000.0  # Unix seconds
        self.at = 0.0  # seconds that never go back

    def collectors(self, lag: float | None = None) -> Collectors:
        return Collectors(
            self.db,
            self.dashboard,
            self.publisher,
            self.telemetry,
            lambda: lag,
            system_metrics=self.system_metrics,
            now=lambda: self.now,
            clock=lambda: self.at,
        )

    def runs(self, job: str, result: str) -> float:
        return self.telemetry.value("job_runs", job=job, result=result)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with connected(database_url) as db:
        yield World(db)


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


async def test_one_process_runs_each_period(world: World) -> None:
    one, other = world.collectors(), world.collectors()
    for _ in range(3):
        await asyncio.gather(one.run_due(one.jobs[0]), other.run_due(other.jobs[0]))
        world.now += one.jobs[0].period
    assert (world.runs("metrics", "ok"), world.runs("metrics", "elsewhere")) == (3, 3)
    assert len(world.publisher.published) == 3


@pytest.mark.parametrize("later", [2, 3.9])
async def test_another_process_takes_no_run_of_the_same_period(world: World, later: float) -> None:
    one, other = world.collectors(), world.collectors()
    for _ in range(3):
        await one.run_due(one.jobs[0])
        world.now += later
        await other.run_due(other.jobs[0])
        world.now += one.jobs[0].period - later
    assert (world.runs("metrics", "ok"), world.runs("metrics", "elsewhere")) == (3, 3)


@pytest.mark.parametrize("change", [-7 * 86400, -3600, -120, -20, 6, 3600, 7 * 86400])
async def test_a_clock_that_is_set_stops_no_job_and_doubles_no_run(world: World, change: float) -> None:
    one, other = world.collectors(), world.collectors()
    for _ in range(20):  # what they have written lies behind the clock, or ahead of it once it is set back
        await one.run_due(one.jobs[0])
        await other.run_due(other.jobs[0])
        world.now += one.jobs[0].period
    world.now += change
    for _ in range(20):
        await other.run_due(other.jobs[0])
        await one.run_due(one.jobs[0])
        world.now += one.jobs[0].period
    assert (world.runs("metrics", "ok"), world.runs("metrics", "elsewhere")) == (40, 40)


async def test_a_clock_that_is_set_back_a_little_costs_one_run_at_most(world: World) -> None:
    collectors = world.collectors()
    for change in (0, -4.9, -2.5, 0, 0):
        world.now += change
        await collectors.run_due(collectors.jobs[0])
        world.now += collectors.jobs[0].period
    assert world.runs("metrics", "ok") == 3


async def test_claims_do_not_pile_up(world: World) -> None:
    await world.db.transact(claims_of_an_older_version())
    collectors = world.collectors()
    for _ in range(30):
        await collectors.run_due(collectors.jobs[0])
        world.now += collectors.jobs[0].period
    assert world.runs("metrics", "ok") == 30
    assert await world.db.rows("SELECT count(*) FROM job_claims") == [(1,)]


def claims_of_an_older_version() -> Transaction[None]:
    """Rows that hold the number of a time slot, as they were written until the clock was no longer trusted."""
    for slot in range(190, 201):
        yield Query("INSERT INTO job_claims (job, slot) VALUES ('metrics', :slot)", {"slot": slot})


@pytest.mark.parametrize("error", [LogUnavailable("away"), ZeroDivisionError("bug")])
async def test_a_failed_run_is_counted(world: World, error: Exception) -> None:
    async def fail() -> None:
        raise error

    await world.collectors().run_due(Job("metrics", 5, fail))
    assert world.runs("metrics", "failed") == 1
    assert world.telemetry.value("swallowed", where="jobs.metrics") == 1


async def test_a_database_that_was_away_is_asked_again_before_the_period_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors_module, "RETRY_SECONDS", 0.01)
    collectors, transact, failures, ran = world.collectors(), world.db.transact, count(), asyncio.Event()

    async def twice_away(transaction: Transaction[T]) -> T:
        if next(failures) < 2:
            transaction.close()
            raise LogUnavailable("away")
        return await transact(transaction)

    async def work() -> None:
        ran.set()

    monkeypatch.setattr(world.db, "transact", twice_away)
    collectors.jobs = (Job("metrics", 3600, work),)
    collectors.start()
    async with asyncio.timeout(HANG_LIMIT):
        await ran.wait()
    await collectors.stop()
    assert world.runs("metrics", "failed") == 2


async def test_a_run_that_fails_is_not_repeated_within_its_period(world: World) -> None:
    async def fail() -> None:
        raise LogUnavailable("away")

    assert await world.collectors().run_due(Job("metrics", 5, fail)), "whose turn it is was known"


async def test_test_updates(world: World) -> None:
    collectors = world.collectors()
    assert await collectors.publish_test() == Receipt(Position("e", 1), 1)
    assert await collectors.publish_test(3) == Receipt(Position("e", 4), 3)
    assert [u["test"]["number"] for u in world.publisher.published] == [1, 1, 2, 3]
    assert world.publisher.published[-1]["activities"][0]["message"] == "Burst of 3 test updates"


async def test_the_schedule_runs_at_once_and_stops(world: World) -> None:
    collectors = world.collectors()
    collectors.start()
    async with asyncio.timeout(HANG_LIMIT):
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


async def test_a_job_that_has_not_run_for_three_periods_is_overdue(world: World) -> None:
    collectors = world.collectors()
    world.publisher.away = True
    collectors.start()
    assert collectors.scheduled
    await until(lambda: world.runs("metrics", "failed") == 1 and world.runs("status", "failed") == 1)
    for at, overdue in ((15.0, []), (16.0, ["metrics"]), (46.0, ["metrics", "status"])):
        world.at = at
        assert [sentence.split()[2] for sentence in collectors.overdue()] == overdue
    assert collectors.overdue()[0].startswith("The job metrics has not run for 46 s (its period is 5 s)")
    await collectors.stop()
    assert collectors.overdue() == []


async def test_a_run_of_another_process_counts(world: World) -> None:
    collectors = world.collectors()
    collectors.start()
    await until(lambda: world.runs("status", "ok") == 1)
    world.at = 16.0
    await collectors.run_due(collectors.jobs[0])
    assert world.runs("metrics", "elsewhere") == 1
    assert collectors.overdue() == []
    await collectors.stop()


def test_the_schedule_follows_no_clock_that_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run in each period of the loop's clock, though the wall clock goes back by a day at each look."""
    looks = count()
    monkeypatch.setattr("time.time", lambda: 1e9 - 86400 * next(looks))

    async def work() -> list[float]:
        collectors = Collectors(
            FreeDatabase(),
            cast(Dashboard, None),
            FakePublisher(),
            Telemetry(),
            system_metrics=FakeSystemMetrics(),
        )
        loop = asyncio.get_running_loop()
        runs: list[float] = []

        async def note() -> None:
            runs.append(loop.time())

        collectors.jobs = (Job("metrics", 5, note),)
        collectors.start()
        await asyncio.sleep(16)
        await collectors.stop()
        return runs

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(work()) == [0, 5, 10, 15]
