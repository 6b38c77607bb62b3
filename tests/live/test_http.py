"""The other endpoints (protocol §5) of a running server: triggers, snapshots, pages, figures.

Who may ask and what is refused is held by tests/http.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.live.followers import TRANSPORTS, follow
from tests.live.publishing import BEARER, head
from tests.live.server import Server
from tests.live.wire import until


def test_a_trigger_publishes_to_both_transports(server: Server) -> None:
    for trigger in ("trigger-jobs", "trigger-test-pubsub", "trigger-burst"):
        before = head(server, "dashboard_updates")
        assert server.ask("POST", f"/dashboard/{trigger}", [BEARER]).status in (200, 201, 202)
        until(lambda before=before: head(server, "dashboard_updates") > before, "the dashboard was published")  # type: ignore[misc]
        with follow("sse", server.address, "dashboard_updates") as sse:
            update = sse.next()
        with follow("cable-v1", server.address, "dashboard_updates") as cable:
            assert cable.next() == update
        check_dashboard(update)
    stored = server.ask("GET", "/dashboard/metrics?limit=1").json()
    assert len(rows(stored)) == 1, "trigger-jobs stored what it measured"


def check_dashboard(update: dict[str, Any]) -> None:
    """Check the shape of a dashboard update (protocol §4)."""
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


def rows(answer: Any) -> list[Any]:
    """The list in a document of rows, under whatever key it is."""
    found = answer if isinstance(answer, list) else next(v for v in answer.values() if isinstance(v, list))
    assert isinstance(found, list)
    return found


def test_pages_name_the_position_they_were_drawn_at(server: Server) -> None:
    position = server.put("dashboard_updates", {"n": 0})
    for path in ("/", "/dashboard", "/dashboard/sse-test", "/dashboard/websocket-test"):
        response = server.ask("GET", path)
        assert response.status == 200
        assert (response.head.get("content-type") or "").startswith("text/html")
        policy = response.head.get("content-security-policy") or ""
        assert "unsafe-inline" not in policy and "default-src" in policy
        found = re.search(r'<meta\s+name="stream-position"\s+content="([^"]*)"', response.body.decode())
        assert found and found[1] == position
        assert server.ask("HEAD", path).status == 200


def test_every_file_that_a_page_loads_is_served(server: Server) -> None:
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
    for transport in TRANSPORTS:
        with follow(transport, server.address, "dashboard_updates", position) as client:
            assert (client.verdict, str(client.cursor)) == ("recovered", position)
            position = server.publish("dashboard_updates", {"n": 2})
            assert client.numbers(1) == [2]


def test_stats_count_connections_per_transport(server: Server, log: str) -> None:
    until(lambda: server.connections("sse") + server.connections("cable") == 0, "all others have left")
    with (
        follow("sse", server.address, log),
        follow("sse", server.address, log),
        follow("cable-v1", server.address, log),
    ):
        until(lambda: (server.connections("sse"), server.connections("cable")) == (2, 1), "all are counted")
        stats = server.ask("GET", "/dashboard/stats").json()
        assert connections_in(stats) == {"sse": 2, "cable": 1}


def connections_in(stats: Any) -> dict[str, int]:
    """The number of connections per transport, at whatever depth the document has it."""
    found: dict[str, int] = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(value, (*path, key))
        elif isinstance(node, int) and "connections" in path:
            found.update({name: node for name in ("sse", "cable") if name in path})

    walk(stats, ())
    return found


def test_deliveries_are_counted_per_transport(server: Server, log: str) -> None:
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
