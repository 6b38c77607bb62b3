"""The Action Cable connection of a client: its handshake, its subscription, and the frames it reads."""

from __future__ import annotations

import json

import pytest

from dashboard_rt.client import cable
from dashboard_rt.client.cable import open_cable, read_frame
from dashboard_rt.client.connection import ConnectOptions, EventKind
from dashboard_rt.client.failures import FailureReason
from dashboard_rt.client.target import read_target
from tests.client.connecting import OPTIONS, cable_server, collect_events, connect_and_fail, raw_server
from tests.fakes import EXT, Behaviour, serving


@pytest.mark.anyio
async def test_the_head_has_what_the_handshake_agreed_on() -> None:
    with serving(Behaviour(deflate=True)) as fake:
        options = ConnectOptions(5, compression=True)
        async with open_cable(read_target(fake.url), options) as connection:
            assert (connection.head.status, connection.head.subprotocol) == (101, EXT)
            assert connection.head.extensions == ("permessage-deflate",)


@pytest.mark.anyio
async def test_a_response_without_an_upgrade() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi") as url:
        failure = await connect_and_fail(open_cable, url)
    assert failure.reason is FailureReason.STATUS
    assert "upgrade got lost" in str(failure)


@pytest.mark.anyio
async def test_a_port_of_another_protocol() -> None:
    async with raw_server(b"SSH-2.0-OpenSSH\r\n") as url:
        assert (await connect_and_fail(open_cable, url)).reason is FailureReason.NOT_WEBSOCKET


@pytest.mark.anyio
async def test_a_subprotocol_that_was_not_offered() -> None:
    with serving(Behaviour(subprotocol="graphql-ws")) as fake:
        failure = await connect_and_fail(open_cable, fake.url)
    assert (failure.reason, failure.permanent) == (FailureReason.SUBPROTOCOL, True)


@pytest.mark.anyio
async def test_a_rejected_subscription() -> None:
    with serving(Behaviour(reject=True)) as fake:
        failure = await connect_and_fail(open_cable, f"{fake.url}?stream=nope")
    assert (failure.reason, failure.permanent) == (FailureReason.REJECTED, True)
    assert "nope" in str(failure)


@pytest.mark.anyio
async def test_a_close_without_a_goodbye_was_dropped() -> None:
    with serving(Behaviour(cut_after=1)) as fake:
        failure = await connect_and_fail(open_cable, fake.url)
    assert failure.reason is FailureReason.DROPPED
    assert "1001" in str(failure)


@pytest.mark.parametrize(
    "frame",
    ["", "[]", "{", '{"type":"new"}', '{"message":1}', b"\xff", '{"identifier":"other","message":1}'],
)
def test_unknown_frames_are_of_kind_other(frame: str | bytes) -> None:
    assert read_frame(frame, read_target("h:1")).kind is EventKind.OTHER


# ---- what strangers send


def update(message: str) -> str:
    identifier = json.dumps(read_target("h:1").identifier)
    return f'{{"identifier":{identifier},"message":{message},"stream_id":"a","epoch":"e","offset":5}}'


DEEP = [
    "[" * 300 + "]" * 300,
    '{"a":' * 1024 + "1" + "}" * 1024,
    '["}]\\\\\\"",' * 1100 + "1" + "]" * 1100,
]


@pytest.mark.parametrize("message", [json.dumps("a" * 1_500_000), *DEEP])
def test_a_large_or_deep_update_is_an_update(message: str) -> None:
    event = read_frame(update(message), read_target("h:1"))
    assert (event.kind, event.text, str(event.position)) == (EventKind.UPDATE, message, "e-5")


@pytest.mark.parametrize(
    "frame", [update("[" * 2000), f'{{"message":{"[" * 2000}{"]" * 2000}}}', "[" * 2000, "{" * 2000]
)
def test_deep_text_that_is_no_update_is_of_kind_other(frame: str) -> None:
    assert read_frame(frame, read_target("h:1")).kind is EventKind.OTHER


@pytest.mark.anyio
async def test_an_update_above_the_default_limit_of_the_library_arrives() -> None:
    async with (
        cable_server(update(json.dumps("a" * 1_500_000))) as url,
        open_cable(read_target(url), OPTIONS) as connection,
    ):
        events = await collect_events(connection, lambda seen: seen[-1].kind is EventKind.UPDATE)
    assert len(events[-1].text) == 1_500_002


@pytest.mark.anyio
async def test_an_update_that_is_too_large_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cable, "MAX_EVENT_BYTES", 100_000)
    async with cable_server(update(json.dumps("a" * 200_000))) as url:
        failure = await connect_and_fail(open_cable, url)
    assert (failure.reason, failure.permanent) == (FailureReason.TOO_LARGE, True)
    assert "more than 16 MiB" in str(failure)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "raw", [b"\x81\x02\xc3\x28", b"\x81\x82\0\0\0\0{}", b"\xff\xff\xff", b"HTTP/1.1 502 Bad Gateway" * 9]
)
async def test_bytes_that_break_the_protocol(raw: bytes) -> None:
    async with cable_server(raw=raw) as url:
        failure = await connect_and_fail(open_cable, url)
    assert (failure.reason, failure.permanent) == (FailureReason.BROKEN, False)


def test_a_server_cannot_ask_for_more_than_a_day() -> None:
    frame = '{"type":"disconnect","retry_in":9223372036854775807}'
    assert read_frame(frame, read_target("h:1")).retry == 86_400
