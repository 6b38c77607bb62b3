"""Protocol §2, the frames below Action Cable (RFC 6455): sizes, fragments, text, faults, pings, the close handshake."""

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
    command,
    frame,
    identifier,
)
from tests.live.conftest import Servers
from tests.live.followers import follow
from tests.live.server import Server
from tests.live.wire import Closed, until

LIMIT = 65536


@pytest.fixture
def client(server: Server) -> Iterator[CableClient]:
    with CableClient(server.address) as opened:
        opened.welcome()
        yield opened


def end_of(client: CableClient) -> int | None:
    """The code of the server's close frame; the connection has to end after it."""
    end = client.closed()
    assert client.wire.rest() == b"", "nothing comes after a close"
    return end.code


def subscribe_of(size: int) -> str:
    """A valid subscribe of exactly `size` bytes."""
    text = command("subscribe", identifier(), pad="")
    return command("subscribe", identifier(), pad="x" * (size - len(text)))


# --- sizes


@pytest.mark.parametrize("size", [125, 126, 127, 65535, LIMIT])
def test_a_message_up_to_64_kib_is_read(client: CableClient, size: int) -> None:
    text = subscribe_of(size) if size > 127 else command("ping", pad="")[:-2] + "x" * (size - 30) + '"}'
    client.send(text)
    client.fence()


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [LIMIT + 1, 10 * LIMIT])
def test_a_message_above_64_kib_closes_1009(client: CableClient, opcode: int, size: int) -> None:
    client.wire.send(frame(opcode, b"x" * size)[: LIMIT + 1000])
    assert end_of(client) == 1009


def test_fragments_that_add_up_above_64_kib_close_1009(client: CableClient) -> None:
    client.wire.send(frame(TEXT, b"x" * 40_000, fin=False) + frame(CONTINUATION, b"x" * 40_000))
    assert end_of(client) == 1009


def test_a_length_that_lies_closes_1009_before_it_comes(client: CableClient) -> None:
    client.wire.send(struct.pack("!BBQ", 0x81, 0xFF, 2**62) + b"abcd")
    assert end_of(client) == 1009


# --- text


@pytest.mark.parametrize("bad", [b"\xff", b"{\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf"])
def test_text_that_is_not_utf8_closes_1007(client: CableClient, bad: bytes) -> None:
    client.wire.send(frame(TEXT, bad))
    assert end_of(client) == 1007


def test_text_that_is_not_utf8_across_fragments_closes_1007(client: CableClient) -> None:
    client.wire.send(frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"A"))
    assert end_of(client) == 1007


def test_a_letter_may_be_cut_by_a_fragment(client: CableClient) -> None:
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


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_closes_1002(client: CableClient, fault: str) -> None:
    client.wire.send(FAULTS[fault])
    assert end_of(client) == 1002


def test_a_close_reason_that_is_not_utf8_closes_1007(client: CableClient) -> None:
    client.wire.send(frame(CLOSE, struct.pack("!H", 1000) + b"\xff"))
    assert end_of(client) in (1002, 1007)


def test_a_fault_disturbs_nobody_else(server: Server, log: str) -> None:
    with follow("cable-v1", server.address, log) as other, follow("sse", server.address, log) as sse:
        for n, bad in enumerate(FAULTS.values()):
            with CableClient(server.address, early=bad) as client:
                assert end_of(client) == 1002
            server.publish(log, {"n": n})
        assert other.numbers(len(FAULTS)) == sse.numbers(len(FAULTS)) == list(range(len(FAULTS)))


# --- pings and fragments


@pytest.mark.parametrize("payload", [b"", b"hello", bytes(range(125))])
def test_a_ping_is_answered_with_its_payload(client: CableClient, payload: bytes) -> None:
    client.wire.send(frame(PING, payload))
    while (got := client.frame()).opcode == TEXT:
        assert json.loads(got.payload)["type"] == "ping"
    assert (got.opcode, got.payload, got.fin) == (PONG, payload, True)


def test_an_unasked_pong_is_ignored(client: CableClient) -> None:
    client.wire.send(frame(PONG, b"nobody asked"))
    assert client.fence() == []


def test_a_message_in_fragments_with_a_ping_between(server: Server, client: CableClient, log: str) -> None:
    data = command("subscribe", identifier(log)).encode()
    client.wire.send(frame(TEXT, data[:5], fin=False) + frame(PING, b"in between"))
    client.wire.send(frame(CONTINUATION, data[5:20], fin=False) + frame(CONTINUATION, b"", fin=False))
    client.wire.send(frame(CONTINUATION, data[20:]))
    while (got := client.frame()).opcode == TEXT:
        assert json.loads(got.payload)["type"] == "ping"
    assert (got.opcode, got.payload) == (PONG, b"in between")
    assert client.message()["type"] == "confirm_subscription"
    server.publish(log, {"n": 0})
    assert client.message()["message"] == {"n": 0}


def test_frames_in_single_bytes(client: CableClient, log: str) -> None:
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


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_close_is_echoed_and_the_connection_ends(server: Server, client: CableClient, code: int) -> None:
    client.wire.send(frame(CLOSE, struct.pack("!H", code) + "tschüß".encode()))
    assert end_of(client) == code
    until(lambda: server.connections("cable") == 0, "it is forgotten")


def test_a_close_without_a_code(client: CableClient) -> None:
    client.wire.send(frame(CLOSE))
    with pytest.raises(CableClosed) as end:
        while True:
            client.text()
    assert end.value.code in (None, 1000, 1005)
    assert client.wire.rest() == b""


def test_commands_behind_a_close_are_not_answered(client: CableClient) -> None:
    late = frame(TEXT, command("subscribe", identifier("no_such_stream")))
    client.wire.send(frame(CLOSE, struct.pack("!H", 1000)) + late)
    assert end_of(client) == 1000


def test_a_half_closed_socket_ends(server: Server, client: CableClient) -> None:
    client.wire.sock.shutdown(1)
    with pytest.raises((Closed, CableClosed)):
        while True:
            client.text()
    until(lambda: server.connections("cable") == 0, "it is forgotten")


def test_pings_that_nobody_reads_cost_nothing(servers: Servers) -> None:
    """Pongs of a client that sends and never reads must not pile up: it is not read either while it is lagging.

    Only with the handover: without it the pongs are uvicorn's, which knows no such brake.
    """
    server = servers.get(HANDOVER="on")
    with CableClient(server.address, rcvbuf=4096) as client:
        client.welcome()
        client.wire.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            for _ in range(2000):
                client.wire.send(frame(PING, b"x" * 125) * 200)
