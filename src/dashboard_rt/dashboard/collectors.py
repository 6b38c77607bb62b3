"""The collectors and their schedule: figures of the machine into the records, the dashboard into the log.

Every process with JOBS=inline, and every worker, runs each job in a loop of its own, by the monotonic clock: a clock
that is set back must not stop them. Of several processes one runs a job in each period: the one that writes the time
of its run into `job_claims`. Knows no transport: app.py passes in what returns the lag of the web process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..eventlog.database import Database, Lock, Query, Transaction
from ..eventlog.publisher import Publisher
from ..settings import DASHBOARD_STREAM
from ..telemetry import Telemetry
from ..types import Receipt
from .model import Dashboard, Level, assess, update_text
from .system_metrics import SystemMetrics

LEAST_DISTANCE = 0.8  # periods between two runs of a job: a run that began late must not cost the next one
OVERDUE = 3  # periods without a run after which /ready says so
RETRY_SECONDS = (
    2.0  # after the database was away: a period later figures would be old, and /ready 503, for as long
)
STOP_SECONDS = 5.0


class Job(NamedTuple):
    """One collector: its name in claims and counters, its period in seconds, what it runs."""

    name: str
    period: int
    work: Callable[[], Awaitable[None]]


class Collectors:
    """The collectors of one process. `lag()` returns the commit-to-write lag in ms, None in a worker.

    `now()` returns Unix seconds, for what is stored; `clock()` seconds that never go back, for what waits.
    """

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._dashboard = dashboard
        self._publisher = publisher
        self._telemetry = telemetry
        self._lag = lag
        self._system_metrics = system_metrics or SystemMetrics()
        self._now = now
        self._clock = clock
        # SystemMetrics is not for two threads, and a trigger may come beside the schedule.
        self._reading = asyncio.Lock()
        self._schedule: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[bool]] = set()
        self._ran_at: dict[str, float] = {}  # by job, in the seconds of `clock`
        self.jobs: tuple[Job, ...] = (
            Job("metrics", 5, self.collect_metrics),
            Job("status", 15, self.check_status),
        )

    # ---- the schedule

    def start(self) -> None:
        """Run every job now, and then once in each of its periods."""
        self._ran_at = {job.name: self._clock() for job in self.jobs}
        self._schedule = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End the schedule. A job that is running may finish, for STOP_SECONDS."""
        if self._schedule is None:
            return
        self._schedule.cancel()
        self._schedule = None
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_SECONDS)

    @property
    def scheduled(self) -> bool:
        """Whether this process runs the jobs."""
        return self._schedule is not None

    def overdue(self) -> list[str]:
        """Return a sentence for each job that has not run for OVERDUE periods, here or in another process."""
        if self._schedule is None:
            return []
        waits = {job: self._clock() - self._ran_at[job.name] for job in self.jobs}
        return [
            f"The job {job.name} has not run for {wait:.0f} s (its period is {job.period} s): the log says why."
            for job, wait in waits.items()
            if wait > OVERDUE * job.period
        ]

    async def _run(self) -> None:
        # One after the other: the first status needs the first metrics.
        asked = {job: await self.run_due(job) for job in self.jobs}
        await asyncio.gather(*(self._repeat(job, asked[job]) for job in self.jobs))

    async def _repeat(self, job: Job, asked: bool) -> None:
        # A period behind the end of the last run, not on a grid: what a suspended machine or a run that hung has missed
        # is not made up for. asyncio sleeps by the monotonic clock.
        while True:
            await asyncio.sleep(job.period if asked else min(job.period, RETRY_SECONDS))
            asked = await self.run_due(job)

    async def run_due(self, job: Job) -> bool:
        """Run `job` unless another process has run it in this period. Never raises: failures are counted.

        False when the database could not be asked whose turn it is.
        """
        # A task of its own, shielded: `stop` cancels the schedule, which would cut a job in two.
        task = asyncio.ensure_future(self._run_claimed(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _run_claimed(self, job: Job) -> bool:
        claimed: bool | None = None
        try:
            claimed = await self._db.transact(_claim(job, int(self._now_ms())))
            if claimed:
                await job.work()
            self._telemetry.job_runs.labels(job.name, "ok" if claimed else "elsewhere").inc()
            self._ran_at[job.name] = self._clock()
        except Exception as error:  # noqa: BLE001  it is tried again, whatever it was
            self._telemetry.job_runs.labels(job.name, "failed").inc()
            self._telemetry.swallow(f"jobs.{job.name}", error)
        return claimed is not None

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


def _claim(job: Job, now_ms: int) -> Transaction[bool]:
    """Take the run of this period for this process, unless another has it. Returns whether it was free.

    The column `slot` holds the Unix ms of the last run. One that lies in the future was written before the clock was
    set back: it is worth nothing, but for the period within which the clocks of two machines may differ.
    """
    yield Lock(f"job {job.name}")
    rows = yield Query("SELECT max(slot) FROM job_claims WHERE job = :job", {"job": job.name})
    last_ms, period_ms = rows[0][0], job.period * 1000
    if last_ms is not None and -period_ms < now_ms - last_ms < LEAST_DISTANCE * period_ms:
        return False
    yield Query("DELETE FROM job_claims WHERE job = :job", {"job": job.name})
    yield Query(
        "INSERT INTO job_claims (job, slot) VALUES (:job, :now_ms)", {"job": job.name, "now_ms": now_ms}
    )
    return True
