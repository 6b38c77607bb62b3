"""bench/cable.py: the same updates whatever the pieces in which the bytes arrive."""

from __future__ import annotations

import orjson
import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from bench import cable, payload
from bench.cable import ACCEPT, CableParser
from bench.payload import Stamp
from bench.wire import Batch, Control, Memo, WireError

IDENTIFIER = '{"channel":"DashboardUpdatesChannel","stream":"bench"}'
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: %b\r\n" % ACCEPT.encode()
HEAD = UPGRADE + b"sec-websocket-protocol: actioncable-v1-json\r\n\r\n"


def frame(body: bytes, first: int = 0x81) -> bytes:
    if len(body) < 126:
        return bytes((first, len(body))) + body
    if len(body) < 65536:
        return bytes((first, 126)) + len(body).to_bytes(2) + body
    return bytes((first, 127)) + len(body).to_bytes(8) + body


def message(seq: int, size: int = 350) -> bytes:
    text = payload.stamped(payload.update(seq, seq * 1000, size), seq * 1000 + 1)
    return b'{"identifier":%b,"message":%b}' % (orjson.dumps(IDENTIFIER), text)


def parser(memo: Memo | None = None) -> CableParser:
    return CableParser(memo or Memo(), IDENTIFIER, "actioncable-v1-json")


def gathered(one: CableParser, pieces: list[bytes]) -> Batch:
    batches = [one.feed(piece) for piece in pieces]
    return Batch(
        tuple(stamp for batch in batches for stamp in batch.updates),
        tuple(control for batch in batches for control in batch.controls),
    )


def stamps(*numbers: int) -> tuple[Stamp, ...]:
    return tuple(Stamp(seq, seq * 1000, seq * 1000 + 1) for seq in numbers)


STREAM = HEAD + frame(b'{"type":"welcome"}') + frame(message(1)) + frame(b"", 0x89) + frame(message(2))


def test_split_at_every_byte() -> None:
    for at in range(1, len(STREAM)):
        found = gathered(parser(), [STREAM[:at], STREAM[at:]])
        assert found.updates == stamps(1, 2), at
        assert [control.name for control in found.controls] == ["welcome", "ws_ping"], at


def test_byte_by_byte() -> None:
    assert gathered(parser(), [STREAM[at : at + 1] for at in range(len(STREAM))]).updates == stamps(1, 2)


@pytest.mark.parametrize("size", [350, 70_000])
def test_all_widths_of_a_length(size: int) -> None:
    assert gathered(parser(), [HEAD, frame(message(1, size)), frame(message(2))]).updates == stamps(1, 2)


def test_fragments_with_a_ping_between() -> None:
    body = message(1)
    pieces = [frame(body[:100], 0x01), frame(b"", 0x89), frame(body[100:200], 0x00), frame(body[200:], 0x80)]
    found = gathered(parser(), [HEAD, *pieces, frame(message(2))])
    assert found == Batch(stamps(1, 2), (Control("ws_ping", ""),))


def test_a_read_seen_before_answers_the_same() -> None:
    memo = Memo()
    first, second = parser(memo), parser(memo)
    for one in (first, second):
        one.feed(HEAD)
    assert first.feed(frame(message(1))) is second.feed(frame(message(1)))


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP 404"),
        (UPGRADE + b"\r\n", "another subprotocol: None"),
        (HEAD[:-2] + b"sec-websocket-extensions: permessage-deflate\r\n\r\n", "extension nobody offered"),
        (HEAD + frame(b"{}", 0xC1), "reserved bit"),
        (HEAD + b"\x81\x82", "masked"),
        (HEAD + frame(b"x", 0x80), "continuation"),
        (HEAD + frame(b"{oops"), "not JSON"),
        (HEAD + frame(b'{"identifier":"other","message":{}}'), "another subscription"),
    ],
)
def test_a_broken_server_is_named(stream: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        parser().feed(stream)


@pytest.mark.parametrize("length", [0, 5, 125, 126, 65535, 65536])
def test_what_clients_send_is_read_by_an_independent_parser(length: int) -> None:
    server = Protocol(Side.SERVER, state=State.OPEN, max_size=100_000)
    server.receive_data(cable.frame(cable.TEXT, b"a" * length))
    (event,) = server.events_received()
    assert isinstance(event, Frame)
    assert (event.opcode, event.data) == (Opcode.TEXT, b"a" * length)


def test_the_subscribe_command() -> None:
    server = Protocol(Side.SERVER, state=State.OPEN)
    server.receive_data(cable.subscribe(IDENTIFIER))
    (event,) = server.events_received()
    assert isinstance(event, Frame)
    assert orjson.loads(event.data) == {"command": "subscribe", "identifier": IDENTIFIER}
