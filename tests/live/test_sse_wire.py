"""Every line of protocol §1 on the wire: heads, framing, blocks, methods, parameters, origins."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from datetime import datetime
from urllib.parse import quote

import pytest

from tests.live.conftest import Servers
from tests.live.followers import Position, follow
from tests.live.server import Server
from tests.live.sse import Ended, SseClient
from tests.live.wire import Wire, read_body, read_head, request_bytes, until

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-store, no-transform",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
    "connection": "close",
}
FRIEND = "https://dashboard.example"


def target(stream: str, position: object = None) -> str:
    asked = "" if position is None else f"&last_event_id={quote(str(position))}"
    return f"/dashboard/stream?stream={stream}{asked}"


# --- the head and the first bytes


def test_the_head(server: Server, log: str) -> None:
    with SseClient(server.address, target(log)) as client:
        assert (client.head.version, client.head.status) == ("1.1", 200)
        assert {name: client.head.get(name) for name in HEADERS} == HEADERS
        assert client.head.get("transfer-encoding") == "chunked"
        assert client.head.get("content-length") is None
        assert client.head.get("access-control-allow-origin") is None


def test_the_first_bytes_are_retry_then_the_verdict(server: Server, log: str) -> None:
    with SseClient(server.address, target(log)) as client:
        first = b""
        while b"\n\n" not in first or b"verdict" not in first:
            first += client.piece()
        assert re.match(rb"retry: \d+\n\n?(event: verdict\nid|id): \S+\n", first), first


def test_the_verdict_has_four_keys_and_an_id(server: Server, log: str) -> None:
    head = server.put(log, {"n": 0})
    with SseClient(server.address, target(log)) as client:
        event = client.event()
        assert (event.name, event.id) == ("verdict", head)
        assert event.json() == {"verdict": "fresh", "position": head, "replaying": 0, "missed": None}


def test_everything_is_there_before_anything_is_published(server: Server, state: str) -> None:
    """As `curl -N` shows it: no update, no heartbeat, no time passes before the first event."""
    with SseClient(server.address, target(state)) as client:
        assert client.event().name == "verdict"


def test_retry_is_jittered_within_its_bounds(servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover, MAX_CLIENTS="2", RETRY_MIN="700", RETRY_MAX="1400")
    stream = servers.stream(server, "log")
    seen = set()
    for _ in range(12):
        with SseClient(server.address, target(stream)) as client:
            assert client.event().name == "verdict"
            seen.add(client.retries[0])
        until(lambda: server.connections("sse") == 0, "it left")
    assert len(seen) > 1
    assert all(700 <= retry <= 1400 for retry in seen)


def test_the_default_stream_is_the_dashboard(servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover)
    position = server.put("dashboard_updates", {"n": 1})
    with SseClient(server.address, "/dashboard/stream") as client:
        assert client.event().name == "verdict"
        event = client.event()
        assert (event.name, event.id, event.json()) == ("message", position, {"n": 1})


def test_a_request_in_single_bytes(server: Server, log: str) -> None:
    wire = Wire(server.address.connect())
    for byte in request_bytes("GET", target(log), [("host", "localhost")]):
        wire.send(bytes([byte]))
    assert read_head(wire).status == 200
    assert b"retry:" in wire.until(b"verdict")
    wire.close()


def test_http_1_0_gets_an_identity_body(server: Server, log: str) -> None:
    """nginx talks HTTP/1.0 to its upstreams by default: no chunks there, the end is the close."""
    with SseClient(server.address, target(log), version="1.0") as client:
        assert client.head.get("transfer-encoding") is None
        assert {name: client.head.get(name) for name in HEADERS} == HEADERS
        assert client.event().name == "verdict"
        positions = [server.publish(log, {"n": n}) for n in range(20)]
        assert [client.until("message").id for _ in positions] == positions
        assert client.until("heartbeat").id == positions[-1]


def test_http_1_0_goodbye_is_the_close(servers: Servers, handover: str) -> None:
    with servers.new(HANDOVER=handover) as server:
        with SseClient(server.address, target("log0"), version="1.0") as client:
            client.event()
            server.end()
            assert client.until("goodbye").json()["reason"] == "server_restart"
            with pytest.raises(Ended) as end:
                client.event()
            assert end.value.clean and not end.value.rest
        assert server.wait() == 0


# --- events


def test_an_update_is_one_id_and_one_data_line(server: Server, log: str) -> None:
    with SseClient(server.address, target(log)) as client:
        client.event()
        position = server.publish(log, {"n": 0})
        event = client.until("message")
        assert sorted(event.block.split("\n")) == ['data: {"n": 0}', f"id: {position}"]


def test_the_text_of_an_update_is_untouched(server: Server, log: str) -> None:
    text = '{ "b":1.50,\t"a" : [ 1E2 ,"\\u00e9\\n\\/é€😀\u2028" ],"a":0 }'
    with SseClient(server.address, target(log)) as client:
        client.event()
        assert server.api().post(log, text.encode(), {})[0] == 201
        assert client.until("message").data == text


def test_line_ends_between_tokens_become_spaces(server: Server, log: str) -> None:
    with SseClient(server.address, target(log)) as client:
        client.event()
        assert server.api().post(log, b'{\r\n"n":\n1,\r"m":2}\n', {})[0] == 201
        assert client.until("message").data.rstrip(" ") == '{  "n": 1, "m":2}'


def test_heartbeats_name_time_and_position(server: Server, log: str) -> None:
    head = server.put(log, {"n": 0})
    with SseClient(server.address, target(log)) as client:
        beats = [client.until("heartbeat") for _ in range(2)]
        times = [datetime.fromisoformat(beat.json()["time"]) for beat in beats]
        assert all(beat.json().keys() == {"time", "position"} for beat in beats)
        assert [beat.id for beat in beats] == [beat.json()["position"] for beat in beats] == [head, head]
        assert all(time.tzinfo is not None for time in times), "RFC 3339 names its offset"
        assert times[0] < times[1]


def test_the_goodbye_block(servers: Servers, handover: str) -> None:
    with servers.new(HANDOVER=handover) as server:
        with SseClient(server.address, target("log0")) as client:
            client.event()
            server.end()
            goodbye = client.until("goodbye")
            assert goodbye.json().keys() == {"reason", "retry_ms"}
            assert client.retries[-1] == goodbye.json()["retry_ms"]
        assert server.wait() == 0


def test_full_is_a_whole_response(servers: Servers, handover: str) -> None:
    """Any status but 200 ends an EventSource for good, so: 200, retry, goodbye, end."""
    server = servers.get(HANDOVER=handover, MAX_CLIENTS="2", RETRY_MIN="700", RETRY_MAX="1400")
    stream = servers.stream(server, "log")
    with SseClient(server.address, target(stream)), SseClient(server.address, target(stream)):
        until(lambda: server.connections("sse") == 2, "both are in")
        with SseClient(server.address, target(stream)) as third:
            assert third.head.status == 200
            assert third.head.get("content-type") == HEADERS["content-type"]
            event = third.event()
            assert (event.name, event.json()["reason"]) == ("goodbye", "full")
            assert third.retries[-1] == event.json()["retry_ms"]
            with pytest.raises(Ended) as end:
                third.event()
            assert end.value.clean
    until(lambda: server.connections("sse") == 0, "they left")


# --- where to start


def test_the_header_wins_over_the_query(server: Server, log: str) -> None:
    known = Position.of(server.count(log, 0, 1))
    server.count(log, 1, 4)
    with SseClient(server.address, target(log, known), [("Last-Event-ID", str(known.plus(2)))]) as client:
        verdict = client.event().json()
        assert (verdict["verdict"], verdict["position"]) == ("recovered", str(known.plus(2)))
        assert [client.until("message").json()["n"] for _ in range(2)] == [3, 4]
    with SseClient(server.address, target(log, known), [("Last-Event-ID", "nonsense")]) as client:
        assert client.event().json()["verdict"] == "gap"


def test_the_header_alone_resumes(server: Server, log: str) -> None:
    known = server.count(log, 0, 2)
    server.count(log, 2, 1)
    with SseClient(server.address, target(log), [("last-event-id", known)]) as client:
        assert client.event().json()["verdict"] == "recovered"
        assert client.until("message").json() == {"n": 2}


@pytest.mark.parametrize("header", ["\u00ff\u00fe", "1" * 5000, "a-1,b-2", "k3f9-1 ", "%00"])
def test_an_odd_header_is_a_gap(server: Server, log: str, header: str) -> None:
    with SseClient(server.address, target(log), [("Last-Event-ID", header)]) as client:
        assert client.head.status == 200
        assert client.event().json()["verdict"] == "gap"


# --- methods, parameters, errors


def test_head_is_the_same_head_without_a_stream(server: Server, log: str) -> None:
    with SseClient(server.address, target(log)) as client:
        streamed = client.head.headers
    wire = Wire(server.address.connect())
    wire.send(request_bytes("HEAD", target(log), [("host", "localhost")]))
    head = read_head(wire)
    assert head.status == 200
    assert wire.rest() == b"", "a HEAD has no body, and `connection: close` means it"
    framing = {"transfer-encoding", "date"}
    assert [pair for pair in head.headers if pair[0] not in framing] == [
        pair for pair in streamed if pair[0] not in framing
    ]
    wire.close()


def test_head_takes_no_place(server: Server, log: str) -> None:
    before = server.connections("sse")
    for _ in range(5):
        assert server.ask("HEAD", target(log)).status == 200
    assert server.connections("sse") == before


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_405(server: Server, log: str, method: str) -> None:
    response = server.ask(method, target(log))
    assert response.status == 405
    allowed = {word.strip() for word in (response.head.get("allow") or "").split(",")}
    assert allowed == {"GET", "HEAD"}
    assert response.json().keys() == {"error", "detail"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_unknown_stream_is_404(server: Server, method: str) -> None:
    response = server.ask(method, target("no_such_stream"))
    assert response.status == 404
    if method == "GET":
        assert response.json().keys() == {"error", "detail"}


def test_a_second_stream_is_400(server: Server, log: str) -> None:
    for second in (log, "dashboard_updates", "no_such_stream"):
        response = server.ask("GET", f"/dashboard/stream?stream={log}&stream={second}")
        assert response.status == 400
        assert response.json().keys() == {"error", "detail"}


@pytest.mark.parametrize(
    "query", ["stream=", "stream=%00", "stream=%FF%FE", "stream=" + "x" * 4000, "stream=log0%20"]
)
def test_odd_stream_names_are_404(server: Server, query: str) -> None:
    assert server.ask("GET", f"/dashboard/stream?{query}").status == 404


def test_other_parameters_do_not_matter(server: Server, log: str) -> None:
    with SseClient(server.address, target(log) + "&nocache=1&x=%ZZ") as client:
        assert client.event().name == "verdict"


# --- origins


@pytest.mark.parametrize("origin", [FRIEND, "https://evil.example", "null", None])
def test_cors_for_allowed_origins_only(servers: Servers, handover: str, origin: str | None) -> None:
    server = servers.get(HANDOVER=handover, ALLOWED_ORIGINS=f"{FRIEND},https://other.example")
    headers = [] if origin is None else [("origin", origin)]
    with SseClient(server.address, target("log0"), headers) as client:
        assert client.head.status == 200
        allowed = client.head.get("access-control-allow-origin")
        assert allowed == (FRIEND if origin == FRIEND else None)
        if origin == FRIEND:
            assert "origin" in (client.head.get("vary") or "").lower()
        assert client.event().name == "verdict"


def test_no_origin_is_allowed_by_default(server: Server, log: str) -> None:
    with SseClient(server.address, target(log), [("origin", "https://evil.example")]) as client:
        assert client.head.get("access-control-allow-origin") is None


# --- one connection, one stream


def test_a_pipelined_request_is_never_answered_inside_the_stream(server: Server, log: str) -> None:
    second = request_bytes("GET", "/up", [("host", "localhost")])
    wire = Wire(server.address.connect())
    wire.send(request_bytes("GET", target(log), [("host", "localhost")]) + second)
    head = read_head(wire)
    assert (head.status, head.get("connection")) == (200, "close")
    for n in range(3):
        server.publish(log, {"n": n})
    stream = wire.until(b'{"n": 2}')
    assert b"HTTP/1.1" not in stream
    assert stream.count(b'{"n":') == 3
    wire.send(second)
    server.publish(log, {"n": 3})
    assert b"HTTP/1.1" not in wire.until(b'{"n": 3}')
    wire.close()


def test_bytes_behind_the_request_do_no_harm(server: Server, log: str) -> None:
    with follow("sse", server.address, log) as other:
        for junk in (b"\x00\xff" * 4000, b"GET / HTTP/1.1\r\n" * 2000, b"x"):
            with SseClient(server.address, target(log)) as client, contextlib.suppress(ConnectionError):
                client.wire.send(junk)  # its own stream may well end over it
        server.publish(log, {"n": 0})
        assert other.numbers(1) == [0]


def test_a_stream_on_a_kept_connection(server: Server, log: str) -> None:
    """An ordinary request first, the stream as the second on the same connection."""
    wire = Wire(server.address.connect())
    wire.send(request_bytes("GET", "/up", [("host", "localhost")]))
    assert read_body(wire, head := read_head(wire)) is not None and head.status == 200
    wire.send(request_bytes("GET", target(log), [("host", "localhost")]))
    assert read_head(wire).status == 200
    wire.until(b"verdict")
    server.publish(log, {"n": 0})
    wire.until(b'{"n": 0}')
    wire.close()


def test_a_client_that_left_is_forgotten(server: Server, log: str) -> None:
    for end in ("close", "reset"):
        with SseClient(server.address, target(log)) as client:
            client.event()
            until(lambda: server.connections("sse") == 1, "it is counted")
            getattr(client.wire, end)()
        until(lambda: server.connections("sse") == 0, f"{end} is noticed")


# --- a database that stalls


def test_a_stalled_database_delays_no_stream(servers: Servers, handover: str) -> None:
    """Another process holds the write lock: streams open at once, publishing says 503, nobody is cut off."""
    with servers.new(HANDOVER=handover) as server:
        known = server.count("log0", 0, 3)
        with follow("sse", server.address, "log0") as client:
            rival = sqlite3.connect(server.directory / "live.db", isolation_level=None)
            rival.execute("BEGIN IMMEDIATE")
            for position in (None, known):
                with SseClient(server.address, target("log0", position)) as opened:
                    assert opened.event().name == "verdict"
            status, answer = server.api().post(
                "log0", json.dumps({"n": 3}).encode(), {"idempotency-key": "k"}
            )
            assert (status, answer["error"]) == (503, "log_unavailable")
            rival.execute("ROLLBACK")
            rival.close()
            server.publish("log0", {"n": 3}, key="k")
            assert client.numbers(1) == [3], "still connected, and the retry made one update"
