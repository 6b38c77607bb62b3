"""The triggers: who may pull them, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard_rt.access import Bucket
from dashboard_rt.errors import LogUnavailable
from dashboard_rt.jobs import Jobs
from dashboard_rt.replies import exception_handlers
from dashboard_rt.settings import Settings
from dashboard_rt.triggers import Triggers
from dashboard_rt.types import Position, Receipt

PATHS = ["/dashboard/trigger-jobs", "/dashboard/trigger-test-pubsub", "/dashboard/trigger-burst"]
TOKEN = {"authorization": "Bearer s3cret"}


class FakeJobs:
    """Counts what it is asked for."""

    jobs: Sequence[Any] = (SimpleNamespace(name="metrics"), SimpleNamespace(name="status"))

    def __init__(self) -> None:
        self.runs = 0
        self.published: list[int] = []
        self.away = False

    async def run_now(self) -> None:
        if self.away:
            raise LogUnavailable("Try again.")
        self.runs += 1

    async def publish_test(self, count: int = 1) -> Receipt:
        self.published.append(count)
        return Receipt(Position("e", sum(self.published)), count)


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


def client(jobs: FakeJobs, at_once: int = 5, **environ: str) -> TestClient:
    bucket = Bucket(1, at_once, clock=lambda: 0.0)
    triggers = Triggers(cast(Jobs, jobs), Settings.read(environ), bucket)
    app = Starlette(routes=triggers.routes(), exception_handlers=dict(exception_handlers))
    return TestClient(app, base_url="http://127.0.0.1:3000")


def test_in_the_demo(jobs: FakeJobs) -> None:
    demo = client(jobs)
    assert demo.post(PATHS[0]).json() == {"ran": ["metrics", "status"]}
    one, many = demo.post(PATHS[1]), demo.post(PATHS[2])
    assert (one.status_code, one.json()) == (201, {"position": "e-1", "count": 1})
    assert (many.status_code, many.json()) == (201, {"position": "e-101", "count": 100})
    assert jobs.runs == 1 and jobs.published == [1, 100]


@pytest.mark.parametrize("path", PATHS)
def test_a_get_changes_nothing(jobs: FakeJobs, path: str) -> None:
    assert client(jobs).get(path).status_code == 405
    assert jobs.runs == 0 and jobs.published == []


@pytest.mark.parametrize("path", PATHS)
def test_not_in_the_demo(jobs: FakeJobs, path: str) -> None:
    assert client(jobs, DEMO="off").post(path).status_code == 404
    guarded = client(jobs, DEMO="off", PUBLISH_TOKEN="s3cret")
    assert guarded.post(path).status_code == 401
    assert guarded.post(path, headers=TOKEN).status_code in (200, 201)


def test_a_wrong_token_is_wrong_in_the_demo_too(jobs: FakeJobs) -> None:
    demo = client(jobs, PUBLISH_TOKEN="s3cret")
    assert demo.post(PATHS[0], headers={"authorization": "Bearer x"}).status_code == 401


def test_pages_of_other_hosts_may_not(jobs: FakeJobs) -> None:
    demo = client(jobs, PUBLISH_TOKEN="s3cret")
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert demo.post(PATHS[1], headers=foreign).json()["error"] == "forbidden"
    own = {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-origin"}
    assert demo.post(PATHS[1], headers=own).status_code == 201
    assert demo.post(PATHS[1], headers={**foreign, **TOKEN}).status_code == 201


def test_not_too_often_without_the_token(jobs: FakeJobs) -> None:
    demo = client(jobs, at_once=2, PUBLISH_TOKEN="s3cret")
    assert [demo.post(PATHS[1]).status_code for _ in range(3)] == [201, 201, 429]
    assert demo.post(PATHS[1], headers=TOKEN).status_code == 201


@pytest.mark.parametrize(
    ("count", "status"), [("1", 201), ("1000", 201), ("0", 400), ("1001", 400), ("x", 400)]
)
def test_size_of_a_burst(jobs: FakeJobs, count: str, status: int) -> None:
    assert client(jobs).post(f"{PATHS[2]}?count={count}").status_code == status


def test_no_dashboard_stream(jobs: FakeJobs) -> None:
    answer = client(jobs, STREAMS="events:log", JOBS="off").post(PATHS[0])
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_stream")


def test_the_log_is_away(jobs: FakeJobs) -> None:
    jobs.away = True
    assert client(jobs).post(PATHS[0]).status_code == 503
