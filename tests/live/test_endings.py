"""How the server ends a connection on purpose: full, and going away; and how clients come back (protocol §§1-2)."""

from __future__ import annotations

import signal

import pytest

from tests.live.conftest import Servers
from tests.live.followers import Follower, Goodbye, Position, follow
from tests.live.server import Server
from tests.live.wire import LIMIT, until

RETRY = {"RETRY_MIN": "700", "RETRY_MAX": "1400"}


def said(goodbye: Goodbye, reason: str) -> int:
    assert goodbye.reason == reason
    assert goodbye.retry_ms is not None, "a cable disconnect carries retry_in"
    assert 700 <= goodbye.retry_ms <= 1400
    return goodbye.retry_ms


# --- full


def test_full_is_said_in_a_way_that_clients_understand(
    transport: str, servers: Servers, handover: str
) -> None:
    server = servers.get(HANDOVER=handover, MAX_CLIENTS="2", **RETRY)
    stream = servers.stream(server, "log")
    with follow("sse", server.address, stream) as one, follow("cable-v1", server.address, stream) as two:
        assert refused(server, transport, stream) == "full"
        server.publish(stream, {"n": 0})
        assert one.numbers(1) == two.numbers(1) == [0]
    until(lambda: server.connections("sse") + server.connections("cable") == 0, "both are gone")
    with follow(transport, server.address, stream) as client:
        assert client.verdict == "fresh", "there is room again"
    until(lambda: server.connections("sse") + server.connections("cable") == 0, "it is gone too")


def refused(server: Server, transport: str, stream: str) -> str:
    with pytest.raises(Goodbye) as caught:
        follow(transport, server.address, stream)
    said(caught.value, "full")
    return caught.value.reason


def test_full_leaves_the_other_endpoints_alone(servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover, MAX_CLIENTS="2", **RETRY)
    stream = servers.stream(server, "log")
    with follow("sse", server.address, stream), follow("cable-v1", server.address, stream):
        assert [server.ask("GET", path).status for path in ("/up", "/health", "/ready", "/metrics")] == [
            200
        ] * 4
        server.publish(stream, {"n": 0})
    until(lambda: server.connections("sse") + server.connections("cable") == 0, "both are gone")


# --- going away


def test_goodbye_exit_restart_resume(transport: str, servers: Servers, handover: str) -> None:
    with servers.new(RETRY, HANDOVER=handover) as server:
        clients = [follow(transport, server.address, "log0") for _ in range(12)]
        position = server.count("log0", 0, 3)
        server.end()
        retries = [said(goodbye_after(client, 3), "server_restart") for client in clients]
        assert len(set(retries)) > 1, "each has its own time to come back"
        assert server.wait() == 0
        assert refuses(server)
        server.start()
        server.count("log0", 3, 2)
        for client in clients:
            with follow(transport, server.address, "log0", client.cursor) as again:
                assert (again.verdict, str(again.cursor)) == ("recovered", position)
                assert again.numbers(2) == [3, 4]


def goodbye_after(client: Follower, count: int) -> Goodbye:
    """What was acknowledged before the signal comes before the goodbye."""
    assert client.numbers(count) == list(range(count))
    return client.goodbye()


def refuses(server: Server) -> bool:
    try:
        server.address.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_new_clients_are_refused_while_the_others_leave(servers: Servers, handover: str) -> None:
    with servers.new(HANDOVER=handover, DRAIN_SECONDS="3") as server:
        clients = [follow("sse", server.address, "log0") for _ in range(8)]
        server.end()
        until(lambda: refuses(server), "connections are refused")
        reasons = [client.goodbye().reason for client in clients]
        assert reasons == ["server_restart"] * 8
        assert server.wait() == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_every_transport_at_once_and_signals_that_repeat(
    servers: Servers, handover: str, sig: signal.Signals
) -> None:
    with servers.new(RETRY, HANDOVER=handover) as server:
        clients = [
            follow(transport, server.address, "log0") for transport in ("sse", "cable-v1", "cable-ext") * 4
        ]
        server.end(sig)
        until(lambda: refuses(server), "connections are refused")
        if sig == signal.SIGTERM and server.alive:
            server.end(sig)  # a platform may signal more than once; a second Ctrl-C may well mean "now"
        for client in clients:
            said(client.goodbye(), "server_restart")
        assert server.wait() == 0


def test_a_stuck_client_does_not_hold_the_exit(transport: str, servers: Servers, handover: str) -> None:
    with servers.new(HANDOVER=handover, SEND_TIMEOUT="60") as server:
        stuck = follow(transport, server.address, "log0", rcvbuf=4096)
        for n in range(30):
            server.publish("log0", {"n": n, "pad": "x" * 60_000})
        server.end()
        assert server.wait(LIMIT) == 0
        stuck.drop()


def test_idle_connections_do_not_hold_the_exit(servers: Servers, handover: str) -> None:
    """A kept-alive connection, half a request, half an upgrade, a socket that joined no stream."""
    with servers.new(HANDOVER=handover) as server:
        idle = [server.address.connect() for _ in range(4)]
        idle[1].sendall(b"GET /up HTTP/1.1\r\nhost: x\r\n\r\n")
        idle[2].sendall(b"GET /cable HTTP/1.1\r\nhost: x\r\nupgr")
        idle[3].sendall(b"POST /streams/log0 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12")
        until(lambda: server.ask("GET", "/up").status == 200, "it answers")
        server.end()
        assert server.wait(LIMIT) == 0
        for sock in idle:
            sock.close()


def test_a_new_epoch_on_demand(transport: str, servers: Servers) -> None:
    """After a restore: `init --new-epoch` makes every old position a gap, never a wrong replay."""
    with servers.new() as server:
        before = server.count("log0", 0, 3)
        server.end()
        assert server.wait() == 0
        server.run("init", "--new-epoch")
        server.start()
        with follow(transport, server.address, "log0", before) as client:
            assert client.verdict == "gap"
            assert client.cursor.epoch != Position.of(before).epoch
            server.publish("log0", {"n": 3})
            assert client.numbers(1) == [3]
