"""WebSocket frames below Action Cable (protocol §2, RFC 6455): sizes, fragments, text, faults, pings, the close."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import pytest

from tests.live.cable import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    CableClient,
    CableClosed,
    Frame,
    command,
    frame,
    identifier,
)
from tests.live.followers import follow
from tests.live.server import Server
from tests.live.wire import Closed, until

LIMIT = 65536  # bytes of a message


@pytest.fixture
def client(server: Server) -> Iterator[CableClient]:
    with CableClient(server.address) as opened:
        opened.welcome()
        yield opened


def closed_with(client: CableClient) -> int | None:
    """The code of the server's close frame; the connection has to end after it."""
    end = client.closed()
    assert client.wire.rest() == b"", "nothing comes after a close"
    return end.code


def code_after(server: Server, data: bytes) -> int | None:
    """The close code that these bytes of a new client cause."""
    with CableClient(server.address) as client:
        client.welcome()
        client.wire.send(data)
        return closed_with(client)


def subscribe_of(size: int) -> str:
    """A valid subscribe of exactly `size` bytes."""
    text = command("subscribe", identifier(), pad="")
    return command("subscribe", identifier(), pad="x" * (size - len(text)))


def next_frame(client: CableClient) -> Frame:
    """The next frame that is no Action Cable ping."""
    while (got := client.frame()).opcode == TEXT:
        assert json.loads(got.payload)["type"] == "ping"
    return got


# --- sizes


def test_messages_up_to_64_kib_are_read(client: CableClient) -> None:
    """At every size at which the length field changes."""
    for size in (125, 126, 127):
        client.send(command("ping", pad="")[:-2] + "x" * (size - 30) + '"}')
    client.fence()
    for size in (65535, LIMIT):
        client.send(subscribe_of(size))
        assert client.message()["type"] == "confirm_subscription"


def test_messages_above_64_kib_close_1009(server: Server) -> None:
    """In one frame, in fragments, and before the bytes come that a length announces."""
    for opcode in (TEXT, BINARY):
        assert code_after(server, frame(opcode, b"x" * (LIMIT + 1))) == 1009
    assert code_after(server, frame(TEXT, b"x" * 10 * LIMIT)[: LIMIT + 1000]) == 1009
    halves = frame(TEXT, b"x" * 40_000, fin=False) + frame(CONTINUATION, b"x" * 40_000)
    assert code_after(server, halves) == 1009
    assert code_after(server, struct.pack("!BBQ", 0x81, 0xFF, 2**62) + b"abcd") == 1009


# --- text


def test_text_that_is_not_utf8_closes_1007(server: Server) -> None:
    for bad in (b"\xff", b"{\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf"):
        assert code_after(server, frame(TEXT, bad)) == 1007, bad
    fragments = frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"A")
    assert code_after(server, fragments) == 1007
    reason = frame(CLOSE, struct.pack("!H", 1000) + b"\xff")
    assert code_after(server, reason) in (1002, 1007)


def test_a_character_may_be_split_between_fragments(client: CableClient) -> None:
    name = json.dumps({"channel": "DashboardUpdatesChannel", "letter": "€"}, ensure_ascii=False)
    data = json.dumps({"command": "subscribe", "identifier": name}, ensure_ascii=False).encode()
    cut = data.index("€".encode()) + 1
    client.wire.send(frame(TEXT, data[:cut], fin=False) + frame(CONTINUATION, data[cut:]))
    assert client.message()["identifier"] == name


# --- faults

FAULTS = {
    "unmasked": frame(TEXT, "{}", masked=False),
    "reserved bit 1": frame(TEXT, "{}", rsv=4),
    "reserved bit 2": frame(TEXT, "{}", rsv=2),
    "reserved bit 3": frame(TEXT, "{}", rsv=1),
    "reserved data opcode": frame(3, "{}"),
    "reserved control opcode": frame(11, b""),
    "continuation of nothing": frame(CONTINUATION, "{}"),
    "text inside a message": frame(TEXT, "{", fin=False) + frame(TEXT, "}"),
    "long ping": frame(PING, b"x" * 126),
    "fragmented ping": frame(PING, b"x", fin=False),
    "close of one byte": frame(CLOSE, b"\x03"),
    "close with a reserved code": frame(CLOSE, struct.pack("!H", 1005)),
    "close with a code out of range": frame(CLOSE, struct.pack("!H", 999)),
}


