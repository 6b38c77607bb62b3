"""The dashboard: metrics, statuses and activities in their tables, and the JSON that is made of them.

The JSON is that of docs/protocol.md §4. Knows the database, not the log: collectors.py publishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from ..eventlog.database import Database, Lock, Query, Transaction, Values

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
        """The level of the activity that reports a change to this state."""
        return {Health.ONLINE: Level.INFO, Health.WARNING: Level.WARNING, Health.OFFLINE: Level.ERROR}[self]


class Assessment(NamedTuple):
    """What metrics mean, with one sentence for people."""

    health: Health
    message: str


def assess(metrics: Metrics) -> Assessment:
    """Apply the thresholds of docs/protocol.md §4."""
    figures = f"CPU {metrics.cpu:.0f} %, memory {metrics.memory:.0f} %"
    if metrics.cpu > 90 or metrics.memory > 95:
        return Assessment(Health.OFFLINE, f"Overloaded: {figures}")
    if metrics.cpu > 70 or metrics.memory > 80:
        return Assessment(Health.WARNING, f"Under load: {figures}")
    return Assessment(Health.ONLINE, f"All is well: {figures}")


# ---- the records


class Dashboard:
    """The newest `keep` records of each kind. Every method raises LogUnavailable when the database fails.

    `at_ms` is Unix ms throughout.
    """

    def __init__(self, db: Database, keep: int) -> None:
        self._db = db
        self._keep = keep

    async def record_metrics(self, metrics: Metrics, at_ms: float) -> None:
        values = {**metrics._asdict(), "created_at_ms": int(at_ms)}
        await self._db.transact(_add_record("metrics", values, self._keep))

    async def record_status(self, assessment: Assessment, at_ms: float) -> Health | None:
        """Store a status and return the health that was stored before it, None for the first."""
        values = {"status": assessment.health, "message": assessment.message, "created_at_ms": int(at_ms)}
        return await self._db.transact(_add_status(values, self._keep))

    async def record_activity(self, message: str, level: Level, at_ms: float) -> None:
        values = {"message": message, "level": level, "created_at_ms": int(at_ms)}
        await self._db.transact(_add_record("activities", values, self._keep))

    async def metrics(self, limit: int) -> list[dict[str, Any]]:
        """Read the newest metrics, newest first, as JSON-ready objects with `id` and `time` (RFC 3339)."""
        rows = await self._db.fetch_all(
            "SELECT * FROM metrics ORDER BY id DESC LIMIT :limit", {"limit": limit}
        )
        return [{"id": row["id"], "time": rfc3339(row["created_at_ms"]), **_figures(row)} for row in rows]

    async def latest_metrics(self) -> Metrics | None:
        rows = await self._db.fetch_all("SELECT * FROM metrics ORDER BY id DESC LIMIT 1")
        return Metrics(**_figures(rows[0])) if rows else None

    async def snapshot(self) -> dict[str, Any]:
        """Read status, metrics and newest activities as the JSON of an update, still without its time."""
        metrics = await self.latest_metrics()
        activities = await self._db.fetch_all(
            "SELECT * FROM activities ORDER BY id DESC LIMIT :limit", {"limit": ACTIVITIES_SHOWN}
        )
        return {
            "system_status": await self._system_status(),
            "metrics": metrics._asdict() if metrics else dict.fromkeys(Metrics._fields),
            "activities": [_activity_json(row) for row in activities],
        }

    async def _system_status(self) -> dict[str, Any]:
        rows = await self._db.fetch_all(
            "SELECT s.*, (SELECT avg(CAST(CASE WHEN status = 'offline' THEN 0 ELSE 100 END AS DOUBLE PRECISION)) "
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


def _add_record(table: str, values: Values, keep: int) -> Transaction[None]:
    """Insert a record and remove all beyond the newest `keep`. `table` and column names are ours, never input."""
    columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    yield Query(f"INSERT INTO {table} ({columns}) VALUES ({places})", values)
    yield Query(
        f"DELETE FROM {table} WHERE id <= (SELECT id FROM {table} ORDER BY id DESC LIMIT 1 OFFSET :keep)",
        {"keep": keep},
    )


def _add_status(values: Values, keep: int) -> Transaction[Health | None]:
    """Insert a status and return the health before it, read in the same transaction.

    Two processes that check at the same time would otherwise both report one change.
    """
    yield Lock("status")
    before = yield Query("SELECT status FROM statuses ORDER BY id DESC LIMIT 1")
    yield from _add_record("statuses", values, keep)
    return Health(before[0][0]) if before else None


def _figures(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Metrics._fields}


# ---- the JSON


def update_text(snapshot: Mapping[str, Any], at_ms: float, **extra: object) -> str:
    """Return the text of an update that is published at `at_ms` (Unix ms): a snapshot, its time, and `extra`."""
    times = {"timestamp": rfc3339(at_ms), "published_at_ms": round(at_ms, 1)}
    return orjson.dumps({**snapshot, **times, **extra}).decode()


def rfc3339(ms: float) -> str:
    """Format Unix ms in UTC, such as `2023-09-06T23:08:55.123Z` (RFC 3339 §5.6)."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _activity_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "time": rfc3339(row["created_at_ms"]),
        "message": row["message"],
        "level": row["level"],
        "css_class": f"activity-{row['level']}",
    }
