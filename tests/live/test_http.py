"""Protocol §5 but publishing: the triggers, snapshots, pages, health and figures; a GET changes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.live.conftest import Servers
from tests.live.followers import follow
from tests.live.publishing import BEARER, head, refused
from tests.live.server import TOKEN, Server
from tests.live.wire import until

# --- triggers

TRIGGERS = ["/dashboard/trigger-jobs", "/dashboard/trigger-test-pubsub", "/dashboard/trigger-burst"]


@pytest.mark.parametrize("path", TRIGGERS)
def test_a_trigger_publishes_to_both_transports(servers: Servers, handover: str, path: str) -> None:
    server = servers.get(HANDOVER=handover)
    before = head(server, "dashboard_updates")
    assert server.ask("POST", path, [BEARER]).status in (200, 201, 202)
    until(lambda: head(server, "dashboard_updates") > before, "the dashboard was published")
    with follow("sse", server.address, "dashboard_updates") as sse:
        update = sse.next()
    with follow("cable-v1", server.address, "dashboard_updates") as cable:
        assert cable.next() == update
    check_dashboard(update)


def check_dashboard(update: dict[str, Any]) -> None:
    """The shape of protocol §4."""
    assert {"system_status", "metrics", "activities", "timestamp", "published_at_ms"} <= update.keys()
    assert update["system_status"]["status"] in ("online", "warning", "offline")
    assert {"uptime", "last_check", "message"} <= update["system_status"].keys()
    assert update["metrics"].keys() == {"cpu", "memory", "disk", "network", "response_time"}
    for name in ("cpu", "memory", "disk"):
        assert 0 <= update["metrics"][name] <= 100
    for activity in update["activities"]:
        assert activity.keys() == {"time", "message", "level", "css_class"}
        assert activity["level"] in ("info", "warning", "error")
    assert isinstance(update["published_at_ms"], float | int)


@pytest.mark.parametrize("path", TRIGGERS)
def test_a_get_changes_nothing(server: Server, path: str) -> None:
    before = head(server, "dashboard_updates")
    response = server.ask("GET", path, [BEARER])
    assert refused(response, 405)
    assert response.head.get("allow") == "POST"
    assert head(server, "dashboard_updates") == before


@pytest.mark.parametrize("path", TRIGGERS)
def test_the_demo_is_for_pages_of_this_host(servers: Servers, path: str) -> None:
    server = servers.get()
    own = ("origin", server.address.origin)
    for origin in ("https://evil.example", "null", server.address.origin + ".evil.example"):
        assert refused(server.ask("POST", path, [("origin", origin)]), 403)
    assert server.ask("POST", path, [own]).status in (200, 201, 202)


def test_the_demo_is_limited_in_rate(servers: Servers) -> None:
    server = servers.get(RETRY_MIN="999")
    own = [("origin", server.address.origin)]
    seen = {server.ask("POST", "/dashboard/trigger-test-pubsub", own).status for _ in range(60)}
    assert seen & {200, 201, 202} and 429 in seen
    assert server.ask("POST", "/dashboard/trigger-test-pubsub", [BEARER]).status < 300, (
        "the token is not limited"
    )


@pytest.mark.parametrize("path", TRIGGERS)
def test_without_the_demo_a_token_is_needed(servers: Servers, path: str) -> None:
    server = servers.get(DEMO="off")
    assert refused(server.ask("POST", path, [("origin", server.address.origin)]), 401)
    assert server.ask("POST", path, [BEARER]).status < 300


# --- snapshots and pages


@pytest.mark.parametrize("path", ["/", "/dashboard", "/dashboard/sse-test", "/dashboard/websocket-test"])
def test_a_page(server: Server, path: str) -> None:
    position = server.put("dashboard_updates", {"n": 0})
    response = server.ask("GET", path)
    text = response.body.decode()
    assert response.status == 200
    assert (response.head.get("content-type") or "").startswith("text/html")
    policy = response.head.get("content-security-policy") or ""
    assert "unsafe-inline" not in policy and "default-src" in policy
    assert meta_position(text) == position
    for script in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in script or "application/json" in script, "no inline script"
    assert server.ask("HEAD", path).status == 200


def meta_position(text: str) -> str:
    found = re.search(r'<meta\s+name="stream-position"\s+content="([^"]*)"', text)
    assert found, "the page says where it was drawn"
    return found[1]


def test_what_a_page_loads_is_there(server: Server) -> None:
    text = server.ask("GET", "/dashboard").body.decode()
    links = re.findall(r'<script\b[^>]*\bsrc="([^"]+)"', text) + re.findall(
        r'<link\b[^>]*\bhref="([^"]+)"', text
    )
    local = [link for link in links if link.startswith("/")]
    assert local
    for link in local:
        assert server.ask("GET", link).status == 200, link


def test_refresh_is_the_newest_with_its_position(server: Server) -> None:
    """A client that starts at the snapshot's position misses nothing and sees nothing twice."""
    position = server.put("dashboard_updates", {"n": 1})
    response = server.ask("GET", "/dashboard/refresh")
    assert (response.json(), response.head.get("x-stream-position")) == ({"n": 1}, position)
    for transport in ("sse", "cable-v1", "cable-ext"):
        with follow(transport, server.address, "dashboard_updates", position) as client:
            assert (client.verdict, str(client.cursor)) == ("recovered", position)
            position = server.publish("dashboard_updates", {"n": 2})
            assert client.numbers(1) == [2]


