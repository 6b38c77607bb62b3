"""`POST /streams/{stream}` on the wire (protocol §5): bodies, batches, keys, pipelining, clients that leave.

What is refused, with which status and code, is held by tests/http/test_publish.py.
"""

from __future__ import annotations

import json

import pytest

from tests.live.conftest import Servers
from tests.live.followers import Position, follow
from tests.live.publishing import BEARER, head, ndjson, publish, refused
from tests.live.server import Server
from tests.live.wire import Response, Wire, read_body, read_head, request_bytes

KIB = 1024


# --- bodies


def test_64_kib_arrive_on_both_transports(server: Server, log: str) -> None:
    text = "é" * (32 * KIB - 1)
    with follow("sse", server.address, log) as sse, follow("cable-ext", server.address, log) as cable:
        assert publish(server, log, json.dumps(text, ensure_ascii=False)).status == 201
        assert sse.next() == cable.next() == text
    assert refused(publish(server, log, '"' + "x" * (64 * KIB - 1) + '"'), 413) == "too_large"
    assert head(server, log) == 1


def test_a_chunked_body(server: Server, log: str) -> None:
    def chunked(*pieces: bytes) -> Response:
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        lines = [BEARER, ("transfer-encoding", "chunked")]
        return server.ask("POST", f"/streams/{log}", lines, body)

    assert chunked(b'{"n"', b":0}").status == 201
    assert refused(chunked(*[b" " * KIB] * 65), 413) == "too_large"
    assert refused(chunked(), 422) == "invalid_json"


def test_a_body_that_announces_too_much_is_refused_before_it_comes(server: Server, log: str) -> None:
    wire = Wire(server.address.connect())
    lines = [("host", "localhost"), BEARER, ("content-length", str(10**12))]
    wire.send(request_bytes("POST", f"/streams/{log}", lines))
    assert read_head(wire).status == 413
    wire.close()


def test_odd_bytes_for_a_stream_are_404(server: Server) -> None:
    for stream in ("no_such_stream", "LOG0", "log0%20", "%00", "x" * 3000):
        assert refused(publish(server, stream, "{}"), 404)
    for path in ("/streams", "/streams/", "/nothing", "/streams/log0/more", "/dashboard/../../etc/passwd"):
        refused(server.ask("GET", path), 404)


def test_ndjson_is_one_update_per_line(server: Server, log: str) -> None:
    with follow("sse", server.address, log) as sse, follow("cable-v1", server.address, log) as cable:
        response = ndjson(server, log, '{"n":0}\n{"n":1}\r\n{"n":2}\n')
        assert response.status == 201
        assert response.json()["count"] == 3
        assert sse.numbers(3) == cable.numbers(3) == [0, 1, 2]
        assert response.json()["position"] == str(sse.cursor), "the position of the last"


# --- idempotency


def test_a_retry_with_the_same_key_gets_the_first_position(server: Server, log: str) -> None:
    first = publish(server, log, '{"n":0}', idempotency_key="k1")
    assert first.json().keys() == {"position"}
    batch = ndjson(server, log, "1\n2\n3", idempotency_key="k2")
    assert publish(server, log, '{"n":0}', idempotency_key="k1").json() == first.json()
    assert ndjson(server, log, "1\n2\n3", idempotency_key="k2").json() == batch.json()
    assert head(server, log) == 4


@pytest.mark.slow
def test_keys_survive_kill_9(servers: Servers, handover: str) -> None:
    with servers.new(HANDOVER=handover) as server:
        before = server.publish("log0", {"n": 0}, key="k")
        server.kill()
        server.start()
        assert server.publish("log0", {"n": 0}, key="k") == before
        assert head(server, "log0") == 1


# --- connections


def test_a_kept_connection_serves_many_requests(server: Server, log: str) -> None:
    wire = Wire(server.address.connect())
    for n in range(50):
        wire.send(
            request_bytes("POST", f"/streams/{log}", [("host", "localhost"), BEARER], json.dumps(n).encode())
        )
        response = read_head(wire)
        assert (response.status, json.loads(read_body(wire, response)).keys()) == (201, {"position"})
    wire.close()


def test_pipelined_publishes_are_answered_in_order(server: Server, log: str) -> None:
    wire = Wire(server.address.connect())
    one = request_bytes("POST", f"/streams/{log}", [("host", "localhost"), BEARER], b"1")
    wire.send(one * 20)
    ids = []
    for _ in range(20):
        response = read_head(wire)
        ids.append(Position.of(json.loads(read_body(wire, response))["position"]).id)
    assert ids == list(range(1, 21))
    wire.close()


def test_a_client_that_leaves_within_its_body_publishes_nothing(server: Server, log: str) -> None:
    for _ in range(5):
        wire = Wire(server.address.connect())
        lines = [("host", "localhost"), BEARER, ("content-length", "100")]
        wire.send(request_bytes("POST", f"/streams/{log}", lines, b"{}"))
        wire.reset()
    publish(server, log, "{}")
    assert head(server, log) == 1


# --- another process


def test_an_update_from_the_command_line_reaches_the_servers_clients(server: Server, log: str) -> None:
    """Another process on the same database, and an in-process broker: the log alone carries it over."""
    with follow("sse", server.address, log) as sse, follow("cable-v1", server.address, log) as cable:
        server.run("publish", log, '{"n":0}')
        assert sse.numbers(1) == cable.numbers(1) == [0]
    assert not list(server.directory.glob("*.db-journal"))
