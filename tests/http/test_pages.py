"""pages: what is filled into the page, what its headers allow, which files are served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from dashboard_rt.http.pages import WEB, fill_template, routes
from dashboard_rt.http.responses import exception_handlers
from dashboard_rt.http.security import FORWARDED_HOST, PREFIX
from dashboard_rt.hub.hub import Hub
from dashboard_rt.settings import DASHBOARD_STREAM, Settings
from dashboard_rt.types import Position, Update

TEMPLATE = (
    '<meta name="stream-position" content="{{position}}">'
    '<script type="application/json" id="page-settings">{{page_json}}</script>'
)
NASTY = '{"message":"</script><script>alert(1)</script> & {{position}} \u2028 \\u003c"}'


class FakeHub(Hub):
    """A hub whose dashboard stream ends at 7."""

    def __init__(self, text: str | None = '{"a":1}') -> None:
        self.text = text

    def newest(self, stream: str) -> Update | None:
        return None if self.text is None else Update(stream, 7, self.text)

    def position(self, stream: str) -> Position:
        assert stream == DASHBOARD_STREAM
        return Position("k3f9", 7)


@pytest.fixture
def web(tmp_path: Path) -> Path:
    web = tmp_path / "web"
    (web / "vendor").mkdir(parents=True)
    (web / "index.html").write_text(TEMPLATE)
    (web / "app.js").write_text("export {}\n")
    (web / "page.css").write_text("p {}\n")
    (web / "vendor" / "VENDOR").write_text("somebody's\n")
    (tmp_path / "secret.txt").write_text("secret")
    return web


def client(web: Path, hub: FakeHub | None = None, **environ: str) -> TestClient:
    pages = routes(Settings.read(environ), hub or FakeHub(), web)
    app = Starlette(routes=pages, exception_handlers=dict(exception_handlers))
    return TestClient(app, base_url="http://app.example:3000", raise_server_exceptions=False)


def page_settings(html: str) -> Any:
    found = re.search(r'id="page-settings">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return orjson.loads(found[1])


@pytest.mark.parametrize(
    ("path", "view"),
    [
        ("/", "both"),
        ("/dashboard", "both"),
        ("/dashboard/sse-test", "sse"),
        ("/dashboard/websocket-test", "cable"),
    ],
)
def test_views(web: Path, path: str, view: str) -> None:
    answer = client(web).get(path)
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert 'content="k3f9-7"' in answer.text
    assert page_settings(answer.text) == {
        "view": view,
        "stream": "dashboard_updates",
        "sse_endpoint": "/dashboard/stream",
        "cable_endpoint": "/cable",
        "health_endpoint": "/health",
        "time_endpoint": "/dashboard/time",
        "sse_auto_refresh": True,
        "sse_connection_timeout": 30.0,
        "sse_heartbeat": 15.0,
        "cable_ping": 3.0,
        "sse_retry_interval": 1000,
        "demo": True,
        "tickets": None,
        "snapshot": {"a": 1},
    }


def test_an_update_cannot_end_its_script_element(web: Path) -> None:
    html = client(web, FakeHub(NASTY)).get("/").text
    assert html.count("<script") == 1 and html.count("</script>") == 1
    assert page_settings(html)["snapshot"] == orjson.loads(NASTY)


PREFIXED = (
    '<link href="/static/page.css"><script src="/static/app.js"></script><a href="/dashboard">'
    '<button data-trigger="/dashboard/trigger-burst"></button><p title="/x">/x</p>' + TEMPLATE
)


def prefixed(web: Path, prefix: str, **environ: str) -> str:
    """The page as an app shows it that a prefix stands in front of."""
    (web / "index.html").write_text(PREFIXED)
    inner = client(web, None, **environ).app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, PREFIX: prefix}, receive, send)

    return TestClient(app, base_url="http://app.example:3000").get("/dashboard").text


@pytest.mark.parametrize(
    ("prefix", "written"),
    [
        ("/dash", "/dash"),
        ("/a/b", "/a/b"),
        ("//evil.example", "/evil.example"),  # two slashes would name another host
        ('/x"><script>', "/x%22%3E%3Cscript%3E"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("/grün", "/gr%C3%BCn"),
    ],
)
def test_every_address_of_the_page_is_behind_the_prefix(web: Path, prefix: str, written: str) -> None:
    html = prefixed(web, prefix)
    found = re.findall(r'(?:src|href|data-trigger)="([^"]*)"', html)
    assert [address.removeprefix(written) for address in found] == [
        "/static/page.css",
        "/static/app.js",
        "/dashboard",
        "/dashboard/trigger-burst",
    ]
    assert '<p title="/x">/x</p>' in html
    page = page_settings(html)
    assert page["sse_endpoint"] == f"{written}/dashboard/stream"
    assert page["cable_endpoint"] == f"{written}/cable"


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"SSE_ENDPOINT": "/dash/other"}, "/dash/other"),  # written out
        ({"SSE_ENDPOINT": "/dashing"}, "/dash/dashing"),
        ({"SSE_HOST": "sse.example"}, "//sse.example/dashboard/stream"),  # which has a path of its own
    ],
)
def test_an_endpoint_that_is_set_behind_a_prefix(web: Path, environ: dict[str, str], endpoint: str) -> None:
    assert page_settings(prefixed(web, "/dash", **environ))["sse_endpoint"] == endpoint


def test_the_policy_names_the_host_that_a_proxy_was_asked_for(web: Path) -> None:
    inner = client(web).app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, FORWARDED_HOST: "dash.example"}, receive, send)

    policy = TestClient(app).get("/").headers["content-security-policy"]
    assert "connect-src 'self' ws://dash.example wss://dash.example;" in policy


def test_a_placeholder_inside_an_update_is_not_replaced() -> None:
    assert (
        fill_template("{{page_json}} {{position}} {{other}}", '"', "{{position}}")
        == "{{position}} &quot; {{other}}"
    )


def test_before_the_first_update(web: Path) -> None:
    assert page_settings(client(web, FakeHub(None)).get("/").text)["snapshot"] is None


def test_without_the_dashboard_stream(web: Path) -> None:
    html = client(web, FakeHub(None), STREAMS="events:log", JOBS="off").get("/").text
    assert 'content=""' in html and page_settings(html)["snapshot"] is None


@pytest.mark.parametrize(
    ("environ", "endpoint", "connect"),
    [
        ({"SSE_ENDPOINT": "/other"}, "/other", ""),
        (
            {"SSE_HOST": "sse.example"},
            "//sse.example/dashboard/stream",
            "http://sse.example https://sse.example",
        ),
        ({"SSE_PORT": "81"}, "//app.example:81/dashboard/stream", "https://app.example:81"),
        ({"SSE_HOST": "::1", "SSE_PORT": "81"}, "//[::1]:81/dashboard/stream", "https://[::1]:81"),
    ],
)
def test_sse_from_another_origin(web: Path, environ: dict[str, str], endpoint: str, connect: str) -> None:
    answer = client(web, None, **environ).get("/")
    assert page_settings(answer.text)["sse_endpoint"] == endpoint
    assert connect in answer.headers["content-security-policy"]


def test_policy(web: Path) -> None:
    headers = client(web).get("/").headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self' ws://app.example:3000 wss://app.example:3000; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["cache-control"] == "no-cache" and headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["a.example; script-src *", "a b", "x'y", "a.example:port", ""])
def test_a_malformed_host_is_not_put_into_the_policy(web: Path, host: str) -> None:
    policy = client(web).get("/", headers={"host": host}).headers["content-security-policy"]
    assert "connect-src 'self'; base-uri" in policy


def test_an_ipv6_host_is_left_to_self(web: Path) -> None:
    policy = client(web).get("/", headers={"host": "[::1]:3000"}).headers["content-security-policy"]
    assert "connect-src 'self'; base-uri" in policy


def test_pages_are_read_only(web: Path) -> None:
    assert client(web).post("/").status_code == 405
    head = client(web).head("/dashboard")
    assert head.status_code == 200 and "content-security-policy" in head.headers


def test_no_page_installed(tmp_path: Path) -> None:
    answer = client(tmp_path).get("/")
    assert answer.status_code == 404 and "web/" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/static/app.js", "text/javascript; charset=utf-8"),
        ("/static/page.css", "text/css; charset=utf-8"),
        ("/static/vendor/VENDOR", "text/plain; charset=utf-8"),
    ],
)
def test_files(web: Path, path: str, kind: str) -> None:
    answer = client(web).get(path)
    assert answer.status_code == 200 and answer.headers["content-type"] == kind
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client(web).get(path, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304 and not again.content


@pytest.mark.parametrize(
    "path", ["/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/no.js", "/static/"]
)
def test_no_other_files(web: Path, path: str) -> None:
    answer = client(web).get(path)
    assert answer.status_code == 404 and answer.json()["error"] == "not_found"
    assert client(web).post("/static/app.js").status_code == 405


def test_the_folder_of_this_checkout() -> None:
    assert WEB.parts[-1] == "web" and (WEB.parent / "pyproject.toml").exists()
