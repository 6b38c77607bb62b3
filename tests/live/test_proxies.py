"""Behind real proxies, with the configurations of docs/proxies.md and their default buffering."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, follow
from tests.live.server import Server
from tests.live.sse import SseClient
from tests.live.wire import Address, ask
from tests.services.caddy import Caddy
from tests.services.nginx import Nginx
from tests.services.process import Service

# What nginx does by itself: HTTP/1.0 to the server, and no upgrade.
BARE = "server { listen 8080; location / { proxy_pass http://127.0.0.1:3000; } }"
# Silence, so that nothing but the update itself can push it through a buffer.
QUIET = {"SSE_HEARTBEAT": "30", "CABLE_PING": "5"}


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(**QUIET)


def proxy(name: str, directory: Path, server: Server) -> Service:
    if name == "caddy":
        return Caddy(directory, server.address.port)
    return Nginx(directory, [server.address.port], BARE if name == "bare nginx" else None)


@pytest.fixture(params=["bare nginx", "nginx", "caddy"])
def behind(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> Iterator[Address]:
    """The address of the server behind each proxy."""
    running = proxy(request.param, tmp_path, server)
    running.start()
    yield Address("127.0.0.1", running.port)
    running.kill()


def passes(behind: Address, server: Server, stream: str, transport: str) -> None:
    """Each update arrives before there is a next one: a buffer that waits for more would keep it for ever."""
    with follow(transport, behind, stream) as follower:
        for n in range(20):
            server.publish(stream, {"n": n})
            assert follower.numbers(1) == [n]
        position = follower.cursor
    server.count(stream, 20, 5)
    with follow(transport, behind, stream, position) as follower:
        assert follower.verdict == "recovered"
        assert follower.numbers(5) == list(range(20, 25))


def test_each_update_comes_through_by_itself(
    behind: Address, server: Server, servers: Servers, request: pytest.FixtureRequest
) -> None:
    bare = "bare nginx" in request.node.name
    for transport in TRANSPORTS[:1] if bare else TRANSPORTS:
        passes(behind, server, servers.stream(server, "log"), transport)


@pytest.mark.slow  # a server and two proxies of its own
def test_a_client_does_not_choose_the_host_that_its_proxy_tells(servers: Servers, tmp_path: Path) -> None:
    with servers.new(ALLOWED_HOSTS="dash.example.org") as server:
        forged = [("x-forwarded-host", "example.com")]
        assert ask(server.address, "GET", "/up", forged).status == 421, "it is looked at"
        for name in ("nginx", "caddy"):
            running = proxy(name, tmp_path, server)
            running.start()
            try:
                assert ask(Address("127.0.0.1", running.port), "GET", "/up", forged).status == 200
            finally:
                running.kill()


@pytest.mark.parametrize("behind", ["bare nginx"], indirect=True)
def test_a_proxy_without_upgrades_refuses_a_websocket_with_404(behind: Address) -> None:
    """The answer by which a client that may choose knows that it has to take SSE."""
    handshake = [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "a" * 22 + "=="),
    ]
    assert ask(behind, "GET", "/cable", handshake).status == 404


@pytest.mark.slow  # a server and a proxy of its own
def test_caddy_compresses_the_page_and_no_stream(servers: Servers, tmp_path: Path) -> None:
    """As a browser asks: the other clients of these tests take no compression."""
    accepts = [("accept-encoding", "gzip")]
    with servers.new(QUIET) as server:
        server.publish("state0", {"text": "x" * 2000})  # Caddy compresses what begins with 512 bytes
        caddy = Caddy(tmp_path, server.address.port)
        caddy.start()
        try:
            behind = Address("127.0.0.1", caddy.port)
            assert ask(behind, "GET", "/", accepts).head.get("content-encoding") == "gzip"
            with SseClient(behind, "/dashboard/stream?stream=state0", accepts) as client:
                assert client.head.get("content-encoding") is None
        finally:
            caddy.kill()


def test_an_event_source_goes_on_trying_behind_caddy(servers: Servers, tmp_path: Path) -> None:
    with servers.new() as server:
        caddy = Caddy(tmp_path, server.address.port)
        caddy.start()
    try:
        away = ask(Address("127.0.0.1", caddy.port), "GET", "/dashboard/stream?stream=log0")
        assert (away.status, away.body) == (200, b"retry: 2000\n")
        assert away.head.get("content-type") == "text/event-stream"
        assert away.head.get("access-control-allow-origin") == "*", "or a page of another origin gives up"
    finally:
        caddy.kill()
