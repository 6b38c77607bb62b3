"""The Action Cable connection of a client: its handshake, its subscription, and the frames it reads."""

from __future__ import annotations

import pytest

from dashboard_rt.client.cable import open_cable, read_frame
from dashboard_rt.client.connection import ConnectOptions, EventKind
from dashboard_rt.client.failures import FailureReason
from dashboard_rt.client.target import read_target
from tests.client.connecting import connect_and_fail, raw_server
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
