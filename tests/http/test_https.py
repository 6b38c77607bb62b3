"""https: FORCE_HTTPS, by the word of the proxy that ended TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Receive, Scope, Send

from dashboard_rt.app import create_app
from dashboard_rt.http.https import STRICT_TRANSPORT_SECURITY
from dashboard_rt.server.forwarded import ForwardedHeaders
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
    assert response.headers["cache-control"] == "no-store"
    assert HSTS not in response.headers  # RFC 6797 §7.2


def test_a_publish_over_http_is_refused_and_writes_nothing(client: TestClient) -> None:
    headers = {**PLAIN, "authorization": "Bearer s3cret"}
    response = client.post("/streams/dashboard_updates", json={"n": 1}, headers=headers)
    assert (response.status_code, response.json()["error"]) == (403, "https_required")
    assert client.get("/dashboard/refresh").headers["x-stream-position"].endswith("-0")


def test_a_token_over_http_is_refused_and_not_sent_on(client: TestClient) -> None:
    response = client.get("/metrics", headers={**PLAIN, "authorization": "Bearer s3cret"})
    assert (response.status_code, response.json()["error"]) == (403, "https_required")


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


# ---- an app on a platform, with the settings of app.json: its router sets X-Forwarded-*, and passes Host on


@pytest.mark.parametrize("domain", ["quiet-tundra-1.herokuapp.com", "dash.example.org"])
def test_websockets_follow_the_domain_that_a_page_came_from(domain: str, tmp_path: Path) -> None:
    """The app's own and a custom one, though no setting names either, and the server sees plain HTTP."""
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/app.db", "JOBS": "off", "HOST": "0.0.0.0"}
    app = create_app(Settings.read({**env, "FORCE_HTTPS": "on", "CABLE_REQUIRE_ORIGIN": "on"}))
    behind_router = ForwardedHeaders(app, ["*"])

    async def served(
        scope: Scope, receive: Receive, send: Send
    ) -> None:  # TestClient asks for a coroutine function
        await behind_router(scope, receive, send)

    forwarded = {"x-forwarded-proto": "https", "x-forwarded-port": "443", "x-forwarded-for": "198.51.100.4"}
    url = f"ws://{domain}/cable"
    with TestClient(served) as client:

        def connects(origin: str) -> bool:
            headers = {**forwarded, "origin": origin}
            try:
                with client.websocket_connect(url, ["actioncable-v1-json"], headers=headers) as socket:
                    return bool(socket.receive_json()["type"] == "welcome")
            except WebSocketDenialResponse as refusal:
                assert refusal.status_code == 404
                return False

        assert connects(f"https://{domain}")
        assert not connects("https://evil.example")
        assert not connects("https://other-app.herokuapp.com")
