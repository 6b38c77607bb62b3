"""bench/load/cable.py: the same updates whatever the pieces in which the bytes arrive."""

from __future__ import annotations

import orjson
import pytest
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol

from bench.load import cable, payload
from bench.load.cable import ACCEPT, CableParser
from bench.load.payload import Stamp
from bench.load.wire import EXTENDED, Batch, Control, Memo, Wire, WireError

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


def wire(transport: str = "cable") -> Wire:
    return Wire(transport, "127.0.0.1", 4000, "/cable", IDENTIFIER)


def parser(memo: Memo | None = None, transport: str = "cable") -> CableParser:
    return CableParser(memo or Memo(), wire(transport))


def gathered(one: CableParser, pieces: list[bytes]) -> Batch:
    return cable.joined([one.feed(piece) for piece in pieces])


def stamps(*numbers: int) -> tuple[Stamp, ...]:
    return tuple(Stamp(seq, seq * 1000, seq * 1000 + 1) for seq in numbers)


OPEN = Control("open", "none")
STREAM = HEAD + frame(b'{"type":"welcome"}') + frame(message(1)) + frame(b"hi", 0x89) + frame(message(2))


def test_split_at_every_byte() -> None:
    for at in range(1, len(STREAM)):
        found = gathered(parser(), [STREAM[:at], STREAM[at:]])
        assert found.updates == stamps(1, 2), at
        assert [control.name for control in found.controls] == ["open", "welcome", "ws_ping"], at
        assert found.controls[-1].detail == "hi", at


def test_byte_by_byte() -> None:
    assert gathered(parser(), [STREAM[at : at + 1] for at in range(len(STREAM))]).updates == stamps(1, 2)


@pytest.mark.parametrize("size", [350, 70_000])
def test_all_widths_of_a_length(size: int) -> None:
    assert gathered(parser(), [HEAD, frame(message(1, size)), frame(message(2))]).updates == stamps(1, 2)


def test_fragments_with_a_ping_between() -> None:
    body = message(1)
    pieces = [frame(body[:100], 0x01), frame(b"", 0x89), frame(body[100:200], 0x00), frame(body[200:], 0x80)]
    found = gathered(parser(), [HEAD, *pieces, frame(message(2))])
    assert found == Batch(stamps(1, 2), (OPEN, Control("ws_ping", "")), "")


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
        (HEAD + frame(b"[1]"), "not a JSON object"),
        (HEAD + frame(b"\xff"), "not JSON"),
        (HEAD.replace(ACCEPT.encode(), b"AAAA"), "upgrade was refused"),
        (HEAD + frame(b'{"identifier":"other","message":{}}'), "another subscription"),
    ],
)
def test_a_broken_server_is_named(stream: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        parser().feed(stream)


def test_positions_of_the_extended_protocol() -> None:
    one = parser(transport="cable+ext")
    one.feed(HEAD.replace(b"actioncable-v1-json", EXTENDED.encode()))
    confirm = b'{"identifier":"x","type":"confirm_subscription","verdict":"fresh","position":"e-4"}'
    assert one.feed(frame(confirm)).position == "e-4"
    assert one.feed(frame(b'{"type":"ping","message":1}')).position is None
    place = b',"stream_id":"s","epoch":"e","offset":5}'
    assert one.feed(frame(message(1)[:-1] + place)) == Batch(stamps(1), (), "e-5")


def test_on_the_base_protocol_an_update_makes_the_position_unknown() -> None:
    one = parser()
    one.feed(HEAD)
    found = one.feed(frame(b'{"type":"confirm_subscription","position":"e-4"}') + frame(message(1)))
    assert found.position == ""


def test_what_a_close_frame_says() -> None:
    found = gathered(parser(), [HEAD, frame(b"\x03\xe9going", 0x88)])
    assert found.controls[-1] == Control("close", "1001 going")


@pytest.mark.parametrize("transport", ["cable", "cable+ext", "cable+deflate"])
def test_an_independent_server_accepts_the_handshake(transport: str) -> None:
    asked = wire(transport)._replace(headers=(("X-One", "1"),))
    server = ServerProtocol(subprotocols=[asked.subprotocol])  # type: ignore[list-item]
    server.receive_data(cable.request(asked))
    (request,) = server.events_received()
    assert isinstance(request, Request)
    assert (request.path, request.headers["X-One"]) == ("/cable", "1")
    assert ("Sec-WebSocket-Extensions" in request.headers) == (transport == "cable+deflate")
    server.send_response(server.accept(request))
    one = CableParser(Memo(), asked._replace(transport="cable", protocol=asked.subprotocol))
    assert one.feed(b"".join(server.data_to_send())).controls == (OPEN,)


def command(data: bytes) -> object:
    server = Protocol(Side.SERVER, state=State.OPEN)
    server.receive_data(data)
    (event,) = server.events_received()
    assert isinstance(event, Frame)
    found: object = orjson.loads(event.data)
    return found


def test_the_subscribe_command() -> None:
    asked = {"command": "subscribe", "identifier": IDENTIFIER}
    assert command(cable.subscribe(IDENTIFIER)) == asked
    assert command(cable.subscribe(IDENTIFIER, "e-9")) == {**asked, "last_event_id": "e-9"}
