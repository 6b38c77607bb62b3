"""Hosts that are not ours, on the wire: a page whose name was made to resolve to this machine gets nothing.

Which names are ours is held by tests/http/test_gate.py.
"""

from __future__ import annotations

import pytest

from tests.live.cable import upgrade
from tests.live.publishing import BEARER
from tests.live.server import Server
from tests.live.wire import Headers, Response, Wire, read_body, read_head, request_bytes, until

STRANGER = "rebind.example:3000"


def asked(server: Server, method: str, target: str, headers: Headers, version: str = "1.1") -> Response:
    """One request with exactly these headers."""
    wire = Wire(server.address.connect())
    wire.send(request_bytes(method, target, [*headers, ("connection", "close")], version=version))
    head = read_head(wire)
    return Response(head, b"" if method == "HEAD" else read_body(wire, head))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/up",
        "/static/page.js",
        "/dashboard/stream",
        "/dashboard/debug",
        "/dashboard/trigger-burst",
        f"http://{STRANGER}/dashboard/debug",
        "http://127.0.0.1/dashboard/debug",
    ],
)
def test_a_page_of_a_stranger_gets_nothing(server: Server, method: str, target: str) -> None:
    headers = [
        ("host", STRANGER),
        ("origin", f"http://{STRANGER}"),
        ("sec-fetch-site", "same-origin"),
        BEARER,
    ]
    for version in ("1.1", "1.0"):
        response = asked(server, method, target, headers, version)
        assert response.status == 421
        assert not [name for name, _ in response.head.headers if name.startswith("access-control")]
        assert method == "HEAD" or response.json()["error"] == "misdirected_request"


def test_a_strangers_cable_is_421_without_upgrade(server: Server) -> None:
    before = server.metric("refused_total", reason="misdirected_request")
    wire = Wire(server.address.connect())
    handshake = [
        ("host", STRANGER),
        ("origin", f"http://{STRANGER}"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    wire.send(request_bytes("GET", "/cable", handshake))
    head = read_head(wire)
    assert head.status == 421 and head.get("upgrade") is None
    read_body(wire, head)
    until(
        lambda: server.metric("refused_total", reason="misdirected_request") == before + 1,
        "the refusal is counted",
    )


def test_this_machines_names_and_requests_without_a_host(server: Server) -> None:
    for host in ("localhost", "dash.localhost:81", "127.0.0.2", "[::1]:3000", "LOCALHOST. "):
        assert asked(server, "GET", "/up", [("host", host)]).status == 200, host
        wire, head = upgrade(server.address, (), [("origin", server.address.origin)])
        assert head.status == 101
        wire.close()
    assert asked(server, "GET", "/up", [], "1.0").status == 200
