"""Peers that connect and misbehave before anything is handed over, by the hundred, against a real process."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests.live.conftest import Servers
from tests.live.followers import SseFollower, follow
from tests.live.server import TOKEN, Server
from tests.live.wire import Closed, Wire, ask, read_body, read_head, request_bytes, until

MAX_CLIENTS = 5
TIMEOUT = "1"  # seconds
HOST = ("host", "127.0.0.1")
BEARER = ("authorization", f"Bearer {TOKEN}")
POST = request_bytes("POST", "/streams/log0", [HOST, BEARER, ("content-length", "10")])


@pytest.fixture
def small(servers: Servers, handover: str) -> Server:
    """A server with room for few."""
    return servers.get(HANDOVER=handover, SEND_TIMEOUT=TIMEOUT, MAX_CLIENTS=str(MAX_CLIENTS))


@contextlib.contextmanager
def peers(server: Server, count: int, data: bytes) -> Iterator[list[Wire]]:
    wires = []
    for _ in range(count):
        wires.append(Wire(server.address.connect(rcvbuf=4096)))
        with contextlib.suppress(OSError):
            wires[-1].sock.settimeout(0.05 if len(data) > 65536 else 5)
            wires[-1].send(data)
    yield wires
    for wire in wires:
        wire.close()


def refusals(server: Server, reason: str) -> float:
    return server.metric("server_refusals_total", reason=reason)


def sockets(server: Server) -> int:
    return sum(it.status != psutil.CONN_LISTEN for it in psutil.Process(server.pid).net_connections("tcp"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "silent", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nx: ", "head_timeout", id="half a head"),
        pytest.param(POST + b"x", "body_timeout", id="half a body"),
    ],
)
def test_more_than_there_is_room_for_and_none_says_anything(small: Server, data: bytes, reason: str) -> None:
    """All are gone in time; meanwhile health checks and clients are let in."""
    before = refusals(small, reason)
    with peers(small, MAX_CLIENTS + 250, data) as crowd:
        assert ask(small.address, "GET", "/up").status == 200
        with follow("sse", small.address, "log0") as client:
            assert client.verdict == "fresh"
            assert sockets(small) <= MAX_CLIENTS + 200 + 20
            until(lambda: refusals(small, reason) - before >= MAX_CLIENTS + 190, "they are refused")
            until(lambda: sockets(small) < 20, "they are gone")
            client.beat()
        with pytest.raises(Closed):
            while True:
                crowd[-1].fill()


def test_answers_that_nobody_reads(small: Server) -> None:
    before = refusals(small, "unread")
    memory = psutil.Process(small.pid).memory_info().rss
    with peers(small, 50, request_bytes("GET", "/dashboard", [HOST]) * 400):
        until(lambda: refusals(small, "unread") - before >= 40, "they are cut")
        assert psutil.Process(small.pid).memory_info().rss - memory < 100 * 1024**2
        until(lambda: sockets(small) < 20, "they are gone")


def test_an_upload_that_is_refused_gets_its_answer_and_ends(small: Server) -> None:
    head = request_bytes("POST", "/streams/log0", [HOST, ("content-length", "100000000000")])
    wire = Wire(small.address.connect())
    wire.send(head)
    answer = read_head(wire)
    assert answer.status == 401 and answer.get("connection") == "close"
    read_body(wire, answer)
    with pytest.raises((Closed, OSError)):
        while True:
            wire.send(b"x" * 65536)
            with contextlib.suppress(TimeoutError):
                wire.sock.settimeout(0.01)
                wire.fill()


def test_a_process_without_files_left_lives_on(servers: Servers) -> None:
    """What is accepted then is closed at once, and who is connected is not disturbed."""
    with servers.new(MAX_CLIENTS="500") as server, follow("sse", server.address, "log0") as client:
        files = psutil.Process(server.pid).num_fds()
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (files + 10, files + 10))
        crowd: list[socket.socket] = []
        for _ in range(100):
            with contextlib.suppress(OSError):
                crowd.append(server.address.connect())
        client.beat()
        for sock in crowd:
            sock.close()
        until(lambda: answered(server), "it answers again")
        client.beat()


def answered(server: Server) -> Any:
    with contextlib.suppress(OSError, Closed):
        return ask(server.address, "GET", "/up").status == 200
    return False


def test_what_java_sends_is_published(small: Server) -> None:
    """Its HTTP client asks for HTTP/2 on its first request over clear text, and sends the body behind that."""
    fields = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Content-Length", "8"),
        ("Host", "localhost"),
        ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
        ("Upgrade", "h2c"),
        ("User-Agent", "Java-http-client/21"),
        BEARER,
    ]
    wire = Wire(small.address.connect())
    for number in range(2):
        wire.send(request_bytes("POST", "/streams/log0", fields))
        wire.send(b'{"n": %d}' % number)
        head = read_head(wire)
        body = read_body(wire, head)
        assert head.status == 201, body
    wire.close()


def test_what_comes_behind_a_request_for_a_stream_is_not_read(server: Server, log: str) -> None:
    """The client is served all the same, and noticed when it leaves."""
    with SseFollower(server.address, log, None, 4096) as client:
        wire = client.client.wire
        wire.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                wire.send(b"x" * 65536)
        wire.sock.settimeout(20)
        server.publish(log, {"n": 0})
        assert client.numbers(1) == [0]
    until(lambda: server.connections("sse") == 0, "it is gone")
