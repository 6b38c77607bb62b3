"""The cable handshake on the wire (protocol §2): subprotocols, the upgrade, frames that come with it.

Origins are in test_origins.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from websockets.sync.client import connect

from tests.live.cable import BINARY, EXT, STOCK, TEXT, V1, CableClient, command, frame, identifier, upgrade
from tests.live.conftest import Servers
from tests.live.server import Server
from tests.live.wire import Wire, read_head, request_bytes, until

WELCOME = {"type": "welcome"}
KEY = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")  # of RFC 6455 section 1.3
VERSION = ("sec-websocket-version", "13")


# --- subprotocols


@pytest.mark.parametrize(
    ("offer", "chosen"), [(STOCK, V1), ((V1, EXT), EXT), (("graphql-ws",), None), ((), None)]
)
def test_the_subprotocol_is_echoed(
    server: Server, log: str, offer: Sequence[str], chosen: str | None
) -> None:
    """The welcome is the same on each: a `sid` would make @anycable/core come back with it."""
    with CableClient(server.address, offer) as client:
        assert client.protocol == chosen
        assert json.loads(client.text()) == WELCOME
        assert client.subscribe(identifier(log))["type"] == "confirm_subscription"
        server.publish(log, {"n": 0})
        triple = {"stream_id", "epoch", "offset"} if chosen == EXT else set()
        assert client.message().keys() == {"identifier", "message"} | triple


def test_an_offer_may_come_in_several_headers(server: Server) -> None:
    lines = [("sec-websocket-protocol", "graphql-ws"), ("sec-websocket-protocol", f"{V1},{EXT}")]
    with CableClient(server.address, (), lines) as client:
        assert client.protocol == EXT


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


def test_a_broken_handshake_is_refused(server: Server) -> None:
    """RFC 6455 section 4.2: 400 or 426, never 101 and never a 500."""
    short_key = ("sec-websocket-key", "too short")
    for broken in ([("sec-websocket-version", "8"), KEY], [VERSION], [VERSION, short_key], [KEY],
                   [VERSION, KEY, ("sec-websocket-key", "x")]):  # fmt: skip
        lines = [("host", server.address.netloc), ("upgrade", "websocket"), ("connection", "Upgrade")]
        wire = Wire(server.address.connect())
        wire.send(request_bytes("GET", "/cable", [*lines, *broken]))
        assert 400 <= read_head(wire).status < 500, broken
        wire.close()


def test_an_upgrade_on_another_path_is_refused(server: Server) -> None:
    wire = Wire(server.address.connect())
    lines = [("host", server.address.netloc), ("upgrade", "websocket"), ("connection", "Upgrade"), VERSION]
    wire.send(request_bytes("GET", "/nocable", [*lines, KEY]))
    assert read_head(wire).status in (403, 404)
    wire.close()


def test_the_upgrade_in_single_bytes(server: Server) -> None:
    wire = Wire(server.address.connect())
    connection = ("connection", "keep-alive, Upgrade")
    lines = [("host", server.address.netloc), ("upgrade", "WebSocket"), connection, VERSION, KEY]
    for byte in request_bytes("GET", "/cable", lines):
        wire.send(bytes([byte]))
    head = read_head(wire)
    assert (head.status, head.get("sec-websocket-accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    welcome = json.dumps(WELCOME, separators=(",", ":")).encode()
    assert wire.exactly(2 + len(welcome))[2:] == welcome
    wire.close()


def test_compression_when_it_is_on(servers: Servers, handover: str) -> None:
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


@pytest.mark.parametrize("line", ["Cookie: " + "a" * 12_000, "Content-Length: 00"])
def test_compression_answers_whatever_head_is_served_without_it(
    servers: Servers, handover: str, line: str
) -> None:
    """websockets' own parser has narrower limits than ours, and says nothing to a head that it cannot read."""
    for compression in ("off", "on"):
        server = servers.get(HANDOVER=handover, WS_COMPRESSION=compression)
        wire = Wire(server.address.connect())
        lines = [("host", server.address.netloc), ("upgrade", "websocket"), ("connection", "Upgrade")]
        name, _, value = line.partition(": ")
        wire.send(request_bytes("GET", "/cable", [*lines, VERSION, KEY, (name, value)]))
        assert read_head(wire).status == 101
        wire.close()


# --- frames that come with the upgrade request


def test_frames_in_the_same_segment(server: Server, log: str) -> None:
    """They are handled in order behind the welcome, also those that are ignored."""
    names = [identifier(log, n=n) for n in range(3)]
    commands = [command("subscribe", name) for name in names]
    commands += [command("unsubscribe", names[0]), command("subscribe", names[0]), command("nope"), "{"]
    early = b"".join(frame(TEXT, text) for text in commands) + frame(BINARY, b"\x00")
    with CableClient(server.address, early=early) as client:
        client.welcome()
        answers = [client.message() for _ in range(4)]
        assert {answer["type"] for answer in answers} == {"confirm_subscription"}
        assert [answer["identifier"] for answer in answers] == [*names, names[0]]
        server.publish(log, {"n": 0})
        assert sorted(client.message()["identifier"] for _ in names) == sorted(names)
        assert client.fence() == [], "one copy each"


def test_half_a_frame_in_the_same_segment(server: Server, log: str) -> None:
    whole = frame(TEXT, command("subscribe", identifier(log)))
    for cut in (1, 3, 7, 40):
        with CableClient(server.address, early=whole[:cut]) as client:
            client.welcome()
            client.wire.send(whole[cut:])
            assert client.message()["type"] == "confirm_subscription"


def test_a_large_first_segment(server: Server, log: str) -> None:
    """More than one read of the server's, all behind the upgrade request."""
    early = b"".join(
        frame(TEXT, command("subscribe", identifier(log, n=n, pad="x" * 900))) for n in range(32)
    )
    early += frame(TEXT, "y" * 60_000) * 3
    with CableClient(server.address, early=early) as client:
        client.welcome()
        assert [client.message()["type"] for _ in range(32)] == ["confirm_subscription"] * 32
