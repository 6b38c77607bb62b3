"""Connections that the server ends on purpose: when it is full and when it stops, and how clients come back."""

from __future__ import annotations

import signal

import pytest

from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, Goodbye, Position, follow
from tests.live.server import Server
from tests.live.wire import until
from tests.patience import HANG_LIMIT

RETRY = {"RETRY_MIN": "700", "RETRY_MAX": "1400"}  # ms


def check_goodbye(goodbye: Goodbye, reason: str) -> int:
    """Check reason and time of a goodbye; the ms after which its client shall come back."""
    assert goodbye.reason == reason
    assert goodbye.retry_ms is not None, "a cable disconnect carries retry_in"
    assert 700 <= goodbye.retry_ms <= 1400
    return goodbye.retry_ms


def no_connections(server: Server) -> bool:
    return server.connections("sse") + server.connections("cable") == 0


def refuses_connections(server: Server) -> bool:
    try:
        server.address.connect().close()
    except ConnectionRefusedError:
        return True
    return False


# --- full


def test_a_client_over_max_clients_is_told_full(transport: str, servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover, MAX_CLIENTS="2", **RETRY)
    stream = servers.stream(server, "log")
    with follow("sse", server.address, stream) as one, follow("cable-v1", server.address, stream) as two:
        with pytest.raises(Goodbye) as caught:
            follow(transport, server.address, stream)
        check_goodbye(caught.value, "full")
        server.publish(stream, {"n": 0})
        assert one.numbers(1) == two.numbers(1) == [0]
        for path in ("/up", "/health", "/ready", "/metrics"):
            assert server.ask("GET", path).status == 200, "only streams are limited"
    until(lambda: no_connections(server), "both have left")
    with follow(transport, server.address, stream) as client:
        assert client.verdict == "fresh", "there is room again"
    until(lambda: no_connections(server), "the third has left")


# --- shutdown


def test_clients_resume_after_a_restart(servers: Servers, handover: str) -> None:
    """Goodbye to each client, connections refused, exit status 0; the next process continues the log."""
    with servers.new(RETRY, HANDOVER=handover) as server:
        clients = [follow(transport, server.address, "log0") for transport in TRANSPORTS * 4]
        position = server.count("log0", 0, 3)
        server.end()
        until(lambda: refuses_connections(server), "connections are refused")
        if server.alive:
            server.end()  # platforms may send SIGTERM more than once
        retries = []
        for client in clients:
            assert client.numbers(3) == [0, 1, 2], "what was acknowledged comes before the goodbye"
            retries.append(check_goodbye(client.goodbye(), "server_restart"))
        assert len(set(retries)) > 1, "each client gets a time of its own"
        assert server.wait() == 0
        server.start()
        server.count("log0", 3, 2)
        for client in clients:
            with follow(client.transport, server.address, "log0", client.cursor) as again:
                assert (again.verdict, str(again.cursor)) == ("recovered", position)
                assert again.numbers(2) == [3, 4]


def test_ctrl_c_says_goodbye_too(servers: Servers, handover: str) -> None:
    with servers.new(RETRY, HANDOVER=handover) as server:
        clients = [follow(transport, server.address, "log0") for transport in TRANSPORTS]
        server.end(signal.SIGINT)
        for client in clients:
            check_goodbye(client.goodbye(), "server_restart")
        assert server.wait() == 0


def test_stuck_clients_do_not_delay_the_exit(servers: Servers, handover: str) -> None:
    with servers.new(HANDOVER=handover, SEND_TIMEOUT="60", DRAIN_SECONDS="0.5") as server:
        stuck = [follow(transport, server.address, "log0", rcvbuf=4096) for transport in TRANSPORTS]
        for n in range(30):
            server.publish("log0", {"n": n, "pad": "x" * 60_000})
        server.end()
        assert server.wait(HANG_LIMIT) == 0
        for client in stuck:
            client.drop()


def test_idle_connections_do_not_delay_the_exit(servers: Servers, handover: str) -> None:
    """A connection with no request, a kept-alive one, half an upgrade, half a body."""
    with servers.new(HANDOVER=handover) as server:
        idle = [server.address.connect() for _ in range(4)]
        idle[1].sendall(b"GET /up HTTP/1.1\r\nhost: localhost\r\n\r\n")
        idle[2].sendall(b"GET /cable HTTP/1.1\r\nhost: localhost\r\nupgr")
        idle[3].sendall(b"POST /streams/log0 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n12")
        assert server.ask("GET", "/up").status == 200
        server.end()
        assert server.wait(HANG_LIMIT) == 0
        for sock in idle:
            sock.close()


def test_after_init_new_epoch_old_positions_are_gaps(servers: Servers, handover: str) -> None:
    """`init --new-epoch` is for a restored database: its ids may have been given to other updates before."""
    with servers.new(HANDOVER=handover) as server:
        before = server.count("log0", 0, 3)
        server.end()
        assert server.wait() == 0
        server.run("init", "--new-epoch")
        server.start()
        clients = [follow(transport, server.address, "log0", before) for transport in TRANSPORTS]
        server.publish("log0", {"n": 3})
        for client in clients:
            assert client.verdict == "gap"
            assert client.cursor.epoch != Position.of(before).epoch
            assert client.numbers(1) == [3]
            client.drop()
