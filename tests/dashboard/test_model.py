"""model: thresholds, records that are kept, and the JSON of docs/protocol.md §4."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest

from dashboard_rt.dashboard.model import Dashboard, Health, Level, Metrics, assess, rfc3339, update_text
from dashboard_rt.eventlog.database import Database
from tests.logkit import connected

pytestmark = pytest.mark.anyio
NOON = 1_694_041_735_123.4  # 2023-09-06T23:08:55.123Z


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with connected(database_url) as db:
        yield db


@pytest.fixture
def dashboard(db: Database) -> Dashboard:
    return Dashboard(db, keep=3)


@pytest.mark.parametrize(
    ("cpu", "memory", "health"),
    [
        (0, 0, Health.ONLINE),
        (70, 80, Health.ONLINE),
        (70.1, 10, Health.WARNING),
        (10, 80.1, Health.WARNING),
        (90, 95, Health.WARNING),
        (90.1, 10, Health.OFFLINE),
        (10, 95.1, Health.OFFLINE),
    ],
)
def test_thresholds(cpu: float, memory: float, health: Health) -> None:
    assessment = assess(Metrics(cpu, memory, disk=1, network=0))
    assert assessment.health is health
    assert f"CPU {cpu:.0f} %" in assessment.message


async def test_before_the_first_records(dashboard: Dashboard) -> None:
    assert await dashboard.snapshot() == {
        "system_status": {
            "status": "online",
            "uptime": None,
            "last_check": None,
            "message": "Not checked yet",
        },
        "metrics": dict.fromkeys(Metrics._fields),
        "activities": [],
    }
    assert await dashboard.latest_metrics() is None
    assert await dashboard.metrics(10) == []


async def test_the_json_of_the_protocol(dashboard: Dashboard) -> None:
    await dashboard.record_metrics(Metrics(12.5, 40.1, 61.0, 3.2, 4.1), NOON)
    await dashboard.record_status(assess(Metrics(12.5, 40.1, 61.0, 3.2)), NOON)
    await dashboard.record_activity("Something changed", Level.WARNING, NOON)
    assert orjson.loads(update_text(await dashboard.snapshot(), NOON)) == {
        "system_status": {
            "status": "online",
            "uptime": 100.0,
            "last_check": "2023-09-06T23:08:55.123Z",
            "message": "All is well: CPU 12 %, memory 40 %",
        },
        "metrics": {"cpu": 12.5, "memory": 40.1, "disk": 61.0, "network": 3.2, "response_time": 4.1},
        "activities": [
            {
                "time": "2023-09-06T23:08:55.123Z",
                "message": "Something changed",
                "level": "warning",
                "css_class": "activity-warning",
            }
        ],
        "timestamp": "2023-09-06T23:08:55.123Z",
        "published_at_ms": NOON,
    }


def test_an_update_can_carry_more() -> None:
    assert orjson.loads(update_text({}, NOON, test={"number": 1}))["test"] == {"number": 1}


async def test_the_newest_records_are_kept(dashboard: Dashboard, db: Database) -> None:
    for cpu in range(5):
        await dashboard.record_metrics(Metrics(cpu, 1, 1, 0), NOON)
        await dashboard.record_activity(f"no. {cpu}", Level.INFO, NOON)
        await dashboard.record_status(assess(Metrics(cpu, 1, 1, 0)), NOON)
    assert [row["cpu"] for row in await dashboard.metrics(10)] == [4, 3, 2]
    assert [row["cpu"] for row in await dashboard.metrics(2)] == [4, 3]
    for table in ("metrics", "activities", "statuses"):
        assert await db.rows(f"SELECT count(*) FROM {table}") == [(3,)]


async def test_a_stored_reading(dashboard: Dashboard) -> None:
    await dashboard.record_metrics(Metrics(1, 2, 3, 4), NOON)
    (row,) = await dashboard.metrics(1)
    assert row == {
        "id": 1,
        "time": "2023-09-06T23:08:55.123Z",
        "cpu": 1,
        "memory": 2,
        "disk": 3,
        "network": 4,
        "response_time": None,
    }
    assert await dashboard.latest_metrics() == Metrics(1, 2, 3, 4, None)


async def test_recording_a_status_returns_the_one_before(dashboard: Dashboard) -> None:
    good, bad = assess(Metrics(1, 1, 1, 0)), assess(Metrics(99, 1, 1, 0))
    assert await dashboard.record_status(good, NOON) is None
    assert await dashboard.record_status(bad, NOON) is Health.ONLINE
    assert await dashboard.record_status(bad, NOON) is Health.OFFLINE


async def test_uptime_is_the_share_of_checks_that_were_not_offline(dashboard: Dashboard) -> None:
    for cpu in (10, 75, 99):
        await dashboard.record_status(assess(Metrics(cpu, 1, 1, 0)), NOON)
    status = (await dashboard.snapshot())["system_status"]
    assert (status["status"], status["uptime"]) == ("offline", 66.67)


def test_rfc3339() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
