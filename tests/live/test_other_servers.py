"""The same app under other commands: uvicorn with and without our classes, hypercorn; it runs on any ASGI server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.cable import EXT, V1, CableClient, CableClosed, identifier, upgrade
from tests.live.conftest import STREAMS
from tests.live.followers import ENDINGS, Follower, follow
from tests.live.server import TOKEN, Server
from tests.live.wire import until

UVICORN = ("uvicorn", "--factory", "dashboard_rt.app:create_app", "--host", "127.0.0.1", "--port", "{port}")
OURS = ("--http", "dashboard_rt.handover:HttpProtocol", "--ws", "dashboard_rt.handover:WebSocketProtocol")
FORMS = {
    "uvicorn-handover": (*UVICORN, *OURS),
    "uvicorn-handover-asyncio": (*UVICORN, *OURS, "--loop", "asyncio"),
    "uvicorn-plain": UVICORN,
    "uvicorn-h11": (*UVICORN, "--http", "h11", "--ws", "wsproto", "--loop", "asyncio"),
}
HYPERCORN = ("hypercorn", "--bind", "127.0.0.1:{port}", "dashboard_rt.app:create_app()")
ALL = {**FORMS, "hypercorn": HYPERCORN}


def publish(server: Server, stream: str, start: int, number: int, **more: str) -> None:
    """Publish over a connection each, as that works over TLS too."""
    for n in range(start, start + number):
        body = json.dumps({"n": n, **more}).encode()
        headers = [("authorization", f"Bearer {TOKEN}")]
        assert server.ask("POST", f"/streams/{stream}", headers, body).status == 201


@pytest.fixture(params=ALL)
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    env = {"STREAMS": STREAMS, "CABLE_PING": "1", "SSE_HEARTBEAT": "1"}
    with Server(tmp_path, env, ALL[request.param]) as server:
        if request.param == "hypercorn":  # cancels its own tasks at the end and logs that as an error
            server.forbidden = ("dashboard_rt",)
        yield server


def test_behaviours(foreign: Server) -> None:
    """Fresh, live, alive, resumed, on every transport at once."""
    clients = {
        transport: follow(transport, foreign.address, "log0")
        for transport in ("sse", "cable-v1", "cable-ext")
    }
    publish(foreign, "log0", 0, 20)
    for client in clients.values():
        assert client.verdict == "fresh"
        assert client.numbers(20) == list(range(20))
        client.beat()
        client.drop()
    publish(foreign, "log0", 20, 20, pad="x" * 50_000)
    for transport, client in clients.items():
        with follow(transport, foreign.address, "log0", client.cursor) as again:
            assert again.verdict == "recovered"
            assert again.numbers(20) == list(range(20, 40))
    until(lambda: foreign.connections("sse") + foreign.connections("cable") == 0, "all are forgotten")


def test_the_handshake(foreign: Server) -> None:
    with CableClient(foreign.address, (V1, EXT)) as client:
        assert client.protocol == EXT
        client.welcome()
        assert client.subscribe(identifier("log0"))["type"] == "confirm_subscription"
        client.send("not json")
        client.fence()
    wire, head = upgrade(foreign.address, (V1,), [("origin", "https://evil.example")])
    assert head.status == 404
    wire.close()
    assert foreign.ask("HEAD", "/dashboard/stream").status == 200
    assert foreign.ask("POST", "/dashboard/stream").status == 405


def test_it_ends_when_told(foreign: Server) -> None:
    """With clients on it. Ours says goodbye; what other servers allow is that nothing hangs and nothing raises."""
    clients = [follow(transport, foreign.address, "log0") for transport in ("sse", "cable-v1")]
    publish(foreign, "log0", 0, 1)
    for client in clients:
        assert client.numbers(1) == [0]
    foreign.end()
    for client in clients:
        ended(client)
    assert foreign.wait() in (0, -15), "uvicorn raises the signal again"


def ended(client: Follower) -> None:
    with pytest.raises((*ENDINGS, CableClosed)):
        while True:
            client.next()
