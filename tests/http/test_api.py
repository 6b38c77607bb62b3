"""api: the reading endpoints, on an app with all its real parts and with parts that fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard_rt.app import create_app
from dashboard_rt.dashboard.collectors import Collectors
from dashboard_rt.dashboard.model import Metrics
from dashboard_rt.errors import LogUnavailable
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.http import api
from dashboard_rt.http.responses import exception_handlers
from dashboard_rt.http.stats import Stats
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import LogState

READING = [
    "/up",
    "/health",
    "/ready",
    "/metrics",
    "/dashboard/refresh",
    "/dashboard/metrics",
    "/dashboard/stats",
    "/dashboard/debug",
]
AUTHORIZED = {"authorization": "Bearer s3cret"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.read(
        {
            "DATABASE_URL": f"sqlite:///{tmp_path}/api.db",
            "STREAMS": "dashboard_updates:state,events:log",
            "JOBS": "off",
            "PUBLISH_TOKEN": "s3cret",
        }
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url="http://127.0.0.1:3000") as client:
        yield client


def test_health(client: TestClient) -> None:
    assert client.get("/up").json() == client.get("/health").json() == {"status": "ok"}
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ok", "log": True, "broker": True, "hub": True},
    )


@pytest.mark.parametrize("path", READING)
def test_endpoints_only_read(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert client.head(path).status_code == 200
    refused = client.post(path)
    assert refused.status_code == 405 and "GET" in refused.headers["allow"]


def test_refresh_follows_what_is_published(client: TestClient) -> None:
    before = client.get("/dashboard/refresh")
    epoch = before.headers["x-stream-position"].removesuffix("-0")
    assert before.json() is None
    answer = client.post("/streams/dashboard_updates", content='{"n": 1}', headers=AUTHORIZED)
    assert answer.json() == {"position": f"{epoch}-1"}
    deadline = time.monotonic() + 10
    while client.get("/dashboard/refresh").headers["x-stream-position"] != f"{epoch}-1":
        assert time.monotonic() < deadline
    after = client.get("/dashboard/refresh")
    assert after.text == '{"n": 1}' and after.headers["x-stream-position"] == f"{epoch}-1"


def test_publishing_through_the_whole_app(client: TestClient) -> None:
    keyed = {**AUTHORIZED, "idempotency-key": "once"}
    first = client.post("/streams/events", content="1", headers=keyed)
    again = client.post("/streams/events", content="1", headers=keyed)
    assert first.status_code == again.status_code == 201 and first.json() == again.json()
    batch = {**AUTHORIZED, "content-type": "application/x-ndjson"}
    many = client.post("/streams/events", content="1\n2\n3\n", headers=batch).json()
    assert many["count"] == 3 and many["position"].endswith("-4")
    assert client.get("/streams/events").status_code == 405
    assert client.post("/streams/none", content="1", headers=AUTHORIZED).json()["error"] == "unknown_stream"


def test_triggers_run_the_real_collectors(client: TestClient) -> None:
    assert client.post("/dashboard/trigger-jobs").json() == {"ran": ["metrics", "status"]}
    (row,) = client.get("/dashboard/metrics?limit=5").json()["metrics"]
    assert set(row) == {"id", "time", *Metrics._fields} and 0 < row["memory"] <= 100
    assert client.post("/dashboard/trigger-test-pubsub").status_code == 201


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "٣"])
def test_bad_limits(client: TestClient, limit: str) -> None:
    answer = client.get("/dashboard/metrics", params={"limit": limit})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")


def test_stats(client: TestClient) -> None:
    stats = client.get("/dashboard/stats").json()
    assert stats["process"]["pid"] > 0 and stats["process"]["rss_bytes"] > 1_000_000
    assert stats["verdicts"].keys() == stats["transports"].keys() == {"sse", "cable"}
    assert stats["verdicts"]["sse"] == {"fresh": 0, "recovered": 0, "gap": 0}
    assert stats["streams"].keys() == {"dashboard_updates", "events"} and stats["lag_ms"] is None
    assert stats["transports"]["cable"]["connections"] == 0


def test_debug_masks_secrets(client: TestClient) -> None:
    answer = client.get("/dashboard/debug")
    assert "s3cret" not in answer.text
    debug = answer.json()
    assert debug["settings"]["PUBLISH_TOKEN"] == "***" and debug["ready"] is True
    assert debug["log"]["streams"]["events"] == {"kind": "log", "oldest_id": 1, "last_id": 0}
    assert debug["broker"] == {"url": "memory://", "connected": True}
    assert debug["stats"].keys() == client.get("/dashboard/stats").json().keys()


def test_prometheus(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"dashboard_rt_connections", "dashboard_rt_publishes"} <= names


# ---- with parts that fail


class FakeLog(EventLog):
    """A log that fails with `error`."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    async def state(self) -> LogState:
        if self.error is not None:
            raise self.error
        return LogState("e", {})


