"""The collectors and their schedule: the machine's figures into the records, and the dashboard into the log.

Every process with JOBS=inline, and every worker, has a schedule; a claimed row per job and time slot lets one
of them run each slot. Knows no transport: the web process hands in how to ask for its lag.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from .dashboard import Dashboard, Level, judge, stamped
from .db import Database
from .probe import Probe
from .settings import DASHBOARD_STREAM
from .telemetry import Telemetry
from .transaction import Query, Transaction
from .types import Receipt

SLOTS_REMEMBERED = 10
STOP_SECONDS = 5.0


class Publishes(Protocol):
    """The one thing that is asked of the publisher."""

    async def publish(self, stream: str, texts: Sequence[str]) -> Receipt:
        """Write the updates; raises UnknownStream or LogUnavailable."""


class Job(NamedTuple):
    """One collector: its name in claims and counters, its period in seconds, its work."""

    name: str
    period: int
    work: Callable[[], Awaitable[None]]


class Jobs:
    """The collectors of one process. `lag()` is the commit-to-write lag in ms, None in a worker."""

    def __init__(
        self,
        db: Database,
        dashboard: Dashboard,
        publisher: Publishes,
        telemetry: Telemetry,
        lag: Callable[[], float | None] = lambda: None,
        *,
        probe: Probe | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._dashboard = dashboard
        self._publisher = publisher
        self._telemetry = telemetry
        self._lag = lag
        self._probe = probe or Probe()
        self._now = now
        self._reading = asyncio.Lock()
        self._scheduler: AsyncIOScheduler | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.jobs: tuple[Job, ...] = (
            Job("metrics", 5, self.collect_metrics),
            Job("status", 15, self.check_status),
        )

    # ---- the schedule

    def start(self) -> None:
        """Run every job now, and then in each of its slots."""
        scheduler = AsyncIOScheduler(timezone=UTC)
        options = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 5}
        scheduler.add_job(self._first_round, **options)
        for job in self.jobs:
            start = self.slot_start(job)
            scheduler.add_job(
                self.run_slot, "interval", args=[job], seconds=job.period, start_date=start, **options
            )
        scheduler.start()
        self._scheduler = scheduler

    def slot_start(self, job: Job) -> datetime:
        """Some way into the next slot: clear of its edge, and not at the same moment in every process."""
        slot = self._now() // job.period + 1
        return datetime.fromtimestamp((slot + random.uniform(0.1, 0.3)) * job.period, UTC)

    async def stop(self) -> None:
        """End the schedule; what runs may finish, for a few seconds."""
        if self._scheduler is None:
            return
        self._scheduler.pause()
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_SECONDS)
        self._scheduler.shutdown(wait=False)
        self._scheduler = None

    async def _first_round(self) -> None:
        for job in self.jobs:
            await self.run_slot(job)

    async def run_slot(self, job: Job) -> None:
        """Run a job unless another process has its slot. Never raises: what fails is counted."""
        task = asyncio.ensure_future(self._claimed_run(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def _claimed_run(self, job: Job) -> None:
        try:
            mine = await self._db.transact(_claiming(job.name, int(self._now() // job.period)))
            if mine:
                await job.work()
            self._telemetry.job_runs.labels(job.name, "ok" if mine else "elsewhere").inc()
        except Exception as error:  # noqa: BLE001  the next slot tries again, whatever it was
            self._telemetry.job_runs.labels(job.name, "failed").inc()
            self._telemetry.swallow(f"jobs.{job.name}", error)

    # ---- the work

    async def run_now(self) -> None:
        """Run all collectors once, whoever has the slot. Raises LogUnavailable."""
        for job in self.jobs:
            await job.work()

    async def collect_metrics(self) -> None:
        """Read the figures, store them, publish the dashboard."""
        async with self._reading:
            figures = await asyncio.to_thread(self._probe.read)
        lag = self._lag()
        metrics = figures._replace(response_time=None if lag is None else round(lag, 2))
        await self._dashboard.record_metrics(metrics, self._now_ms())
        await self._publish()

    async def check_status(self) -> None:
        """Judge the newest figures, store the status, note a change, publish the dashboard."""
        metrics = await self._dashboard.latest_metrics()
        if metrics is None:
            return
        judgement = judge(metrics)
        before = await self._dashboard.record_status(judgement, self._now_ms())
        if before is not judgement.health:
            change = f"Status is {judgement.health}" + (f", was {before}" if before else "")
            await self._dashboard.record_activity(
                f"{change}. {judgement.message}", judgement.health.level, self._now_ms()
            )
        await self._publish()

    async def publish_test(self, count: int = 1) -> Receipt:
        """Publish `count` test updates at once, with an activity. Raises LogUnavailable, UnknownStream."""
        message = "Test update" if count == 1 else f"Burst of {count} test updates"
        await self._dashboard.record_activity(message, Level.INFO, self._now_ms())
        drawing = await self._dashboard.draw()
        numbers = range(1, count + 1)
        texts = [stamped(drawing, self._now_ms(), test={"number": n, "of": count}) for n in numbers]
        return await self._publisher.publish(DASHBOARD_STREAM, texts)

    async def _publish(self) -> None:
        drawing = await self._dashboard.draw()
        await self._publisher.publish(DASHBOARD_STREAM, [stamped(drawing, self._now_ms())])

    def _now_ms(self) -> float:
        return self._now() * 1000


def _claiming(job: str, slot: int) -> Transaction[bool]:
    """Whether the slot was free, and is this process's now."""
    mine = yield Query(
        "INSERT INTO job_claims (job, slot) VALUES (:job, :slot) ON CONFLICT DO NOTHING RETURNING slot",
        {"job": job, "slot": slot},
    )
    if mine:
        oldest = slot - SLOTS_REMEMBERED
        yield Query(
            "DELETE FROM job_claims WHERE job = :job AND slot < :oldest", {"job": job, "oldest": oldest}
        )
    return bool(mine)