def test_faults_close_1002_and_do_not_disturb_others(server: Server, log: str) -> None:
    with follow("cable-v1", server.address, log) as other, follow("sse", server.address, log) as sse:
        for n, (name, fault) in enumerate(FAULTS.items()):
            with CableClient(server.address, early=fault if n % 2 else b"") as client:
                if not n % 2:
                    client.wire.send(fault)
                assert closed_with(client) == 1002, name
            server.publish(log, {"n": n})
        assert other.numbers(len(FAULTS)) == sse.numbers(len(FAULTS)) == list(range(len(FAULTS)))


# --- pings and fragments


def test_a_ping_is_answered_with_its_payload(client: CableClient) -> None:
    for payload in (b"", b"hello", bytes(range(125))):
        client.wire.send(frame(PONG, b"unsolicited, to be ignored") + frame(PING, payload))
        got = next_frame(client)
        assert (got.opcode, got.payload, got.fin) == (PONG, payload, True)
    assert client.fence() == []


def test_a_message_in_fragments_with_a_ping_between(server: Server, client: CableClient, log: str) -> None:
    data = command("subscribe", identifier(log)).encode()
    client.wire.send(frame(TEXT, data[:5], fin=False) + frame(PING, b"in between"))
    client.wire.send(frame(CONTINUATION, data[5:20], fin=False) + frame(CONTINUATION, b"", fin=False))
    client.wire.send(frame(CONTINUATION, data[20:]))
    got = next_frame(client)
    assert (got.opcode, got.payload) == (PONG, b"in between")
    assert client.message()["type"] == "confirm_subscription"
    server.publish(log, {"n": 0})
    assert client.message()["message"] == {"n": 0}


def test_a_frame_in_single_bytes(client: CableClient, log: str) -> None:
    for byte in frame(TEXT, command("subscribe", identifier(log))):
        client.wire.send(bytes([byte]))
    assert client.message()["type"] == "confirm_subscription"


def test_many_frames_in_one_segment(client: CableClient, log: str) -> None:
    commands = [command("subscribe" if n % 2 == 0 else "unsubscribe", identifier(log)) for n in range(300)]
    client.wire.send(b"".join(frame(TEXT, text) for text in commands))
    answers = client.fence()
    assert {one["type"] for one in answers} == {"confirm_subscription"}
    assert len(answers) == 150


# --- the close handshake


def test_a_close_is_echoed_and_the_connection_ends(server: Server) -> None:
    for code in (1000, 1001, 3000, 4999):
        assert code_after(server, frame(CLOSE, struct.pack("!H", code) + "tschüß".encode())) == code
    assert code_after(server, frame(CLOSE)) in (None, 1000, 1005)
    until(lambda: server.connections("cable") == 0, "all are forgotten")


def test_commands_behind_a_close_are_not_answered(client: CableClient) -> None:
    late = frame(TEXT, command("subscribe", identifier("no_such_stream")))
    client.wire.send(frame(CLOSE, struct.pack("!H", 1000)) + late)
    with pytest.raises(CableClosed) as end:
        client.message()
    assert end.value.code == 1000
    assert client.wire.rest() == b""


def test_a_half_closed_socket_ends(server: Server, client: CableClient) -> None:
    client.wire.sock.shutdown(1)
    with pytest.raises((Closed, CableClosed)):
        while True:
            client.text()
    until(lambda: server.connections("cable") == 0, "it is forgotten")


def test_a_client_that_sends_pings_and_never_reads_is_not_read_either(server: Server) -> None:
    """Its pongs would pile up in memory: the server stops reading, and the client's own sends block."""
    with CableClient(server.address, rcvbuf=4096) as client:
        client.welcome()
        client.wire.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            for _ in range(2000):
                client.wire.send(frame(PING, b"x" * 125) * 200)
