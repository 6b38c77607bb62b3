"""bench/load/frames.py: RFC 6455 to the letter, with the websockets library as the other side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as Sent
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side, State

from bench.load import frames
from bench.load.frames import BINARY, CLOSE, PING, TEXT, Frame, Frames
from bench.load.wire import WireError

pieces = st.lists(st.binary(max_size=300), min_size=1, max_size=4)


def whole(first: int, body: bytes = b"") -> bytes:
    return bytes((first, len(body))) + body


def sent(fragments: list[bytes], server: Protocol) -> None:
    """One message of the library's server in these fragments, a ping behind each."""
    server.send_text(fragments[0], fin=len(fragments) == 1)
    for number, fragment in enumerate(fragments[1:], 2):
        server.send_ping(b"%d" % number)
        server.send_continuation(fragment, fin=number == len(fragments))


@given(messages=st.lists(pieces, max_size=4), cut=st.integers(1, 50))
def test_what_a_server_sends_is_put_together(messages: list[list[bytes]], cut: int) -> None:
    server = Protocol(Side.SERVER, state=State.OPEN)
    for fragments in messages:
        sent(fragments, server)
    stream = b"".join(server.data_to_send())
    reader = Frames()
    found = [one for at in range(0, len(stream), cut) for one in reader.feed(stream[at : at + cut])]
    assert [one.payload for one in found if one.opcode == TEXT] == [b"".join(parts) for parts in messages]
    assert sum(one.opcode == PING for one in found) == sum(len(parts) - 1 for parts in messages)
    assert reader.at_border


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (whole(0x91), "reserved bit"),
        (whole(0xC1), "reserved bit"),
        (b"\x81\x80", "masked"),
        (whole(0x83), "reserved opcode: 3"),
        (whole(0x8B), "reserved opcode: 11"),
        (whole(0x80, b"x"), "continuation of nothing"),
        (whole(0x01, b"a") + whole(0x81, b"b"), "before the last fragment"),
        (whole(0x09, b"x"), "control frame that is fragmented"),
        (b"\x89\x7e\x00\x7e" + bytes(126), "longer than 125"),
        (b"\x81\x7f" + (1 << 40).to_bytes(8), "more than"),
    ],
)
def test_faults_are_named(stream: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        Frames().feed(stream)


def test_fragments_may_not_grow_without_end() -> None:
    reader, fragment = Frames(), b"\x00\x7f" + (1 << 23).to_bytes(8) + bytes(1 << 23)
    reader.feed(b"\x01" + fragment[1:])
    reader.feed(fragment)
    with pytest.raises(WireError, match="more than"):
        reader.feed(fragment)


@pytest.mark.parametrize(
    ("stream", "why"),
    [(whole(0xC0), "reserved bit"), (whole(0xC9), "reserved bit"), (whole(0xA1), "reserved bit")],
)
def test_with_compression_only_the_first_frame_of_a_message_is_marked(stream: bytes, why: str) -> None:
    reader = Frames(compression=True)
    assert reader.feed(whole(0x41, b"a") + whole(0x80, b"b")) == [Frame(TEXT, b"ab", True)]
    assert reader.feed(whole(0xC2, b"c")) == [Frame(BINARY, b"c", True)]
    with pytest.raises(WireError, match=why):
        reader.feed(stream)


@pytest.mark.parametrize("length", [0, 5, 125, 126, 65535, 65536])
def test_what_clients_send_is_read_by_an_independent_parser(length: int) -> None:
    server = Protocol(Side.SERVER, state=State.OPEN, max_size=100_000)
    server.receive_data(frames.frame(TEXT, b"a" * length))
    (event,) = server.events_received()
    assert isinstance(event, Sent)
    assert (event.opcode, event.data) == (Opcode.TEXT, b"a" * length)


@pytest.mark.parametrize(
    ("body", "words"), [(b"", "no code"), (b"\x03\xe8", "1000"), (b"\x03\xe9going away", "1001 going away")]
)
def test_why_a_server_closes(body: bytes, words: str) -> None:
    assert Frames().feed(whole(0x88, body)) == [Frame(CLOSE, body)]
    assert frames.close_reason(body) == words


def test_half_a_code_is_a_fault() -> None:
    with pytest.raises(WireError, match="half a code"):
        frames.close_reason(b"\x03")


@pytest.mark.parametrize("size", [0, 2, 125, 126, 65535, 65536])
def test_the_short_way_reads_what_the_long_way_reads(size: int) -> None:
    server = Protocol(Side.SERVER, state=State.OPEN, max_size=None)
    server.send_text(bytes(size))
    plain = b"".join(server.data_to_send())
    data = bytes((plain[0] | 0x40,)) + plain[1:]
    found = frames.only_message(data)
    assert found == (bytes(size) if 2 <= size < 65536 else None)
    assert Frames(compression=True).feed(data) == [Frame(TEXT, bytes(size), True)]
    for other in (plain, data[:-1], data + b"\xc1", data + data, b"\x41" + data[1:]):
        assert frames.only_message(other) is None
