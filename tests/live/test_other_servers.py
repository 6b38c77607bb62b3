"""The same app under other commands: uvicorn with and without our protocol classes, and hypercorn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.cable import EXT, V1, CableClient, CableClosed, identifier, upgrade
from tests.live.conftest import SHARED
from tests.live.followers import ENDINGS, TRANSPORTS, Follower, follow
from tests.live.server import TOKEN, Server
from tests.live.wire import until

HANDOVER = "dashboard_rt.server.handover"  # the module of our protocol classes
UVICORN = ("uvicorn", "--factory", "dashboard_rt.app:create_app", "--host", "127.0.0.1", "--port", "{port}")
OURS = ("--http", f"{HANDOVER}:HttpProtocol", "--ws", f"{HANDOVER}:WebSocketProtocol")
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


@pytest.fixture(
    params=[name if name == "uvicorn-plain" else pytest.param(name, marks=pytest.mark.slow) for name in ALL]
)
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """The app under that command. In the fast run only uvicorn's own, the form that most deployments have."""
    with Server(tmp_path, SHARED, ALL[request.param]) as server:
        if request.param == "hypercorn":  # cancels its own tasks at the end and logs that as an error
            server.forbidden = ("dashboard_rt",)
        yield server


def test_clients_and_shutdown(foreign: Server) -> None:
    """Fresh, live, resumed on every transport; a signal ends the process while clients are connected.

    Our classes say goodbye. For the other servers it is enough that nothing hangs and nothing is logged as an error.
    """
    clients = {transport: follow(transport, foreign.address, "log0") for transport in TRANSPORTS}
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
    connected = [follow(transport, foreign.address, "log0") for transport in ("sse", "cable-v1")]
    publish(foreign, "log0", 40, 1)
    for client in connected:
        assert client.numbers(1) == [40]
    foreign.end()
    for client in connected:
        wait_for_end(client)
    assert foreign.wait() in (0, -15), "uvicorn raises the signal again"


def wait_for_end(client: Follower) -> None:
    with pytest.raises((*ENDINGS, CableClosed)):
        while True:
            client.next()


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
