"""https: FORCE_HTTPS, by the word of the proxy that ended TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from dashboard_rt.app import create_app
from dashboard_rt.http.https import STRICT_TRANSPORT_SECURITY
from dashboard_rt.settings import Settings

PLAIN = {"x-forwarded-proto": "http"}
HSTS = "strict-transport-security"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings.read(
        {
            "DATABASE_URL": f"sqlite:///{tmp_path}/app.db",
            "JOBS": "off",
            "PUBLISH_TOKEN": "s3cret",
            "ALLOWED_HOSTS": "a.example",
            "FORCE_HTTPS": "on",
        }
    )
    with TestClient(create_app(settings), base_url="http://a.example", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/dashboard?x=%2Fy&z", "/static/a%20b.js"])
def test_a_page_is_sent_to_https(client: TestClient, path: str) -> None:
    response = client.get(path, headers=PLAIN)
    assert (response.status_code, response.headers["location"]) == (308, f"https://a.example{path}")
    assert HSTS not in response.headers  # RFC 6797 §7.2


def test_a_publish_over_http_is_refused_and_writes_nothing(client: TestClient) -> None:
    headers = {**PLAIN, "authorization": "Bearer s3cret"}
    response = client.post("/streams/dashboard_updates", json={"n": 1}, headers=headers)
    assert (response.status_code, response.json()["error"]) == (403, "https_required")
    assert client.get("/dashboard/refresh").headers["x-stream-position"].endswith("-0")


def test_a_websocket_over_http_is_refused(client: TestClient) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as refusal,
        client.websocket_connect("ws://a.example/cable", headers=PLAIN),
    ):
        pass
    assert refusal.value.json()["error"] == "https_required"


def test_a_foreign_host_is_refused_before_it_is_redirected_to(client: TestClient) -> None:
    response = client.get("/", headers={**PLAIN, "host": "evil.example"})
    assert response.status_code == 421


def test_over_https_browsers_are_told_to_stay(client: TestClient) -> None:
    response = client.get("https://a.example/up")
    assert (response.status_code, response.headers[HSTS]) == (200, STRICT_TRANSPORT_SECURITY)


def test_what_came_through_no_proxy_passes(client: TestClient) -> None:
    response = client.get("/up")
    assert response.status_code == 200
    assert HSTS not in response.headers
