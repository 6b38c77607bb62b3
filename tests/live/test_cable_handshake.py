"""Protocol §2, the handshake: origins, subprotocols, the welcome, and frames that come before it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from websockets.sync.client import connect

from tests.live.cable import BINARY, EXT, STOCK, TEXT, V1, CableClient, command, frame, identifier, upgrade
from tests.live.conftest import Servers
from tests.live.server import Server
from tests.live.wire import Wire, read_body, read_head, request_bytes, until

FRIEND = "https://dashboard.example"
WELCOME = {"type": "welcome"}


# --- subprotocols


@pytest.mark.parametrize(
    ("offer", "chosen"),
    [
        (STOCK, V1),
        ((V1,), V1),
        ((EXT,), EXT),
        ((V1, EXT), EXT),
        ((EXT, V1), EXT),
        (("actioncable-unsupported", V1), V1),
        (("graphql-ws", EXT, "actioncable-unsupported"), EXT),
        (("actioncable-unsupported",), None),
        (("graphql-ws",), None),
        ((V1.upper(),), None),
        ((), None),
    ],
)
def test_the_subprotocol_is_ours_or_none(server: Server, offer: Sequence[str], chosen: str | None) -> None:
    with CableClient(server.address, offer) as client:
        assert client.protocol == chosen
        client.welcome()
        assert client.subscribe(identifier())["type"] == "confirm_subscription"


def test_an_offer_may_come_in_several_headers(server: Server) -> None:
    lines = [("sec-websocket-protocol", "graphql-ws"), ("sec-websocket-protocol", f"{V1},{EXT}")]
    with CableClient(server.address, (), lines) as client:
        assert client.protocol == EXT


def test_without_an_offer_frames_are_those_of_v1(server: Server, log: str) -> None:
    with CableClient(server.address, ()) as client:
        client.welcome()
        client.subscribe(identifier(log))
        server.publish(log, {"n": 0})
        assert client.message() == {"identifier": identifier(log), "message": {"n": 0}}


# --- the upgrade


def test_the_upgrade_response(server: Server) -> None:
    wire, head = upgrade(server.address, (V1,), [("sec-websocket-extensions", "permessage-deflate")])
    assert (head.version, head.status) == ("1.1", 101)
    assert (head.get("upgrade") or "").lower() == "websocket"
    assert (head.get("connection") or "").lower() == "upgrade"
    assert head.get("sec-websocket-extensions") is None, "compression is off by default"
    assert head.get("content-length") is None
    assert head.get("transfer-encoding") is None
    wire.close()


@pytest.mark.parametrize(
    "broken",
    [
        [("sec-websocket-version", "8"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")],
        [("sec-websocket-version", "13")],
        [("sec-websocket-version", "13"), ("sec-websocket-key", "too short")],
        [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")],
        [
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-key", "x"),
        ],
    ],
)
def test_a_broken_handshake_is_refused(server: Server, broken: list[tuple[str, str]]) -> None:
    """RFC 6455 section 4.2: 400 or 426, never 101 and never a 500."""
    lines = [("host", server.address.netloc), ("upgrade", "websocket"), ("connection", "Upgrade"), *broken]
    wire = Wire(server.address.connect())
    wire.send(request_bytes("GET", "/cable", lines))
    assert 400 <= read_head(wire).status < 500
    wire.close()


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_plain_http_to_the_cable_is_a_plain_error(server: Server, method: str) -> None:
    assert 400 <= server.ask(method, "/cable").status < 500


def test_the_upgrade_in_single_bytes(server: Server) -> None:
    wire = Wire(server.address.connect())
    lines = [
        ("host", server.address.netloc),
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    for byte in request_bytes("GET", "/cable", lines):
        wire.send(bytes([byte]))
    head = read_head(wire)
    assert (head.status, head.get("sec-websocket-accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    assert json.loads(wire.exactly(2 + len(json.dumps(WELCOME, separators=(",", ":"))))[2:]) == WELCOME
    wire.close()


def test_another_path_is_404(server: Server) -> None:
    wire = Wire(server.address.connect())
    lines = [
        ("host", server.address.netloc),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    wire.send(request_bytes("GET", "/nocable", lines))
    assert read_head(wire).status in (403, 404)
    wire.close()


def test_compression_when_it_is_switched_on(servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover, WS_COMPRESSION="on")
    stream = servers.stream(server, "log")
    url = f"ws://{server.address.netloc}/cable"
    with connect(url, compression="deflate", subprotocols=[V1]) as client:  # type: ignore[list-item]
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
        assert json.loads(client.recv(20)) == WELCOME
        client.send(command("subscribe", identifier(stream)))
        until(lambda: json.loads(client.recv(20)).get("type") == "confirm_subscription", "confirmed")
        server.publish(stream, {"n": "x" * 1000})
        until(lambda: json.loads(client.recv(20)).get("message") == {"n": "x" * 1000}, "received")


# --- origins


@pytest.mark.parametrize("origin", ["{own}", FRIEND, "https://other.example"])
def test_origins_that_may(servers: Servers, handover: str, origin: str) -> None:
    server = servers.get(HANDOVER=handover, ALLOWED_ORIGINS=f"{FRIEND},https://other.example")
    wire, head = upgrade(server.address, (V1,), [("origin", origin.format(own=server.address.origin))])
    assert head.status == 101
    wire.close()


EVIL = [
    "https://evil.example",
    "null",
    "{own}.evil.example",
    "http://evil.example/{own}",
    "http://{host}:1",
    "http://{host}",
    "{own}@evil.example",
    "https://dashboard.example.evil.example",
    "https://dashboard.example:444",
    "http://dashboard.example",
    "garbage",
    "",
]


@pytest.mark.parametrize("origin", EVIL)
def test_origins_that_may_not(servers: Servers, handover: str, origin: str) -> None:
    """404 with no upgrade, as Rails answers; nothing of it reaches the log."""
    server = servers.get(HANDOVER=handover, ALLOWED_ORIGINS=f"{FRIEND},https://other.example")
    value = origin.format(own=server.address.origin, host=server.address.host)
    wire, head = upgrade(server.address, (V1,), [("origin", value)])
    assert head.status == 404
    assert head.get("upgrade") is None
    read_body(wire, head)
    wire.close()


def test_no_origin_is_allowed_unless_required(servers: Servers, handover: str) -> None:
    wire, head = upgrade(servers.get(HANDOVER=handover).address)
    assert head.status == 101
    wire.close()
    strict = servers.get(HANDOVER=handover, CABLE_REQUIRE_ORIGIN="on")
    wire, head = upgrade(strict.address)
    assert head.status == 404
    wire.close()
    wire, head = upgrade(strict.address, (V1,), [("origin", strict.address.origin)])
    assert head.status == 101
    wire.close()


# --- the welcome and what comes before it


@pytest.mark.parametrize("protocols", [(V1,), (EXT,), ()])
def test_the_welcome_is_first_and_bare(server: Server, protocols: Sequence[str]) -> None:
    with CableClient(server.address, protocols) as client:
        assert json.loads(client.text()) == WELCOME, "no sid: @anycable/core would come back with it"


@pytest.mark.parametrize("protocols", [(V1,), (EXT,)])
def test_frames_in_the_same_segment_as_the_upgrade(
    server: Server, log: str, protocols: Sequence[str]
) -> None:
    names = [identifier(log, n=n) for n in range(3)]
    early = b"".join(frame(TEXT, command("subscribe", name)) for name in names)
    with CableClient(server.address, protocols, early=early) as client:
        client.welcome()
        answers = [client.message() for _ in names]
        assert [(a["identifier"], a["type"]) for a in answers] == [
            (name, "confirm_subscription") for name in names
        ]
        server.publish(log, {"n": 0})
        assert [client.message()["identifier"] for _ in names] == names


@pytest.mark.parametrize("cut", [1, 3, 7, 40])
def test_half_a_frame_in_the_same_segment(server: Server, log: str, cut: int) -> None:
    whole = frame(TEXT, command("subscribe", identifier(log)))
    with CableClient(server.address, early=whole[:cut]) as client:
        client.welcome()
        client.wire.send(whole[cut:])
        assert client.message()["type"] == "confirm_subscription"


def test_frames_before_the_welcome_are_handled_in_order(server: Server, log: str) -> None:
    name = identifier(log)
    commands = [
        command("subscribe", name),
        command("unsubscribe", name),
        command("subscribe", name),
        command("nope"),
    ]
    early = b"".join(frame(TEXT, text) for text in commands) + frame(BINARY, b"\x00") + frame(TEXT, "{")
    with CableClient(server.address, early=early) as client:
        client.welcome()
        confirmed = [got for got in client.fence() if got.get("type") == "confirm_subscription"]
        assert len(confirmed) == 2
        server.publish(log, {"n": 0})
        assert client.message()["message"] == {"n": 0}
        assert client.fence() == [], "one copy only"


def test_a_large_first_segment(server: Server, log: str) -> None:
    """More than one read of the server's, all behind the upgrade request."""
    early = b"".join(
        frame(TEXT, command("subscribe", identifier(log, n=n, pad="x" * 900))) for n in range(32)
    )
    early += frame(TEXT, "y" * 60_000) * 3
    with CableClient(server.address, early=early) as client:
        client.welcome()
        assert [client.message()["type"] for _ in range(32)] == ["confirm_subscription"] * 32
