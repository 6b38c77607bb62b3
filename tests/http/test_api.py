"""api: the reading endpoints, on an app with all its real parts and with parts that fail."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
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
    "/dashboard/time",
    "/dashboard/refresh",
    "/dashboard/metrics",
    "/dashboard/stats",
    "/dashboard/debug",
]
AUTHORIZED = {"authorization": "Bearer s3cret"}
OPERATORS = ["/metrics", "/dashboard/stats", "/dashboard/debug"]
OPERATOR = {"authorization": "Bearer 0ps"}


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
    assert client.get("/up").json() == {"status": "ok"}
    assert client.get("/health").json() == {"status": "ok", "degraded": [], "by_settings": []}
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ok", "log": True, "broker": True, "hub": True},
    )


def test_the_time_is_that_of_the_clock_that_stamps_updates(client: TestClient) -> None:
    before = time.time() * 1000
    told = client.get("/dashboard/time").json()
    assert list(told) == ["time_ms"] and before - 0.1 <= told["time_ms"] <= time.time() * 1000 + 0.1


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
    assert "1 to 1000" in answer.json()["detail"]


@pytest.mark.parametrize("keep", ["10", "5000"])
def test_the_limit_of_metrics_is_the_same_however_many_are_kept(tmp_path: Path, keep: str) -> None:
    with TestClient(app_with(tmp_path, KEEP_RECORDS=keep), base_url="http://localhost") as client:
        assert client.get("/dashboard/metrics?limit=1000").status_code == 200
        assert client.get("/dashboard/metrics?limit=1001").status_code == 400


def app_with(tmp_path: Path, **environ: str) -> Starlette:
    return create_app(Settings.read({"DATABASE_URL": f"sqlite:///{tmp_path}/o.db", "JOBS": "off", **environ}))


def test_the_token_of_operators_closes_their_endpoints_and_no_other(tmp_path: Path) -> None:
    app = app_with(tmp_path, OPS_TOKEN="0ps", PUBLISH_TOKEN="s3cret")
    with TestClient(app, base_url="http://localhost") as client:
        for path in READING:
            assert (client.get(path).status_code == 200) is (path not in OPERATORS), path
            assert client.get(path, headers=OPERATOR).status_code == 200, path
        for path in OPERATORS:
            refused = client.get(path, headers=AUTHORIZED)
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
            assert client.head(path).status_code == 401
        assert client.post("/streams/dashboard_updates", headers=OPERATOR).status_code == 401
        metrics = client.get("/metrics", headers=OPERATOR).text
        assert 'dashboard_rt_refused_total{reason="unauthorized"}' in metrics


@pytest.mark.parametrize("path", OPERATORS)
def test_without_a_token_operators_are_on_this_machine(tmp_path: Path, path: str) -> None:
    app = app_with(tmp_path, HOST="0.0.0.0")
    with TestClient(app, client=("10.0.0.9", 1)) as client:
        assert client.get(path).status_code == 403
        assert client.get("/ready").status_code == 200
    with TestClient(app, client=("127.0.0.1", 1)) as client:
        assert client.get(path).status_code == 200
        assert client.get(path, headers={"x-forwarded-for": "10.0.0.9"}).status_code == 403


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
    assert debug["settings"]["PUBLISH_TOKEN"] == "***" and debug["degraded"] == []
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
    """A process that says what it lacks. `taken` counts its snapshots."""

    def __init__(self, *lacks: str, slow: Sequence[str] = ()) -> None:
        self.lacks = lacks
        self.slow = slow
        self.taken = 0
        self.ingests: str | None = None

    @property
    def ingest_state(self) -> str | None:
        return self.ingests

    def degraded(self) -> list[str]:
        return [*self.lacks]

    def by_settings(self) -> list[str]:
        return [*self.slow]

    def snapshot(self) -> dict[str, object]:
        self.taken += 1
        return {"taken": self.taken}


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
    lacks: Sequence[str] = (),
    overdue: list[str] | None = None,
) -> TestClient:
    reading = endpoints(FakeLog(error), FakeStats(*lacks), connected=connected, overdue=overdue)
    return served(reading)


def served(reading: api.ReadEndpoints) -> TestClient:
    return TestClient(Starlette(routes=reading.routes(), exception_handlers=dict(exception_handlers)))


@pytest.mark.parametrize(
    ("state", "detail"), [("standby", False), ("leading", False), ("disconnected", True)]
)
def test_ready_tells_who_ingests_and_is_ready_without_redis(state: str, detail: bool) -> None:
    stats = FakeStats()
    stats.ingests = state
    answer = served(endpoints(FakeLog(None), stats)).get("/ready")
    assert (answer.status_code, answer.json()["ingest"]) == (200, state)
    assert ("INGEST_CHANNEL" in answer.json().get("detail", "")) is detail


def endpoints(
    log: EventLog,
    stats: Stats,
    *,
    connected: bool = True,
    overdue: list[str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    settings: Settings | None = None,
) -> api.ReadEndpoints:
    return api.ReadEndpoints(
        settings=settings or Settings.read({}),
        telemetry=Telemetry(),
        log=log,
        broker=cast(Any, SimpleNamespace(connected=connected)),
        hub=cast(Any, None),
        dashboard=cast(Any, None),
        collectors=FakeCollectors(overdue),
        stats=stats,
        clock=clock,
    )


@pytest.mark.parametrize(
    ("client", "answer"),
    [
        (failing(LogUnavailable("Gone.")), {"log": False, "broker": True, "hub": True, "detail": "Gone."}),
        (
            failing(TimeoutError()),
            {"log": False, "broker": True, "hub": True, "detail": "The log did not answer in time."},
        ),
        (
            failing(connected=False, lacks=["It is away."]),
            {"log": True, "broker": False, "hub": False, "detail": "It is away."},
        ),
        (
            failing(lacks=["It stops."]),
            {"log": True, "broker": True, "hub": False, "detail": "It stops."},
        ),
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
    assert client.get("/health").json()["status"] == "ok", "alive all the same"


def test_health_says_what_is_degraded() -> None:
    client = failing(lacks=["The broker is away."], overdue=["One is late."])
    assert client.get("/health").json()["degraded"] == ["The broker is away.", "One is late."]


def test_what_the_settings_make_slow_is_said_and_is_ready_all_the_same() -> None:
    client = served(endpoints(FakeLog(None), FakeStats(slow=["It is slow."])))
    assert client.get("/health").json() == {
        "status": "ok",
        "degraded": ["It is slow."],
        "by_settings": ["It is slow."],
    }
    assert (client.get("/ready").status_code, "detail" in client.get("/ready").json()) == (200, False)


def test_of_several_processes_each_sample_names_its_own() -> None:
    def samples(processes: str) -> set[str]:
        settings = Settings.read({"WEB_CONCURRENCY": processes})
        client = served(endpoints(FakeLog(None), FakeStats(), settings=settings))
        lines = client.get("/metrics", headers={"host": "127.0.0.1"}).text.splitlines()
        return {line for line in lines if not line.startswith("#")}

    pid = f'pid="{os.getpid()}"'
    assert not any(pid in sample for sample in samples("1"))
    several = samples("2")
    assert several and all(pid in sample for sample in several)
    assert any(
        sample.startswith("dashboard_rt_publishes_total{") and 'result="ok"' in sample for sample in several
    )
    assert any("_bucket{" in sample and "le=" in sample for sample in several)


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


def test_figures_are_looked_up_once_a_second_however_many_ask() -> None:
    now, stats = [0.0], FakeStats()
    client = served(endpoints(FakeLog(None), stats, clock=lambda: now[0]))
    for _ in range(5):
        assert client.get("/dashboard/stats").json() == client.get("/dashboard/debug").json()["stats"]
    assert stats.taken == 1
    now[0] = 1.0
    assert client.get("/dashboard/stats").json() == {"taken": 2}


@pytest.mark.anyio
async def test_the_log_is_asked_once_however_many_wait() -> None:
    now, asked, answer = [0.0], 0, asyncio.Event()

    class SlowLog(FakeLog):
        async def state(self) -> LogState:
            nonlocal asked
            asked += 1
            await answer.wait()
            return LogState("e", {})

    reading, request = (
        endpoints(SlowLog(None), FakeStats(), clock=lambda: now[0]),
        Request({"type": "http", "headers": []}),
    )
    waiting = [asyncio.create_task(reading.debug(request)) for _ in range(3)]
    await asyncio.sleep(0)
    now[0] = 5.0
    waiting.append(asyncio.create_task(reading.ready(request)))
    await asyncio.sleep(0)
    waiting.pop(0).cancel()  # who leaves takes the answer from nobody
    answer.set()
    assert [response.status_code for response in await asyncio.gather(*waiting)] == [200] * 3
    assert asked == 1
    await reading.ready(request)
    assert asked == 2, "more than a second has gone"


def test_no_dashboard_stream(tmp_path: Path) -> None:
    settings = Settings.read(
        {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "STREAMS": "events:log", "JOBS": "off"}
    )
    with TestClient(create_app(settings), base_url="http://127.0.0.1:3000") as client:
        assert client.get("/dashboard/refresh").status_code == 404
