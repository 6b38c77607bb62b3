"""docs/embedding.md: its examples, run as they stand there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient, WebSocketDenialResponse

from dashboard_rt.app import create_app
from dashboard_rt.settings import Settings

DOCUMENT = (Path(__file__).resolve().parents[1] / "docs" / "embedding.md").read_text()
EXAMPLES = dict(
    re.findall(r"^## (\w+)\n+<!--[^\n]*-->\n```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
)
[TICKETS] = re.findall(r"^## Tickets\n.*?^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_AUTH_SECRET", "s" * 32)


@pytest.fixture(params=EXAMPLES)
def example(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What an example defines."""
    if request.param == "FastAPI":
        pytest.importorskip("fastapi")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/embedded.db")
    monkeypatch.setenv("JOBS", "off")
    monkeypatch.setenv("PUBLISH_TOKEN", "s3cret")
    monkeypatch.setenv("ALLOWED_HOSTS", "testserver")
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[request.param], f"docs/embedding.md, {request.param}", "exec"), names)
    return names


@pytest.fixture
def client(example: dict[str, Any]) -> Iterator[TestClient]:
    with TestClient(example["app"], follow_redirects=False) as client:
        yield client


def test_there_is_an_example_for_each_framework() -> None:
    assert set(EXAMPLES) == {"Starlette", "FastAPI"}


def test_the_dashboard_runs_inside_of_it(client: TestClient) -> None:
    page = client.get("/dash/")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href|data-trigger)="(/[^"]*)"', page.text)
    assert addresses and all(address.startswith("/dash/") for address in addresses)
    for address in addresses:
        method = "POST" if "trigger" in address else "GET"
        assert client.request(method, address).status_code in (200, 201), address
    settings = json.loads(re.findall(r'id="page-settings">(.*?)</script>', page.text)[0])
    assert settings["sse_endpoint"] == "/dash/dashboard/stream"
    published = client.post(
        "/dash/streams/dashboard_updates", content="1", headers={"authorization": "Bearer s3cret"}
    )
    assert published.status_code == 201
    with client.websocket_connect(settings["cable_endpoint"]) as websocket:
        assert json.loads(websocket.receive_text()) == {"type": "welcome"}


def test_the_server_hears_what_the_dashboard_tells_it(client: TestClient) -> None:
    """Without it the server would compress WebSockets, and none would be handed over."""
    assert client.app_state["dashboard_rt.compress"] is False


@pytest.mark.parametrize("example", ["FastAPI"], indirect=True)
def test_a_publish_from_the_outer_app(client: TestClient) -> None:
    assert client.post("/orders?number=3").json()["position"].endswith("-1")


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("example", ["FastAPI"], indirect=True)
def test_the_outer_app_issues_tickets(example: dict[str, Any]) -> None:
    example["logged_in"] = lambda: SimpleNamespace(streams=["dashboard_updates"])
    exec(compile(TICKETS, "docs/embedding.md, Tickets", "exec"), example)
    with TestClient(example["app"]) as client:
        client.post("/orders?number=3")
        ticket = client.get("/stream-ticket")
        assert ticket.headers["cache-control"] == "no-store"
        for query, status in (("", 401), (f"?ticket={ticket.text}", 200), (f"?ticket={ticket.text}", 401)):
            assert client.get(f"/dash/dashboard/refresh{query}").status_code == status


def test_without_the_lifespan_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings.read({"DATABASE_URL": f"sqlite:///{tmp_path}/e.db", "ALLOWED_HOSTS": "testserver"})
    app = Starlette(routes=[Mount("/dash", create_app(settings))])
    with TestClient(app) as client:
        for path in ("/", "/up", "/dashboard/refresh", "/dashboard/stream", "/static/page.js"):
            answer = client.get(f"/dash{path}")
            assert (answer.status_code, answer.json()["error"]) == (503, "not_started"), path
            assert "docs/embedding.md" in answer.json()["detail"]
        with pytest.raises(WebSocketDenialResponse) as denied:
            client.websocket_connect("/dash/cable").__enter__()
        assert denied.value.status_code == 503
