"""The collectors in a process of their own, on the same database: `dashboard-rt worker`.

The web processes see what it publishes through the database, and through the broker where there is one.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from .broker import Broker
from .dashboard import Dashboard
from .db import Database
from .errors import BadSetting
from .eventlog import EventLog
from .jobs import Jobs
from .publisher import Publisher
from .settings import DASHBOARD_STREAM, Settings
from .telemetry import Telemetry


class Writing(NamedTuple):
    """What it takes to publish without serving."""

    db: Database
    log: EventLog
    publisher: Publisher
    telemetry: Telemetry


@asynccontextmanager
async def writing(settings: Settings) -> AsyncIterator[Writing]:
    """The parts that publish, started; stopped in reverse, what waits in the publisher written first."""
    telemetry = Telemetry()
    db = Database(settings.database_url)
    log = EventLog(db, settings.streams)
    broker = Broker(settings.broker_url, telemetry)
    publisher = Publisher(log, broker, settings, telemetry)
    async with AsyncExitStack() as stack:
        await db.connect()
        stack.push_async_callback(db.disconnect)
        await log.open()
        await broker.start()
        stack.push_async_callback(broker.stop)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        yield Writing(db, log, publisher, telemetry)


async def prepare(settings: Settings) -> None:
    """Bring the database up to date. Raises BadSetting, LogUnavailable."""
    db = Database(settings.database_url)
    await db.connect()
    try:
        await EventLog(db, settings.streams).open()
    finally:
        await db.disconnect()


async def work(settings: Settings) -> None:
    """Run the collectors until SIGTERM or SIGINT. Raises BadSetting, LogUnavailable."""
    if DASHBOARD_STREAM not in settings.streams:
        raise BadSetting(f"STREAMS must list {DASHBOARD_STREAM}:state for a worker to publish to.")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with writing(settings) as parts:
        dashboard = Dashboard(parts.db, settings.keep_records)
        jobs = Jobs(parts.db, dashboard, parts.publisher, parts.telemetry)
        jobs.start()
        try:
            await stopped.wait()
        finally:
            await jobs.stop()
