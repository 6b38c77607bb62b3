"""The reading endpoints, on an app with all its real parts, and on parts that are away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard_rt.api import Endpoints, Parts, routes
from dashboard_rt.app import create_app
from dashboard_rt.dashboard import Metrics
from dashboard_rt.errors import LogUnavailable
from dashboard_rt.replies import exception_handlers
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
def test_reading_only(client: TestClient, path: str) -> None:
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
    assert stats["verdicts"]["sse"] == {"fresh": 0, "recovered": 0, "gap": 0}
    assert stats["transports"]["cable"]["connections"] == 0


def test_debug_masks_secrets(client: TestClient) -> None:
    answer = client.get("/dashboard/debug")
    assert "s3cret" not in answer.text
    debug = answer.json()
    assert debug["settings"]["PUBLISH_TOKEN"] == "***" and debug["ready"] is True
    assert debug["log"]["streams"]["events"] == {"kind": "log", "oldest_id": 1, "last_id": 0}
    assert debug["broker"] == {"url": "memory://", "heard": True}


def test_prometheus(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"dashboard_rt_connections", "dashboard_rt_publishes"} <= names


# ---- parts that are away


class FakeLog:
    """A log that fails as the test wants."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    async def state(self) -> LogState:
        if self.error is not None:
            raise self.error
        return LogState("e", {})


class FakeHub:
    """Ready or not."""

    def __init__(self, ready: bool) -> None:
        self.ready = ready

    def stats(self) -> dict[str, object]:
        return {}


def away(error: BaseException | None = None, heard: bool = True, ready: bool = True) -> TestClient:
    parts: Any = SimpleNamespace(
        settings=Settings.read({}),
        telemetry=Telemetry(),
        log=FakeLog(error),
        broker=SimpleNamespace(heard=heard),
        hub=FakeHub(ready),
    )
    endpoints = Endpoints(cast(Parts, parts))
    return TestClient(Starlette(routes=endpoints.routes(), exception_handlers=dict(exception_handlers)))


@pytest.mark.parametrize(
    ("client", "answer"),
    [
        (away(LogUnavailable("gone")), {"log": False, "broker": True, "hub": True}),
        (away(TimeoutError()), {"log": False, "broker": True, "hub": True}),
        (away(heard=False), {"log": True, "broker": False, "hub": True}),
        (away(ready=False), {"log": True, "broker": True, "hub": False}),
    ],
)
def test_not_ready(client: TestClient, answer: dict[str, bool]) -> None:
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", **answer})
    assert client.get("/up").status_code == 200, "alive all the same"


def test_debug_tells_what_is_wrong() -> None:
    assert away(LogUnavailable("gone")).get("/dashboard/debug").json()["log"] == {"error": "gone"}


def test_no_dashboard_stream(tmp_path: Path) -> None:
    settings = Settings.read(
        {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "STREAMS": "events:log", "JOBS": "off"}
    )
    with TestClient(create_app(settings)) as client:
        assert client.get("/dashboard/refresh").status_code == 404


def test_every_route_is_documented(settings: Settings) -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "protocol.md").read_text()
    parts = cast(Any, create_app(settings)).state.parts
    missing = [path for route in routes(parts) if (path := getattr(route, "path", "")) and path not in text]
    assert missing == []
