"""What the tests of the log share: a log on a database of either kind, and numbered updates to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from dashboard_rt.app import make_database
from dashboard_rt.eventlog.database import Database
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Append, Kind, Update

STREAMS: Mapping[str, Kind] = {"a": Kind.LOG, "b": Kind.STATE}


class Opened(NamedTuple):
    """A log and its database."""

    db: Database
    log: EventLog


def url(directory: Path) -> str:
    """The same SQLite database for everybody who has the same directory."""
    return f"sqlite:///{directory / 'test.db'}"


def database(url: str) -> Database:
    """A database that is not open yet."""
    return make_database(Settings.read({"DATABASE_URL": url}), Telemetry())


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Database]:
    """A database with its tables."""
    db = database(url)
    await db.connect()
    try:
        yield db
    finally:
        await db.disconnect()


@asynccontextmanager
async def opened(url: str, streams: Mapping[str, Kind] = STREAMS) -> AsyncIterator[Opened]:
    """A log of its own connections, as another process would have."""
    async with connected(url) as db:
        log = EventLog(db, streams)
        await log.open()
        yield Opened(db, log)


def texts(*numbers: int) -> tuple[str, ...]:
    """Updates that say which they are."""
    return tuple(f'{{"n":{number}}}' for number in numbers)


async def fill(log: EventLog, stream: str, count: int) -> None:
    """Append updates 1..count, each the text of its id."""
    await log.append([Append(stream, texts(*range(1, count + 1)))])


async def everything(log: EventLog, stream: str) -> list[Update]:
    """The whole log of a stream."""
    updates: list[Update] = []
    while page := await log.after(stream, updates[-1].id if updates else 0, 1_000_000):
        updates += page
    return updates


def ids(updates: Sequence[Update]) -> list[int]:
    """Only the ids."""
    return [update.id for update in updates]
