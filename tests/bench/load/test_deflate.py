"""deflate.py: messages that websockets' own extension has compressed are inflated, whatever was agreed on."""

from __future__ import annotations

import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol

from bench.load import cable, deflate, payload
from bench.load.cable import CableParser
from bench.load.deflate import Agreement, Inflater
from bench.load.frames import MESSAGE_BYTES, Frames
from bench.load.payload import Stamp
from bench.load.wire import Control, Memo, Wire, WireError

IDENTIFIER = '{"channel":"x"}'
WIRE = Wire("cable+deflate", "127.0.0.1", 4000, "/cable", IDENTIFIER)
NEGOTIATED = {
    "permessage-deflate": (15, True),
    "permessage-deflate; server_max_window_bits=9": (9, True),
    "permessage-deflate; server_no_context_takeover": (15, False),
    'permessage-deflate; client_max_window_bits="12"; server_max_window_bits = "10"': (10, True),
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover;server_max_window_bits=12": (
        12,
        False,
    ),
}


def upgrade(extensions: str) -> bytes:
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {cable.ACCEPT}\r\n"
        f"sec-websocket-protocol: {WIRE.subprotocol}\r\nsec-websocket-extensions: {extensions}\r\n\r\n"
    ).encode()


def message(seq: int) -> bytes:
    text = payload.stamped(payload.update(seq, seq * 1000), seq * 1000 + 1)
    return b'{"identifier":%b,"message":%b}' % (orjson.dumps(IDENTIFIER), text)


def stamps(*numbers: int) -> tuple[Stamp, ...]:
    return tuple(Stamp(seq, seq * 1000, seq * 1000 + 1) for seq in numbers)


def library(agreement: Agreement) -> Protocol:
    """An open server of the websockets library that compresses as agreed."""
    server = Protocol(Side.SERVER, state=State.OPEN, max_size=None)
    bits, takeover = agreement
    server.extensions = [PerMessageDeflate(False, not takeover, 15, bits)]
    return server


def out(server: Protocol) -> bytes:
    return b"".join(server.data_to_send())


def parsers(extensions: str, count: int, memo: Memo) -> list[CableParser]:
    made = [CableParser(memo, WIRE) for _ in range(count)]
    for one in made:
        assert one.feed(upgrade(extensions)).controls == (Control("open", extensions),)
    return made


@pytest.mark.parametrize(("answer", "agreement"), NEGOTIATED.items())
def test_answers(answer: str, agreement: tuple[int, bool]) -> None:
    assert deflate.agreed(answer) == agreement


@pytest.mark.parametrize(
    "answer",
    [
        "permessage-bzip2",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; mystery",
    ],
)
def test_what_is_no_answer_to_the_offer_is_refused(answer: str) -> None:
    with pytest.raises(WireError, match=r"no answer|nobody offered"):
        deflate.agreed(answer)


@pytest.mark.parametrize("extensions", NEGOTIATED)
def test_updates_of_the_library_arrive(extensions: str) -> None:
    memo = Memo()
    server, (first, second) = library(deflate.agreed(extensions)), parsers(extensions, 2, memo)
    for seq in range(1, 40):
        server.send_text(message(seq))
        data = out(server)
        assert len(data) < len(message(seq))
        assert first.feed(data).updates == second.feed(data).updates == stamps(seq)
    assert memo.hits == 39


@pytest.mark.parametrize("extensions", NEGOTIATED)
def test_fragments_with_pings_between_split_at_every_byte(extensions: str) -> None:
    server = library(deflate.agreed(extensions))
    body = message(1)
    server.send_text(body[:100], fin=False)
    server.send_ping(b"hi")
    server.send_continuation(body[100:200], fin=False)
    server.send_continuation(body[200:], fin=True)
    server.send_text(message(2))
    stream = out(server)
    for at in range(1, len(stream)):
        (one,) = parsers(extensions, 1, Memo())
        found = cable.joined([one.feed(stream[:at]), one.feed(stream[at:])])
        assert found.updates == stamps(1, 2), at
        assert found.controls == (Control("ws_ping", "hi"),), at


def test_a_message_that_is_not_compressed_among_those_that_are() -> None:
    server, (one,) = library(Agreement(15, True)), parsers("permessage-deflate", 1, Memo())
    server.send_text(message(1))
    compressed = out(server)
    server.send_text(message(2))
    plain = b"\x81\x7e" + len(message(3)).to_bytes(2) + message(3)
    assert one.feed(compressed + plain + out(server)).updates == stamps(1, 3, 2)


@given(st.lists(st.binary(max_size=2000), max_size=8), st.booleans(), st.integers(9, 15))
def test_any_bytes_come_back(texts: list[bytes], takeover: bool, bits: int) -> None:
    agreement = Agreement(bits, takeover)
    inflater, out_ = Inflater(agreement), PerMessageDeflate(False, not takeover, 15, bits)
    for text in texts:
        compressor = Protocol(Side.SERVER, state=State.OPEN, max_size=None)
        compressor.extensions = [out_]
        compressor.send_binary(text)
        (frame,) = deflate_frames(out(compressor))
        assert inflater.text(frame) == text


def deflate_frames(data: bytes) -> list[bytes]:
    return [one.payload for one in Frames(compression=True).feed(data)]


def test_the_handshake_with_the_library() -> None:
    factory = ServerPerMessageDeflateFactory(server_max_window_bits=10)
    server = ServerProtocol(subprotocols=[WIRE.subprotocol], extensions=[factory])  # type: ignore[list-item]
    server.receive_data(cable.request(WIRE))
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    server.send_text(message(1))
    one = CableParser(Memo(), WIRE)
    found = one.feed(out(server))
    assert found.updates == stamps(1)
    assert found.controls[0].detail.startswith("permessage-deflate; server_max_window_bits=10")


def test_a_server_that_does_not_compress_is_refused() -> None:
    head = upgrade("x").replace(b"sec-websocket-extensions: x\r\n", b"")
    with pytest.raises(WireError, match="not agreed on: turn compression on"):
        CableParser(Memo(), WIRE).feed(head)


def test_bytes_that_do_not_inflate_are_named() -> None:
    (one,) = parsers("permessage-deflate", 1, Memo())
    with pytest.raises(WireError, match="does not inflate"):
        one.feed(b"\xc1\x04\xff\xff\xff\xff")


def test_a_server_that_looks_back_further_than_agreed_is_named() -> None:
    far = zlib.compressobj(wbits=-15)
    noise = bytes(value * 167 % 251 ^ value % 256 for value in range(2000))
    texts = [(far.compress(noise) + far.flush(zlib.Z_SYNC_FLUSH))[:-4] for _ in range(2)]
    inflater = Inflater(Agreement(9, True))
    assert inflater.text(texts[0]) == noise
    with pytest.raises(WireError, match="too far back"):
        inflater.text(texts[1])


def test_a_message_out_of_proportion_is_named() -> None:
    bomb = zlib.compressobj(wbits=-15)
    data = (bomb.compress(bytes(MESSAGE_BYTES + 1)) + bomb.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with pytest.raises(WireError, match="inflates to more than"):
        Inflater(Agreement(15, True)).text(data)


@pytest.mark.parametrize("takeover", [True, False])
def test_a_final_block(takeover: bool) -> None:
    once = zlib.compressobj(wbits=-15)
    data = once.compress(b"hello") + once.flush(zlib.Z_FINISH)
    inflater = Inflater(Agreement(15, takeover))
    if takeover:
        with pytest.raises(WireError, match="final deflate block"):
            inflater.text(data)
    else:
        assert [inflater.text(data), inflater.text(data)] == [b"hello", b"hello"]
