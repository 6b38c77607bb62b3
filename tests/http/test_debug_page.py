"""debug_page: who is shown it, what it says, and that nothing in it is markup but its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dashboard_rt.app import create_app
from dashboard_rt.http.debug_page import debug_page, prefers_html
from dashboard_rt.settings import Settings

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
BROWSER = {"accept": CHROMIUM}
WEB = Path(__file__).parents[2] / "web"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (CHROMIUM, True),
        ("text/html", True),
        ("TEXT/HTML;level=1; Q=0.9, application/json;q=0.5", True),
        ("text/*, */*;q=0.1", True),
        (
            "application/json;q=0.1, */*;q=0.5",
            True,
        ),  # the most specific range decides, not the largest weight
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html, application/json", False),
        ("text/html;q=0.8, application/json;q=0.9", False),
        ("text/html;q=0, */*;q=0.5", False),
        ("text/html;q=nan", False),
        ("text/html;q=", False),
        ("text/html;q=1e9", False),
        (";;,q=1,text", False),
    ],
)
def test_a_page_is_for_who_prefers_one(accept: str | None, html: bool) -> None:
    assert prefers_html(accept) is html


class Text(HTMLParser):
    """The text of each section by its heading, the names of all elements, and the addresses that they name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self._open = ""
        self._in_heading = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]
        self._in_heading = tag == "h2"

    def handle_data(self, data: str) -> None:
        if self._in_heading:
            self._open, self._in_heading = data, False
        elif self._open:
            self.sections[self._open] = f"{self.sections.get(self._open, '')} {data}"


def report(**changed: Any) -> dict[str, Any]:
    stats = {
        "process": {"pid": 4711, "processes": 1, "uptime_seconds": 93784.0, "rss_bytes": 71_303_168},
        "verdicts": {"sse": {"fresh": 3, "gap": 1}},
        "transports": {"sse": {"connections": 12, "bytes_sent": 1536}},
        "streams": {"events": {"position": "k3f9-7", "tail": {"entries": 5}}},
        "lag_ms": 0.39721,
        **changed.pop("stats", {}),
    }
    whole = {
        "version": "0.1.0",
        "settings": {"PORT": 3000, "PUBLISH_TOKEN": "***", "STREAMS": {"events": "log"}, "REDIS_URL": None},
        "log": {"epoch": "k3f9", "streams": {"events": {"kind": "log", "oldest_id": 1, "last_id": 7}}},
        "broker": {"url": "memory://", "connected": True},
        "degraded": [],
    }
    return {**whole, "stats": stats, **changed}


def shown(prefix: str = "", **changed: Any) -> Text:
    return Text(bytes(debug_page(report(**changed), prefix).body).decode())


def test_the_sections_begin_with_what_is_degraded() -> None:
    sections = shown(degraded=["The broker is away."]).sections
    assert list(sections) == ["What is degraded", "Log", "Broker", "Connections", "Figures", "Settings"]
    assert sections["What is degraded"].split() == ["The", "broker", "is", "away."]
    assert "k3f9-7" in sections["Log"] and "tail entries" in sections["Log"]
    assert "memory:// connected yes" in re.sub(r"\s+", " ", sections["Broker"])
    assert (
        "1.5 KiB" in sections["Connections"].replace("\xa0", " ") and "verdict gap" in sections["Connections"]
    )
    figures = sections["Figures"].replace("\xa0", " ")
    assert "1 d 2 h" in figures and "68.0 MiB" in figures and "0.4 ms" in figures
    assert "Where to listen" in sections["Settings"] and "events: log" in sections["Settings"]


def test_nothing_is_degraded_in_words() -> None:
    assert "Nothing" in shown().sections["What is degraded"]


def test_a_log_that_cannot_be_read_comes_first() -> None:
    sections = shown(log={"error": "The disk is full."}, degraded=["Jobs are late."]).sections
    assert sections["What is degraded"].split() == ["The", "disk", "is", "full.", "Jobs", "are", "late."]
    assert "k3f9-7" in sections["Log"]  # what this process knows by itself is still there


def test_it_says_which_process_answered() -> None:
    page = bytes(debug_page(report(), "").body).decode()
    assert "Process 4711 answered. All figures are its own." in page
    several = bytes(debug_page(report(stats={"process": {"pid": 4711, "processes": 4}}), "").body).decode()
    assert "Process 4711 answered, one of 4 behind this port." in several


def test_markup_in_what_is_shown_stays_text() -> None:
    evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>\'"&'
    page = shown(
        version=evil,
        degraded=[evil],
        broker={evil: evil},
        settings={evil: evil, "LIST": [evil], "MAP": {evil: evil}},
        log={"epoch": evil, "streams": {evil: {evil: evil}}},
        stats={"process": {"pid": evil, evil: evil}, "transports": {evil: {evil: evil}}, evil: {evil: evil}},
    )
    assert not page.tags & {"img", "script", "style"}
    assert not any(name.startswith("on") or name in ("style", "src") for name in page.attributes)
    assert evil in page.sections["What is degraded"]
    assert evil in shown(log={"error": evil}).sections["Log"]


def test_its_addresses_are_behind_the_prefix_and_exist() -> None:
    assert shown("/dash").addresses == ["/dash" + address for address in shown().addresses]
    for address in shown().addresses:
        assert address.startswith("/dashboard") or (WEB / address.removeprefix("/static/")).is_file(), address


# --- in the app


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings.read(
        {
            "DATABASE_URL": f"sqlite:///{tmp_path}/debug.db",
            "JOBS": "off",
            "OPS_TOKEN": "0ps",
            "PUBLISH_TOKEN": "s3cret-token",
            "ROOT_PATH": "/dash",
        }
    )
    with TestClient(create_app(settings), base_url="http://127.0.0.1:3000") as client:
        yield client


def test_the_endpoint_answers_each_in_its_form(client: TestClient) -> None:
    operator = {"authorization": "Bearer 0ps"}
    page = client.get("/dash/dashboard/debug", headers={**BROWSER, **operator})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept" and page.headers["cache-control"] == "no-store"
    assert "default-src 'none'; style-src 'self'" in page.headers["content-security-policy"]
    assert 'href="/dash/static/debug.css"' in page.text and "s3cret-token" not in page.text
    assert client.get("/dash/static/debug.css").status_code == 200
    json = client.get("/dash/dashboard/debug", headers=operator)
    assert json.headers["content-type"] == "application/json" and json.headers["vary"] == "Accept"
    sections = Text(page.text).sections
    for name in json.json()["settings"]:
        assert re.search(rf"\b{name}\b", sections["Settings"]), name
    assert client.head("/dash/dashboard/debug", headers={**BROWSER, **operator}).headers["vary"] == "Accept"


def test_a_browser_needs_the_token_as_well(client: TestClient) -> None:
    assert client.get("/dash/dashboard/debug", headers=BROWSER).status_code == 401
