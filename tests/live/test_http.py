"""Protocol §5: publishing over HTTP, the triggers, snapshots, health; every error as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import Servers
from tests.live.followers import Position, follow
from tests.live.server import TOKEN, Server
from tests.live.wire import Response, Wire, read_body, read_head, request_bytes, until

JSON = [("content-type", "application/json")]
NDJSON = ("content-type", "application/x-ndjson")
BEARER = ("authorization", f"Bearer {TOKEN}")
KIB = 1024


def publish(server: Server, stream: str, body: bytes | str, **headers: str) -> Response:
    """POST a body as it is, with the token; header names with `_` for `-`."""
    lines = [BEARER, *((name.replace("_", "-"), value) for name, value in headers.items())]
    return server.ask("POST", f"/streams/{stream}", lines, body.encode() if isinstance(body, str) else body)


def ndjson(server: Server, stream: str, body: bytes | str, **headers: str) -> Response:
    return publish(server, stream, body, content_type="application/x-ndjson", **headers)


def refused(response: Response, status: int) -> str:
    """Assert a refusal of that status in the house's form; its code."""
    assert response.status == status, (response.status, response.body)
    answer = response.json()
    assert answer.keys() == {"error", "detail"}
    assert answer["error"] and answer["detail"]
    code: str = answer["error"]
    return code


def head(server: Server, stream: str) -> int:
    """How many updates a stream has."""
    with follow("sse", server.address, stream) as client:
        return client.cursor.id


# --- publish


def test_201_names_the_position(server: Server, log: str) -> None:
    first = publish(server, log, '{"n":0}')
    second = publish(server, log, '{"n":1}')
    assert (first.status, second.status) == (201, 201)
    assert first.json().keys() == {"position"}
    assert Position.of(second.json()["position"]) == Position.of(first.json()["position"]).plus(1)


@pytest.mark.parametrize(
    "body", ["{}", "[]", '"text"', "0", "null", " true ", '{"a":{"b":[1,2.5e3]}}', "1e400"]
)
def test_any_json_may_be_published(server: Server, log: str, body: str) -> None:
    assert publish(server, log, body).status in ((201,) if body != "1e400" else (201, 422))


BAD = [
    b"", b" ", b"{", b"{]", b"NaN", b'{"a":NaN}', b"Infinity", b"'a'", b'{"a":1,}', b"{} {}", b'"\\ud800"', b'"\xff"',
    b"\xef\xbb\xbf{}", b'"a\nb"', b"nul", b"\x00", b"[" * 3000, b"[" * 3000 + b"]" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("body", BAD)
def test_what_is_not_json_is_422(server: Server, log: str, body: bytes) -> None:
    assert refused(publish(server, log, body), 422) == "invalid_json"
    assert head(server, log) == 0, "nothing of it was published"


def test_a_body_of_64_kib_and_one_more(server: Server, log: str) -> None:
    fits = '"' + "x" * (64 * KIB - 2) + '"'
    assert publish(server, log, fits).status == 201
    assert refused(publish(server, log, fits[:-1] + 'x"'), 413) == "too_large"
    assert head(server, log) == 1


def test_64_kib_arrive_on_both_transports(server: Server, log: str) -> None:
    text = "é" * (32 * KIB - 1)
    with follow("sse", server.address, log) as sse, follow("cable-ext", server.address, log) as cable:
        assert publish(server, log, json.dumps(text, ensure_ascii=False)).status == 201
        assert sse.next() == cable.next() == text


def test_a_chunked_body(server: Server, log: str) -> None:
    def chunked(*pieces: bytes) -> Response:
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        lines = [BEARER, ("transfer-encoding", "chunked")]
        return server.ask("POST", f"/streams/{log}", lines, body)

    assert chunked(b'{"n"', b":0}").status == 201
    assert refused(chunked(*[b" " * KIB] * 65), 413) == "too_large"
    assert refused(chunked(), 422) == "invalid_json"


def test_a_body_too_large_is_refused_before_it_comes(server: Server, log: str) -> None:
    wire = Wire(server.address.connect())
    lines = [("host", "localhost"), BEARER, ("content-length", str(10**12))]
    wire.send(request_bytes("POST", f"/streams/{log}", lines))
    response = read_head(wire)
    assert response.status == 413
    wire.close()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer wrong")],
        [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", TOKEN)],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer \u00e9\u00ff")],
    ],
)
def test_without_the_token_401(server: Server, log: str, headers: list[tuple[str, str]]) -> None:
    assert refused(server.ask("POST", f"/streams/{log}", headers, b"{}"), 401) == "unauthorized"
    assert head(server, log) == 0


def test_publishing_is_off_without_a_configured_token(servers: Servers) -> None:
    server = servers.get(PUBLISH_TOKEN="")
    for headers in ([], [BEARER], [("authorization", "Bearer ")]):
        assert refused(server.ask("POST", "/streams/log0", headers, b"{}"), 404)


@pytest.mark.parametrize("stream", ["no_such_stream", "LOG0", "log0%20", "%00", "x" * 3000])
def test_an_unknown_stream_is_404(server: Server, stream: str) -> None:
    assert refused(publish(server, stream, "{}"), 404)