def test_stored_metrics(servers: Servers) -> None:
    server = servers.get(DEMO="off")
    for _ in range(3):
        assert server.ask("POST", "/dashboard/trigger-jobs", [BEARER]).status < 300
    response = server.ask("GET", "/dashboard/metrics?limit=2")
    assert len(rows(response.json())) == 2
    for limit in ("0", "-1", "x", "1e3", "9" * 30):
        assert server.ask("GET", f"/dashboard/metrics?limit={limit}").status < 500


def rows(answer: Any) -> list[Any]:
    found = (
        answer
        if isinstance(answer, list)
        else next(value for value in answer.values() if isinstance(value, list))
    )
    assert isinstance(found, list)
    return found


def test_stats_tell_the_truth(server: Server, log: str) -> None:
    """Connections per transport, as many as there are."""
    until(lambda: server.connections("sse") + server.connections("cable") == 0, "nobody is left")
    with (
        follow("sse", server.address, log),
        follow("sse", server.address, log),
        follow("cable-v1", server.address, log),
    ):
        until(lambda: (server.connections("sse"), server.connections("cable")) == (2, 1), "all are in")
        stats = server.ask("GET", "/dashboard/stats").json()
        assert connections_in(stats) == {"sse": 2, "cable": 1}


def connections_in(stats: Any) -> dict[str, int]:
    """The number of connections per transport, wherever the document keeps it."""
    found: dict[str, int] = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(value, (*path, key))
        elif isinstance(node, int) and "connections" in path:
            found.update({name: node for name in ("sse", "cable") if name in path})

    walk(stats, ())
    return found


def test_debug_masks_secrets(servers: Servers) -> None:
    server = servers.get(OPS_TOKEN="", STREAM_AUTH_SECRET="")
    text = server.ask("GET", "/dashboard/debug").body.decode()
    assert TOKEN not in text
    assert "PUBLISH_TOKEN" in text or "publish_token" in text


@pytest.mark.parametrize(
    "path", ["/up", "/health", "/ready", "/metrics", "/dashboard/stats", "/dashboard/debug"]
)
def test_health_and_figures_answer(server: Server, path: str) -> None:
    assert server.ask("GET", path).status == 200
    assert server.ask("HEAD", path).status == 200
    response = server.ask("POST", path)
    assert refused(response, 405)
    assert {word.strip() for word in (response.head.get("allow") or "").split(",")} == {"GET", "HEAD"}


def test_metrics_are_prometheus_text(server: Server) -> None:
    response = server.ask("GET", "/metrics")
    assert (response.head.get("content-type") or "").startswith("text/plain")
    for name in ("connections", "deliveries_total", "published_updates_total"):
        assert server.samples(name), name


def test_deliveries_are_counted(server: Server, log: str) -> None:
    before = {name: server.metric("deliveries_total", transport=name) for name in ("sse", "cable")}
    address = server.address
    with (
        follow("sse", address, log) as one,
        follow("sse", address, log) as two,
        follow("cable-ext", address, log) as three,
    ):
        server.count(log, 0, 10)
        assert one.numbers(10) == two.numbers(10) == three.numbers(10)
    assert server.metric("deliveries_total", transport="sse") == before["sse"] + 20
    assert server.metric("deliveries_total", transport="cable") == before["cable"] + 10
