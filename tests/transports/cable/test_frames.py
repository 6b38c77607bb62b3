"""transports/cable/frames: the bytes of Action Cable."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from dashboard_rt.transports.cable import frames
from dashboard_rt.transports.cable.frames import CableWire
from dashboard_rt.types import Update

CHANNEL = '{"channel":"DashboardUpdatesChannel"}'
TWO = [Update("s", 8, '{"n":8}'), Update("s", 9, '"é"')]


def test_a_data_frame_is_identifier_and_message_and_on_ext_its_position() -> None:
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
    assert json.loads(ext.encode_answer(TWO[0])) == {"identifier": CHANNEL, "message": {"n": 8}}


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_raw_frames_are_unmasked_text_frames(size: int) -> None:
    payload = "x" * size
    reader = StreamReader()
    reader.feed_data(frames.encode_frame(payload, raw=True))
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
    assert json.loads(frames.reply("confirm_subscription", identifier))["identifier"] == identifier


def test_control_frames() -> None:
    assert json.loads(frames.WELCOME) == {"type": "welcome"}
    assert json.loads(frames.PONG) == {"type": "pong"}
    assert json.loads(frames.ping(1694041735)) == {"type": "ping", "message": 1694041735}
    assert json.loads(frames.disconnect("too_slow", True, 1200)) == {
        "type": "disconnect",
        "reason": "too_slow",
        "reconnect": True,
        "retry_in": 1200,
    }
    assert "retry_in" not in json.loads(frames.disconnect("unauthorized", False))
    assert json.loads(frames.reply("confirm_subscription", "I", verdict="fresh", position="k-1")) == {
        "identifier": "I",
        "type": "confirm_subscription",
        "verdict": "fresh",
        "position": "k-1",
    }
