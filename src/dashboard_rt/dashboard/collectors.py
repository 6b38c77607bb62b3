"""The collectors and their schedule: figures of the machine into the records, the dashboard into the log.

Every process with JOBS=inline, and every worker, has a schedule. Of several processes one runs each slot: the one
that inserts the row of that job and time slot into `job_claims`. Knows no transport: app.py passes in what returns
the lag of the web process.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from ..eventlog.database import Database, Query, Transaction
from ..eventlog.publisher import Publisher
from ..settings import DASHBOARD_STREAM
from ..telemetry import Telemetry
from ..types import Receipt
from .model import Dashboard, Level, assess, update_text
from .system_metrics import SystemMetrics

CLAIMS_KEPT = 10  # slots per job; a process whose clock is further behind than that could run one twice
STOP_SECONDS = 5.0


class Job(NamedTuple):
    """One collector: its name in claims and counters, its period in seconds, what it runs."""

    name: str
    period: int
    work: Callable[[], Awaitable[None]]


class Collectors:
    """The collectors of one process. `lag()` returns the commit-to-write lag in ms, None in a worker."""

    def __init__(
        self,
        db: Database,
        dashboard: Dashboard,
        publisher: Publisher,
        telemetry: Telemetry,
        lag: Callable[[], float | None] = lambda: None,
        *,
        system_metrics: SystemMetrics | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._dashboard = dashboard
        self._publisher = publisher
        self._telemetry = telemetry
        self._lag = lag
        self._system_metrics = system_metrics or SystemMetrics()
        self._now = now
        self._reading = (
            asyncio.Lock()
        )  # SystemMetrics is not for two threads; a trigger may come beside a slot
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
        scheduler.add_job(self._run_all, **options)
        for job in self.jobs:
            start = self.slot_start(job)
            scheduler.add_job(
                self.run_slot, "interval", args=[job], seconds=job.period, start_date=start, **options
            )
        scheduler.start()
        self._scheduler = scheduler

    def slot_start(self, job: Job) -> datetime:
        """Choose when in its slots this process runs `job`, as a time in the next slot.

        Not near an edge, or a timer that fires early would count as the slot before; and at random, or all processes
        would ask for the database's write lock at once.
        """
        slot = self._now() // job.period + 1
        return datetime.fromtimestamp((slot + random.uniform(0.1, 0.3)) * job.period, UTC)

    async def stop(self) -> None:
        """End the schedule. A job that is running may finish, for STOP_SECONDS."""
        if self._scheduler is None:
            return
        self._scheduler.pause()
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_SECONDS)
        self._scheduler.shutdown(wait=False)
        self._scheduler = None

    async def _run_all(self) -> None:
        for job in self.jobs:
            await self.run_slot(job)

    async def run_slot(self, job: Job) -> None:
        """Run `job` unless another process has its slot. Never raises: failures are counted."""
        # A task of our own, shielded: the scheduler cancels its jobs at shutdown, which would cut a job in two.
        task = asyncio.ensure_future(self._run_claimed(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def _run_claimed(self, job: Job) -> None:
        try:
            claimed = await self._db.transact(_claim_slot(job.name, int(self._now() // job.period)))
            if claimed:
                await job.work()
            self._telemetry.job_runs.labels(job.name, "ok" if claimed else "elsewhere").inc()
        except Exception as error:  # noqa: BLE001  the next slot tries again, whatever it was
            self._telemetry.job_runs.labels(job.name, "failed").inc()
            self._telemetry.swallow(f"jobs.{job.name}", error)

    # ---- the jobs

    async def run_now(self) -> None:
        """Run every job once, whoever has the slot. Raises LogUnavailable."""
        for job in self.jobs:
            await job.work()

    async def collect_metrics(self) -> None:
        """Read the metrics, store them and publish the dashboard. Raises LogUnavailable."""
        async with self._reading:
            metrics = await asyncio.to_thread(self._system_metrics.read)
        lag = self._lag()
        metrics = metrics._replace(response_time=None if lag is None else round(lag, 2))
        await self._dashboard.record_metrics(metrics, self._now_ms())
        await self._publish()

    async def check_status(self) -> None:
        """Assess the newest metrics, store the status, and an activity if it changed; publish the dashboard.

        Does nothing before the first metrics. Raises LogUnavailable.
        """
        metrics = await self._dashboard.latest_metrics()
        if metrics is None:
            return
        assessment = assess(metrics)
        before = await self._dashboard.record_status(assessment, self._now_ms())
        if before is not assessment.health:
            change = f"Status is {assessment.health}" + (f", was {before}" if before else "")
            await self._dashboard.record_activity(
                f"{change}. {assessment.message}", assessment.health.level, self._now_ms()
            )
        await self._publish()

    async def publish_test(self, count: int = 1) -> Receipt:
        """Publish `count` test updates at once, with an activity. Raises LogUnavailable, UnknownStream."""
        message = "Test update" if count == 1 else f"Burst of {count} test updates"
        await self._dashboard.record_activity(message, Level.INFO, self._now_ms())
        snapshot = await self._dashboard.snapshot()
        texts = [
            update_text(snapshot, self._now_ms(), test={"number": number, "of": count})
            for number in range(1, count + 1)
        ]
        return await self._publisher.publish(DASHBOARD_STREAM, texts)

    async def _publish(self) -> None:
        snapshot = await self._dashboard.snapshot()
        await self._publisher.publish(DASHBOARD_STREAM, [update_text(snapshot, self._now_ms())])

    def _now_ms(self) -> float:
        return self._now() * 1000


def _claim_slot(job: str, slot: int) -> Transaction[bool]:
    """Take a slot for this process, unless it is taken. Returns whether it was free."""
    claimed = yield Query(
        "INSERT INTO job_claims (job, slot) VALUES (:job, :slot) ON CONFLICT DO NOTHING RETURNING slot",
        {"job": job, "slot": slot},
    )
    if claimed:
        oldest = slot - CLAIMS_KEPT
        yield Query(
            "DELETE FROM job_claims WHERE job = :job AND slot < :oldest", {"job": job, "oldest": oldest}
        )
    return bool(claimed)
