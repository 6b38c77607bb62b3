"""Protocol §5, `POST /streams/{stream}`: what is taken, what is refused and how, batches, keys, and its wire."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.live.conftest import Servers
from tests.live.followers import Position, follow
from tests.live.publishing import BEARER, head, ndjson, publish, refused
from tests.live.server import TOKEN, Server
from tests.live.wire import Response, Wire, read_body, read_head, request_bytes, until

KIB = 1024


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
    until(lambda: head(server, log) == KIB, "all of it is live")


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
