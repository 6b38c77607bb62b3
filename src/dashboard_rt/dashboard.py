"""The domain: metrics, statuses and activities in their tables, and the dashboard drawn from them.

What a drawing looks like is protocol §4. Knows the database, not the log: publishing is the jobs' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from .db import Database
from .transaction import Query, Transaction, Values

ACTIVITIES_SHOWN = 10


class Level(StrEnum):
    """How serious an activity is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Metrics(NamedTuple):
    """One reading: cpu, memory, disk in percent, network in Mbit/s, response_time in ms (None: unknown)."""

    cpu: float
    memory: float
    disk: float
    network: float
    response_time: float | None = None


class Health(StrEnum):
    """The state of the system, as the dashboard names it."""

    ONLINE = "online"
    WARNING = "warning"
    OFFLINE = "offline"

    @property
    def level(self) -> Level:
        """The level of the activity that says so."""
        return {Health.ONLINE: Level.INFO, Health.WARNING: Level.WARNING, Health.OFFLINE: Level.ERROR}[self]


class Judgement(NamedTuple):
    """What the figures mean, with one sentence for people."""

    health: Health
    message: str


def judge(metrics: Metrics) -> Judgement:
    """The thresholds of protocol §4: cpu over 90 or memory over 95 is offline, over 70 or 80 a warning."""
    figures = f"CPU {metrics.cpu:.0f} %, memory {metrics.memory:.0f} %"
    if metrics.cpu > 90 or metrics.memory > 95:
        return Judgement(Health.OFFLINE, f"Overloaded: {figures}")
    if metrics.cpu > 70 or metrics.memory > 80:
        return Judgement(Health.WARNING, f"Under load: {figures}")
    return Judgement(Health.ONLINE, f"All is well: {figures}")


class Dashboard:
    """Keeps the newest `keep` records of each table, and draws the dashboard from them."""

    def __init__(self, db: Database, keep: int) -> None:
        self._db = db
        self._keep = keep

    async def record_metrics(self, metrics: Metrics, at_ms: float) -> None:
        """Store one reading. Raises LogUnavailable."""
        values = {**metrics._asdict(), "created_at_ms": int(at_ms)}
        await self._db.transact(_adding("metrics", values, self._keep))

    async def record_status(self, judgement: Judgement, at_ms: float) -> Health | None:
        """Store a status; the health of the one before it. Raises LogUnavailable."""
        values = {"status": judgement.health, "message": judgement.message, "created_at_ms": int(at_ms)}
        return await self._db.transact(_status_adding(values, self._keep))

    async def record_activity(self, message: str, level: Level, at_ms: float) -> None:
        """Store one line of the activity log. Raises LogUnavailable."""
        values = {"message": message, "level": level, "created_at_ms": int(at_ms)}
        await self._db.transact(_adding("activities", values, self._keep))

    async def metrics(self, limit: int) -> list[dict[str, Any]]:
        """The newest stored readings, newest first, as JSON-ready objects. Raises LogUnavailable."""
        rows = await self._db.fetch_all(
            "SELECT * FROM metrics ORDER BY id DESC LIMIT :limit", {"limit": limit}
        )
        return [{"id": row["id"], "time": rfc3339(row["created_at_ms"]), **_figures(row)} for row in rows]

    async def latest_metrics(self) -> Metrics | None:
        """The newest reading. Raises LogUnavailable."""
        rows = await self._db.fetch_all("SELECT * FROM metrics ORDER BY id DESC LIMIT 1")
        return Metrics(**_figures(rows[0])) if rows else None

    async def draw(self) -> dict[str, Any]:
        """The dashboard without its moment: status, metrics, activities. Raises LogUnavailable."""
        metrics = await self._db.fetch_all("SELECT * FROM metrics ORDER BY id DESC LIMIT 1")
        activities = await self._db.fetch_all(
            "SELECT * FROM activities ORDER BY id DESC LIMIT :limit", {"limit": ACTIVITIES_SHOWN}
        )
        return {
            "system_status": await self._status(),
            "metrics": _figures(metrics[0]) if metrics else dict.fromkeys(Metrics._fields),
            "activities": [_activity(row) for row in activities],
        }

    async def _status(self) -> dict[str, Any]:
        rows = await self._db.fetch_all(
            "SELECT s.*, (SELECT 100.0 * sum(CASE WHEN status = 'offline' THEN 0 ELSE 1 END) / count(*) "
            "FROM statuses) AS uptime FROM statuses s ORDER BY id DESC LIMIT 1",
        )
        if not rows:
            return {"status": Health.ONLINE, "uptime": None, "last_check": None, "message": "Not checked yet"}
        row = rows[0]
        return {
            "status": row["status"],
            "uptime": round(row["uptime"], 2),
            "last_check": rfc3339(row["created_at_ms"]),
            "message": row["message"],
        }


def _adding(table: str, values: Values, keep: int) -> Transaction[None]:
    """One more record, and none beyond the newest `keep`."""
    columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    yield Query(f"INSERT INTO {table} ({columns}) VALUES ({places})", values)
    yield Query(
        f"DELETE FROM {table} WHERE id <= (SELECT id FROM {table} ORDER BY id DESC LIMIT 1 OFFSET :keep)",
        {"keep": keep},
    )


def _status_adding(values: Values, keep: int) -> Transaction[Health | None]:
    """The same for a status; answers the health before it."""
    before = yield Query("SELECT status FROM statuses ORDER BY id DESC LIMIT 1")
    yield from _adding("statuses", values, keep)
    return Health(before[0][0]) if before else None


def stamped(drawing: Mapping[str, Any], at_ms: float, **extra: object) -> str:
    """A drawing as the text of one update, published at `at_ms` (Unix ms)."""
    moment = {"timestamp": rfc3339(at_ms), "published_at_ms": round(at_ms, 1)}
    return orjson.dumps({**drawing, **moment, **extra}).decode()


def rfc3339(ms: float) -> str:
    """Unix milliseconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _figures(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Metrics._fields}


def _activity(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "time": rfc3339(row["created_at_ms"]),
        "message": row["message"],
        "level": row["level"],
        "css_class": f"activity-{row['level']}",
    }
