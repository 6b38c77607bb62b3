"""bench/crosscheck, the C tool, against servers that answer garbage, byte by byte, or half."""

from __future__ import annotations

import os
import socket
import socketserver
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from tests.bench.crosscheck.streams import (
    BINARY,
    CABLE_HEAD,
    IDENTIFIER,
    PING,
    SSE_HEAD,
    UPGRADE,
    Dripping,
    chunk,
    frame,
    serving,
    until_it_leaves,
)
from tests.bench.crosscheck.tool import TRANSPORTS, books, measure

pytestmark = [pytest.mark.live, pytest.mark.slow]

GARBAGE = [
    ("sse", b"hello\r\n", "not an HTTP response: 'hello"),
    ("sse", b"", "the server ended the connection"),
    ("sse", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "the stream was refused: HTTP 404"),
    ("sse", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n", "HTTP 200, text/html"),
    ("sse", SSE_HEAD[:-2] + b"content-encoding: gzip\r\n\r\n", "compression nobody asked for: gzip"),
    ("sse", SSE_HEAD + b"zz\r\n", "chunks that are not framed"),
    ("sse", SSE_HEAD + b"3\r\nabcd\r\n", "chunks that are not framed"),
    ("sse", SSE_HEAD + b"f" * 16 + b"\r\n", "chunks that are not framed"),
    ("sse", SSE_HEAD + chunk(b"data: {oops\n\n"), "not JSON: '{oops'"),
    ("sse", SSE_HEAD + chunk(b"event: goodbye\ndata: {}\n\n"), "ended the connection"),
    ("sse", SSE_HEAD + b"0\r\n\r\n", "ended the connection"),
    ("sse", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 4000, "a response head of more than 16 KiB"),
    ("cable", b"HTTP/1.1 404 Not Found\r\n\r\n", "the upgrade was refused: HTTP 404"),
    ("cable", CABLE_HEAD.replace(b"s3pP", b"AAAA"), "a wrong sec-websocket-accept"),
    (
        "cable",
        CABLE_HEAD.replace(b"v1-json", b"v1-ext-json"),
        "another subprotocol: 'actioncable-v1-ext-json'",
    ),
    (
        "cable",
        UPGRADE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        "an extension nobody offered",
    ),
    ("cable", CABLE_HEAD + b"\xc1\x02{}", "a reserved bit"),
    ("cable", CABLE_HEAD + b"\x81\x82", "a masked frame"),
    ("cable", CABLE_HEAD + b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "a frame of more than 16 MiB"),
    ("cable", CABLE_HEAD + frame(b"x", 0), "a continuation of nothing"),
    ("cable", CABLE_HEAD + frame(b"{", final=False) + frame(b"}"), "a new message inside another"),
    ("cable", CABLE_HEAD + frame(b"x" * 126, PING), "a control frame that is too long"),
    ("cable", CABLE_HEAD + frame(b"{}", BINARY), "a frame of kind 2"),
    ("cable", CABLE_HEAD + frame(b"]["), "not JSON"),
    ("cable", CABLE_HEAD + frame(b'{"a":"'), "not JSON"),
    ("cable", CABLE_HEAD + frame(b'{"type":"reject_subscription"}'), "the subscription was rejected"),
    ("cable", CABLE_HEAD + frame(b'{"type":"disconnect","reconnect":true}'), "ended the connection"),
]


@pytest.mark.parametrize(("transport", "answer", "why"), GARBAGE)
def test_garbage_is_named(checked: Path, transport: str, answer: bytes, why: str) -> None:
    class Garbage(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                self.request.recv(65536)
                self.request.sendall(answer)
                if answer:
                    until_it_leaves(self.request)

    with serving(Garbage) as port:
        outcome = measure(checked, port, os.getpid(), transport, clients=1)
    assert (outcome.status, outcome.found) == (3, {})
    assert why in outcome.said


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_writes_byte_by_byte(checked: Path, transport: str) -> None:
    class Handler(Dripping):
        pass

    Handler.transport = transport
    with serving(Handler) as port:
        outcome = measure(checked, port, os.getpid(), transport, "--size", "200", clients=1)
    assert (outcome.status, outcome.found["deliveries"], *books(outcome)) == (0, 20, 0, 0, 0, 0), outcome.said
    if transport == "cable":
        assert read_by_another(Handler.heard) == [
            (Opcode.TEXT, {"command": "subscribe", "identifier": IDENTIFIER}),
            (Opcode.PONG, "hey"),
        ]


def read_by_another(data: bytes) -> list[tuple[Opcode, object]]:
    """What a client said, by an independent parser."""
    server = Protocol(Side.SERVER, state=State.OPEN)
    server.receive_data(data)
    frames = [event for event in server.events_received() if isinstance(event, Frame)]
    return [
        (one.opcode, orjson.loads(one.data) if one.opcode is Opcode.TEXT else bytes(one.data).decode())
        for one in frames
    ]


def test_a_refused_publish_is_no_measurement(plain: Path) -> None:
    class Refusing(Dripping):
        status = b"401 Unauthorized"

    with serving(Refusing) as port:
        outcome = measure(plain, port, os.getpid(), "sse", clients=1)
    assert outcome.status == 3
    assert "answered with HTTP 401: are --token and --stream right" in outcome.said


@pytest.mark.parametrize(("last", "expected"), [(1, (39, 0, 0, 1)), (40, (0, 0, 0, 1))])
def test_a_server_that_hangs_up_is_wrong(checked: Path, last: int, expected: tuple[int, ...]) -> None:
    """Also when all was delivered before."""

    class Leaving(Dripping):
        def deliver(self, update: bytes) -> None:
            seq = orjson.loads(update)["seq"]
            if seq <= last:
                super().deliver(update)
            if seq == last:
                self.subscriber.shutdown(socket.SHUT_RDWR)

    with serving(Leaving) as port:
        outcome = measure(checked, port, os.getpid(), "sse", clients=1)
    assert outcome.status == 1
    assert books(outcome) == expected
    assert "client 0 is lost: the server ended the connection" in outcome.said


@pytest.mark.parametrize(
    ("another", "status", "why"),
    [
        (b'{"seq":7,"t":5}', 0, ""),
        (b'{"seq":1,"t":999999999999999999}', 3, "give this run a stream of its own"),
        (b'{"figures":[]}', 0, ""),
    ],
)
def test_an_update_that_was_not_published_here(checked: Path, another: bytes, status: int, why: str) -> None:
    """An old one is what a state stream begins with, and may come late; a new one is another publisher's."""

    class Busy(Dripping):
        def deliver(self, update: bytes) -> None:
            super().deliver(another)
            super().deliver(update)

    with serving(Busy) as port:
        outcome = measure(checked, port, os.getpid(), "sse", "--seconds", "0.2", clients=1)
    assert outcome.status == status, outcome.said
    assert why in outcome.said