class FakeStats(Stats):
    """A process that is ready, or is not."""

    def __init__(self, ready: bool) -> None:
        self.is_ready = ready

    @property
    def ready(self) -> bool:
        return self.is_ready

    def snapshot(self) -> dict[str, object]:
        return {}


class FakeCollectors(Collectors):
    """Collectors that have a schedule, or, for None, have not."""

    def __init__(self, overdue: list[str] | None) -> None:
        self.late = overdue

    @property
    def scheduled(self) -> bool:
        return self.late is not None

    def overdue(self) -> list[str]:
        return self.late or []


def failing(
    error: BaseException | None = None,
    connected: bool = True,
    ready: bool = True,
    overdue: list[str] | None = None,
) -> TestClient:
    routes = api.ReadEndpoints(
        settings=Settings.read({}),
        telemetry=Telemetry(),
        log=FakeLog(error),
        broker=cast(Any, SimpleNamespace(connected=connected)),
        hub=cast(Any, None),
        dashboard=cast(Any, None),
        collectors=FakeCollectors(overdue),
        stats=FakeStats(ready),
    ).routes()
    return TestClient(Starlette(routes=routes, exception_handlers=dict(exception_handlers)))


@pytest.mark.parametrize(
    ("client", "answer"),
    [
        (failing(LogUnavailable("gone")), {"log": False, "broker": True, "hub": True}),
        (failing(TimeoutError()), {"log": False, "broker": True, "hub": True}),
        (failing(connected=False), {"log": True, "broker": False, "hub": True}),
        (failing(ready=False), {"log": True, "broker": True, "hub": False}),
        (
            failing(overdue=["One is late.", "Two too."]),
            {"log": True, "broker": True, "hub": True, "jobs": False, "detail": "One is late. Two too."},
        ),
    ],
)
def test_not_ready(client: TestClient, answer: dict[str, object]) -> None:
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", **answer})
    assert client.get("/up").status_code == 200, "alive all the same"


def test_jobs_that_run_are_ready() -> None:
    ready = failing(overdue=[]).get("/ready")
    assert (ready.status_code, ready.json()["jobs"]) == (200, True)


@pytest.mark.parametrize(
    ("error", "detail"),
    [(LogUnavailable("gone"), "gone"), (TimeoutError(), "The log did not answer in time.")],
)
def test_debug_shows_why_the_log_cannot_be_read(error: Exception, detail: str) -> None:
    assert failing(error).get("/dashboard/debug").json()["log"] == {"error": detail}


def test_a_log_that_hangs_does_not_hang_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LOG_SECONDS", 0.01)

    async def hang(log: FakeLog) -> LogState:
        await asyncio.sleep(60)
        raise AssertionError("it waited")

    monkeypatch.setattr(FakeLog, "state", hang)
    assert failing().get("/ready").json()["log"] is False


def test_no_dashboard_stream(tmp_path: Path) -> None:
    settings = Settings.read(
        {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "STREAMS": "events:log", "JOBS": "off"}
    )
    with TestClient(create_app(settings)) as client:
        assert client.get("/dashboard/refresh").status_code == 404