def test_where_there_is_nothing_404(server: Server) -> None:
    for path in ("/streams", "/streams/", "/nothing", "/streams/log0/more", "/dashboard/../../etc/passwd"):
        refused(server.ask("GET", path), 404)


# --- NDJSON


def test_ndjson_is_one_update_per_line(server: Server, log: str) -> None:
    with follow("sse", server.address, log) as sse, follow("cable-v1", server.address, log) as cable:
        response = ndjson(server, log, '{"n":0}\n{"n":1}\r\n{"n":2}\n')
        assert response.status == 201
        assert response.json()["count"] == 3
        assert sse.numbers(3) == cable.numbers(3) == [0, 1, 2]
        assert response.json()["position"] == str(sse.cursor), "the position of the last"


def test_ndjson_with_parameters_in_its_type(server: Server, log: str) -> None:
    response = publish(server, log, "1\n2", content_type="Application/X-NDJSON; charset=utf-8")
    assert (response.status, response.json()["count"]) == (201, 2)


@pytest.mark.parametrize(
    "body", ["", "\n\n", '{"n":0}\n{"n":}\n{"n":2}', '{"n":0}\n{"n":1', "1\n2 3\n4", "1\nNaN"]
)
def test_ndjson_is_all_or_none(server: Server, log: str, body: str) -> None:
    refused(ndjson(server, log, body), 422)
    assert head(server, log) == 0


def test_ndjson_up_to_1_mib(server: Server, log: str) -> None:
    line = '"' + "x" * 1021 + '"\n'
    assert ndjson(server, log, line * KIB).json()["count"] == KIB
    assert refused(ndjson(server, log, line * KIB + "1"), 413) == "too_large"
    assert head(server, log) == KIB


# --- idempotency


def test_a_retry_with_the_same_key_answers_the_first_position(server: Server, log: str) -> None:
    first = publish(server, log, '{"n":0}', idempotency_key="k1")
    publish(server, log, '{"n":1}', idempotency_key="k2")
    again = publish(server, log, '{"n":0}', idempotency_key="k1")
    assert (again.status, again.json()["position"]) == (201, first.json()["position"])
    assert head(server, log) == 2


def test_a_key_belongs_to_its_stream(servers: Servers, server: Server) -> None:
    for stream in (servers.stream(server, "log"), servers.stream(server, "log")):
        publish(server, stream, "1", idempotency_key="same")
        assert head(server, stream) == 1


def test_a_batch_may_be_retried_as_well(server: Server, log: str) -> None:
    first = ndjson(server, log, "1\n2\n3", idempotency_key="batch")
    again = ndjson(server, log, "1\n2\n3", idempotency_key="batch")
    assert first.json() == again.json() == {"position": first.json()["position"], "count": 3}
    assert head(server, log) == 3


def test_keys_survive_a_restart(servers: Servers) -> None:
    with servers.new() as server:
        before = server.publish("log0", {"n": 0}, key="k")
        server.kill()
        server.start()
        assert server.publish("log0", {"n": 0}, key="k") == before
        assert head(server, "log0") == 1


def test_a_key_of_64_bytes_and_one_more(server: Server, log: str) -> None:
    assert publish(server, log, "1", idempotency_key="k" * 64).status == 201
    assert 400 <= publish(server, log, "1", idempotency_key="k" * 65).status < 500
    assert head(server, log) == 1


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
    position = server.publish("dashboard_updates", {"n": 0})
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
    position = server.publish("dashboard_updates", {"n": 1})
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


# --- the wire


def test_a_kept_connection_serves_many_requests(server: Server, log: str) -> None:
    wire = Wire(server.address.connect())
    for n in range(50):
        wire.send(request_bytes("POST", f"/streams/{log}", [("host", "x"), BEARER], json.dumps(n).encode()))
        response = read_head(wire)
        assert (response.status, json.loads(read_body(wire, response)).keys()) == (201, {"position"})
    wire.close()


def test_pipelined_publishes_are_answered_in_order(server: Server, log: str) -> None:
    wire = Wire(server.address.connect())
    one = request_bytes("POST", f"/streams/{log}", [("host", "x"), BEARER], b"1")
    wire.send(one * 20)
    ids = []
    for _ in range(20):
        response = read_head(wire)
        ids.append(Position.of(json.loads(read_body(wire, response))["position"]).id)
    assert ids == list(range(1, 21))
    wire.close()


def test_a_client_that_leaves_in_the_middle_publishes_nothing(server: Server, log: str) -> None:
    for _ in range(5):
        wire = Wire(server.address.connect())
        wire.send(
            request_bytes(
                "POST", f"/streams/{log}", [("host", "x"), BEARER, ("content-length", "100")], b"{}"
            )
        )
        wire.reset()
    publish(server, log, "{}")
    assert head(server, log) == 1


def test_publishing_from_the_shell_shows_at_once(servers: Servers, handover: str) -> None:
    """Another process on the same database, with an in-process broker: the log is what is followed."""
    server = servers.get(HANDOVER=handover)
    stream = servers.stream(server, "log")
    with follow("sse", server.address, stream) as sse, follow("cable-v1", server.address, stream) as cable:
        server.run("publish", stream, '{"n":0}')
        server.run("publish", stream, "-", stdin='{"n":1}')
        assert sse.numbers(2) == cable.numbers(2) == [0, 1]
    assert not list(Path(server.directory).glob("*.db-journal"))
