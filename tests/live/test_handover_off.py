"""HANDOVER=off in the fast run: each transport connects, receives, resumes and hears goodbye in the plain form too.

All other live tests run in this form as well, but only in the slow run (`handover` in conftest.py).
"""

from __future__ import annotations

from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, follow


def test_connect_receive_resume(transport: str, servers: Servers) -> None:
    server = servers.get(HANDOVER="off")
    log = servers.stream(server, "log")
    with follow(transport, server.address, log) as client:
        assert client.verdict == "fresh"
        server.count(log, 0, 3)
        assert client.numbers(2) == [0, 1]
        client.drop()
    with follow(transport, server.address, log, client.cursor) as again:
        assert again.verdict == "recovered"
        assert again.numbers(1) == [2]
        again.beat()


def test_goodbye(servers: Servers) -> None:
    with servers.new(HANDOVER="off") as server:
        clients = [follow(transport, server.address, "log0") for transport in TRANSPORTS]
        server.publish("log0", {"n": 0})
        server.end()
        for client in clients:
            assert client.numbers(1) == [0]
            assert client.goodbye().reason == "server_restart"
        assert server.wait() == 0
