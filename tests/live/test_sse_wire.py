"""SSE on the wire (protocol §1): heads, chunks, blocks, HTTP/1.0, what shares a connection with a stream.

Methods, parameters, refusals and verdicts are held by tests/transports/test_sse.py.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from datetime import datetime
from urllib.parse import quote

import pytest

from tests.live.conftest import Servers
from tests.live.followers import follow
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


def target(stream: str, position: object = None) -> str:
    query = "" if position is None else f"&last_event_id={quote(str(position))}"
    return f"/dashboard/stream?stream={stream}{query}"


# --- the head and the first bytes


def test_the_head(server: Server, log: str) -> None:
    with SseClient(server.address, target(log)) as client:
        assert (client.head.version, client.head.status) == ("1.1", 200)
        assert {name: client.head.get(name) for name in HEADERS} == HEADERS
        assert client.head.get("transfer-encoding") == "chunked"
        assert client.head.get("content-length") is None
        assert client.head.get("access-control-allow-origin") is None


def test_the_first_bytes_are_retry_then_the_verdict(server: Server, log: str) -> None:
    """Before anything is published: an EventSource opens on them."""
    with SseClient(server.address, target(log)) as client:
        first = b""
        while b"\n\n" not in first or b"verdict" not in first:
            first += client.piece()
        told = re.match(rb"retry: (\d+)\n\n?event: verdict\nid: \S+\ndata: (.+)\n\n", first)
        assert told, first
        assert json.loads(told[2])["retry_ms"] == int(told[1]), "a script does not see the line"


def test_head_gets_the_same_head_and_no_stream(server: Server, log: str) -> None:
    with SseClient(server.address, target(log)) as client:
        streamed = client.head.headers
    wire = Wire(server.address.connect())
    wire.send(request_bytes("HEAD", target(log), [("host", "localhost")]))
    head = read_head(wire)
    assert head.status == 200
    assert wire.rest() == b"", "a HEAD has no body, and the server closes the connection as its head says"
    framing = {"transfer-encoding", "date"}
    assert [pair for pair in head.headers if pair[0] not in framing] == [
        pair for pair in streamed if pair[0] not in framing
    ]
    wire.close()


def test_a_request_in_single_bytes(server: Server, log: str) -> None:
    wire = Wire(server.address.connect())
    for byte in request_bytes("GET", target(log), [("host", "localhost")]):
        wire.send(bytes([byte]))
    assert read_head(wire).status == 200
    assert b"retry:" in wire.until(b"verdict")
    wire.close()


def test_http_1_0_gets_an_identity_body(server: Server, log: str) -> None:
    """nginx talks HTTP/1.0 to its upstreams by default: no chunks, the end of the body is the close."""
    with SseClient(server.address, target(log), version="1.0") as client:
        assert client.head.get("transfer-encoding") is None
        assert {name: client.head.get(name) for name in HEADERS} == HEADERS
        assert client.event().name == "verdict"
        positions = [server.publish(log, {"n": n}) for n in range(20)]
        assert [client.until("message").id for _ in positions] == positions
        assert client.until("heartbeat").id == positions[-1]


def test_odd_bytes_for_a_position_are_a_gap(server: Server, log: str) -> None:
    for header in ("\u00ff\u00fe", "1" * 5000, "k3f9-1 ", "%00"):
        with SseClient(server.address, target(log), [("Last-Event-ID", header)]) as client:
            assert client.head.status == 200
            assert client.event().json()["verdict"] == "gap"


def test_odd_bytes_for_a_stream_are_404(server: Server, log: str) -> None:
    for query in ("stream=", "stream=%00", "stream=%FF%FE", "stream=" + "x" * 4000, f"stream={log}%20"):
        assert server.ask("GET", f"/dashboard/stream?{query}").status == 404
    with SseClient(server.address, target(log) + "&nocache=1&x=%ZZ") as client:
        assert client.event().name == "verdict", "other parameters are ignored"


# --- events


def test_an_update_is_one_id_line_and_its_text_on_one_data_line(server: Server, log: str) -> None:
    text = '{ "b":1.50,\t"a" : [ 1E2 ,"\\u00e9\\n\\/é€😀\u2028" ],"a":0 }'
    with SseClient(server.address, target(log)) as client:
        client.event()
        status, answer = server.api().post(log, text.encode(), {})
        assert status == 201
        block = client.until("message").block
        assert sorted(block.split("\n")) == [f"data: {text}", f"id: {answer['position']}"]


def test_a_heartbeat_names_the_time_with_its_offset(server: Server, log: str) -> None:
    head = server.put(log, {"n": 0})
    with SseClient(server.address, target(log)) as client:
        heartbeat = client.until("heartbeat")
        assert heartbeat.json().keys() == {"time", "position"}
        assert heartbeat.id == heartbeat.json()["position"] == head
        assert datetime.fromisoformat(heartbeat.json()["time"]).tzinfo is not None


def test_a_stream_ends_with_its_goodbye(servers: Servers, handover: str) -> None:
    """With a last chunk on HTTP/1.1, with the close alone on HTTP/1.0."""
    with servers.new(HANDOVER=handover) as server:
        clients = [SseClient(server.address, target("log0"), version=version) for version in ("1.1", "1.0")]
        for client in clients:
            client.event()
        server.end()
        for client in clients:
            goodbye = client.until("goodbye")
            assert goodbye.json().keys() == {"reason", "retry_ms"}
            assert goodbye.json()["reason"] == "server_restart"
            assert client.retries[-1] == goodbye.json()["retry_ms"]
            with pytest.raises(Ended) as end:
                client.event()
            assert end.value.clean and not end.value.rest
        assert server.wait() == 0


def test_full_is_a_whole_response(servers: Servers, handover: str) -> None:
    """Any status but 200 ends an EventSource for good, so: 200, retry, goodbye, end."""
    server = servers.get(HANDOVER=handover, MAX_CLIENTS="2")
    stream = servers.stream(server, "log")
    with SseClient(server.address, target(stream)), SseClient(server.address, target(stream)):
        until(lambda: server.connections("sse") == 2, "both are counted")
        with SseClient(server.address, target(stream)) as third:
            assert third.head.status == 200
            assert third.head.get("content-type") == HEADERS["content-type"]
            event = third.event()
            assert (event.name, event.json()["reason"]) == ("goodbye", "full")
            assert third.retries[-1] == event.json()["retry_ms"]
            with pytest.raises(Ended) as end:
                third.event()
            assert end.value.clean


# --- one connection, one stream


def test_a_pipelined_request_is_not_answered_inside_the_stream(server: Server, log: str) -> None:
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


def test_bytes_behind_the_request_do_not_disturb_others(server: Server, log: str) -> None:
    with follow("sse", server.address, log) as other:
        for junk in (b"\x00\xff" * 4000, b"GET / HTTP/1.1\r\n" * 2000, b"x"):
            with SseClient(server.address, target(log)) as client, contextlib.suppress(ConnectionError):
                client.wire.send(junk)  # the server may end this stream over it
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


def test_a_locked_database_delays_no_stream(servers: Servers, handover: str) -> None:
    """Another process holds the write lock: streams open at once, and those that are open stay."""
    server = servers.get(HANDOVER=handover)
    stream = servers.stream(server, "log")
    known = server.count(stream, 0, 3)
    with follow("sse", server.address, stream) as client:
        with contextlib.closing(sqlite3.connect(server.directory / "live.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for position in (None, known):
                with SseClient(server.address, target(stream, position)) as opened:
                    assert opened.event().name == "verdict"
            other.execute("ROLLBACK")
        server.publish(stream, {"n": 3})
        assert client.numbers(1) == [3]


@pytest.mark.slow  # the answer comes once SQLite has waited for the lock as long as it may
def test_publishing_to_a_locked_database_is_503_and_may_be_retried(servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover)
    stream = servers.stream(server, "log")
    with follow("sse", server.address, stream) as client:
        with contextlib.closing(sqlite3.connect(server.directory / "live.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            status, answer = server.api().post(stream, b'{"n": 0}', {"idempotency-key": "k"})
            assert (status, answer["error"]) == (503, "log_unavailable")
            other.execute("ROLLBACK")
        server.publish(stream, {"n": 0}, key="k")
        assert client.numbers(1) == [0], "the stream is still open, and the retry made one update"
