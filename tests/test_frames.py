"""frames: the bytes of both wires, and what is made of anything a client may send."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from dashboard_rt import frames
from dashboard_rt.frames import (
    SSE_CHUNKED,
    SSE_IDENTITY,
    WRITE_BYTES,
    CableWire,
    Wire,
    pieces,
)
from dashboard_rt.types import Position, Update, Verdict

CHANNEL = '{"channel":"DashboardUpdatesChannel"}'
TWO = [Update("s", 8, '{"n":8}'), Update("s", 9, '"é"')]


# ---- Server-Sent Events


def test_an_update_is_an_id_line_and_a_data_line() -> None:
    assert SSE_IDENTITY.encode(TWO, "k3").decode() == 'id: k3-8\ndata: {"n":8}\n\nid: k3-9\ndata: "é"\n\n'


def test_a_batch_is_one_chunk_counted_in_bytes() -> None:
    payload = SSE_IDENTITY.encode(TWO, "k3")
    assert SSE_CHUNKED.encode(TWO, "k3") == f"{len(payload):x}\r\n".encode() + payload + b"\r\n"
    assert (SSE_CHUNKED.end, SSE_IDENTITY.end) == (b"0\r\n\r\n", b"")


def test_the_verdict_is_the_event_of_the_protocol() -> None:
    assert frames.sse_verdict(Verdict.GAP, Position("k3", 7), 1, None) == (
        'event: verdict\nid: k3-7\ndata: {"verdict":"gap","position":"k3-7","replaying":1,"missed":null}\n\n'
    )


def test_heartbeat_goodbye_and_retry() -> None:
    assert frames.sse_heartbeat("2026-01-01T00:00:00.000Z", Position("k3", 7)) == (
        'event: heartbeat\nid: k3-7\ndata: {"time":"2026-01-01T00:00:00.000Z","position":"k3-7"}\n\n'
    )
    assert frames.sse_goodbye("server_restart", 2310) == (
        'retry: 2310\nevent: goodbye\ndata: {"reason":"server_restart","retry_ms":2310}\n\n'
    )
    assert frames.sse_retry(1500) == "retry: 1500\n\n"


# ---- Action Cable


def test_a_data_frame_is_identifier_and_message_and_on_ext_its_place() -> None:
    base, ext = CableWire(CHANNEL, False, False), CableWire(CHANNEL, True, False)
    assert [json.loads(line) for line in base.encode(TWO, "k3").splitlines()] == [
        {"identifier": CHANNEL, "message": {"n": 8}},
        {"identifier": CHANNEL, "message": "é"},
    ]
    assert json.loads(ext.encode(TWO[:1], "k3")) == {
        "identifier": CHANNEL,
        "message": {"n": 8},
        "stream_id": "s",
        "epoch": "k3",
        "offset": 8,
    }
    assert json.loads(ext.answer(TWO[0])) == {"identifier": CHANNEL, "message": {"n": 8}}


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_raw_frames_are_unmasked_text_frames(size: int) -> None:
    payload = "x" * size
    reader = StreamReader()
    reader.feed_data(frames.cable_frame(payload, raw=True))
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    frame: Frame = parsed.value.value
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, payload.encode())
    assert len(reader.buffer) == 0


@given(st.text(max_size=60), st.booleans())
def test_the_identifier_is_echoed_unchanged(identifier: str, ext: bool) -> None:
    line = CableWire(identifier, ext, raw=False).encode(TWO[:1], "k3")
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert json.loads(line)["identifier"] == identifier
    assert json.loads(frames.cable_reply("confirm_subscription", identifier))["identifier"] == identifier


def test_control_frames() -> None:
    assert json.loads(frames.WELCOME) == {"type": "welcome"}
    assert json.loads(frames.PONG) == {"type": "pong"}
    assert json.loads(frames.cable_ping(1694041735)) == {"type": "ping", "message": 1694041735}
    assert json.loads(frames.cable_disconnect("too_slow", True, 1200)) == {
        "type": "disconnect",
        "reason": "too_slow",
        "reconnect": True,
        "retry_in": 1200,
    }
    assert "retry_in" not in json.loads(frames.cable_disconnect("unauthorized", False))
    assert json.loads(frames.cable_reply("confirm_subscription", "I", verdict="fresh", position="k-1")) == {
        "identifier": "I",
        "type": "confirm_subscription",
        "verdict": "fresh",
        "position": "k-1",
    }


# ---- pieces

WIRES: Sequence[Wire] = [
    SSE_CHUNKED,
    SSE_IDENTITY,
    CableWire(CHANNEL, True, True),
    CableWire("\\" * 500 + "漢" * 170, True, True),
]


@pytest.mark.parametrize("wire", WIRES)
@given(sizes=st.lists(st.integers(0, 90_000), max_size=12), letter=st.sampled_from("xé漢"))
def test_pieces_are_one_write_or_one_update_and_lose_nothing(
    wire: Wire, sizes: list[int], letter: str
) -> None:
    updates = [Update("n" * 63, 10**17 + n, letter * (size // 3)) for n, size in enumerate(sizes)]
    cut = list(pieces(updates, wire.overhead))
    assert [update for piece in cut for update in piece] == updates
    for piece in cut:
        assert len(piece) == 1 or len(wire.encode(piece, "epoch-of-16-chars")) <= WRITE_BYTES


def test_a_batch_that_fits_is_one_piece() -> None:
    updates = [Update("s", n, "x" * 300) for n in range(100)]
    assert list(pieces(updates, SSE_CHUNKED.overhead)) == [updates]
    assert list(pieces([], 64)) == []
