"""bench/load/connection.py against a scripted server: who is ready when, and what a broken server is called."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.frames import Opcode

from tests.bench.load.peer import SSE_HEAD, Talk, talking, until, update

pytestmark = pytest.mark.anyio


async def opened(load: Any, count: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = await load.obey({"do": "open", "count": count, "in_flight": 8, "timeout": 5})
    return found


async def finished(load: Any, last: int, timeout: float = 5) -> dict[str, Any]:
    found: dict[str, Any] = await load.obey({"do": "finish", "last": last, "timeout": timeout})
    return found


async def test_a_stream_is_ready_at_its_verdict() -> None:
    async def script(talk: Talk) -> None:
        talk.verdict("fresh", 0)
        talk.event(1)
        await talk.gone()

    async with talking(script, "sse", headers=(("X-One", "1"),)) as (peer, load):
        answer = await opened(load, 3)
        assert (answer["alive"], answer["missing"], answer["connect"]["count"]) == (3, 0, 3)
        books = await finished(load, 1)
        assert books["account"] == {"expected": 3, "received": 3, "lost": 0, "doubled": 0, "disordered": 0}
        assert (books["reads"], books["updates"], books["extensions"]) == (
            3 + books["memo_hits"],
            3,
            ["none"],
        )
        assert books["latency"]["count"] == 3
        assert {talk.headers["x-one"] for talk in peer.talks} == {"1"}


@pytest.mark.parametrize(("ready", "hello"), [("open", b""), ("foreign", b'data: {"connect":{}}\n\n')])
async def test_a_stream_that_has_no_verdict_is_ready_when_its_wire_says(ready: str, hello: bytes) -> None:
    async def script(talk: Talk) -> None:
        talk.send(SSE_HEAD + hello)
        await talk.gone()

    async with talking(script, "sse", ready=ready) as (_, load):
        assert (await opened(load))["alive"] == 1


async def test_an_update_in_an_envelope_is_found() -> None:
    async def script(talk: Talk) -> None:
        talk.send(SSE_HEAD + b'data: {"pub":{"data":%b}}\n\n' % update(1))
        await talk.gone()

    async with talking(script, "sse", ready="open", envelope="pub.data") as (_, load):
        await opened(load)
        assert (await finished(load, 1))["account"]["received"] == 1


async def test_a_cable_subscribes_after_the_welcome_and_is_ready_when_confirmed() -> None:
    heard: list[Any] = []

    async def script(talk: Talk) -> None:
        talk.upgrade("actioncable-v1-json")
        heard.append(await talk.command())
        talk.confirm(verdict="fresh", position="e-0")
        talk.send(b"\x89\x02hi")
        talk.say({"type": "ping", "message": 1})
        talk.message(1)
        heard.append(await talk.frame())
        await talk.gone()

    async with talking(script, "cable") as (peer, load):
        assert (await opened(load))["alive"] == 1
        await until(lambda: len(heard) == 2)
        assert heard[0] == {"command": "subscribe", "identifier": load.wire.identifier}
        assert (heard[1].opcode, heard[1].data) == (
            Opcode.PONG,
            b"hi",
        )  # RFC 6455 5.5.3: the ping's own words
        assert "sec-websocket-extensions" not in peer.talks[0].headers
        books = await finished(load, 1)
        assert books["account"]["received"] == 1
        assert (books["controls"]["ws_ping"], books["controls"]["ping"], books["pings"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("transport", "answer", "why"),
    [
        ("sse", b"HTTP/1.1 503 Busy\r\n\r\n", "HTTP 503"),
        (
            "sse",
            SSE_HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"),
            "compression nobody asked",
        ),
        ("sse", SSE_HEAD.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), "chunk size"),
        ("cable", b"HTTP/1.1 404 Not Found\r\n\r\n", "upgrade was refused"),
        ("cable", b"SSH-2.0\r\n\r\n", "not an HTTP response"),
    ],
)
async def test_a_refusal_is_named(transport: str, answer: bytes, why: str) -> None:
    async def script(talk: Talk) -> None:
        talk.send(answer)
        await talk.gone()

    async with talking(script, transport) as (_, load):
        found = await opened(load)
        assert (found["alive"], found["missing"]) == (0, 1)
        assert [error for error in found["errors"] if why in error]


@pytest.mark.parametrize(
    ("transport", "protocol", "more", "why"),
    [
        ("cable+ext", "actioncable-v1-json", "", "another subprotocol"),
        ("cable", "actioncable-v1-ext-json", "", "another subprotocol"),
        (
            "cable",
            "actioncable-v1-json",
            "sec-websocket-extensions: permessage-deflate\r\n",
            "nobody offered",
        ),
        ("cable+deflate", "actioncable-v1-json", "", "not agreed on"),
    ],
)
async def test_what_was_not_offered_or_not_agreed_on_fails_the_client(
    transport: str, protocol: str, more: str, why: str
) -> None:
    async def script(talk: Talk) -> None:
        talk.upgrade(protocol, more)
        await talk.gone()

    async with talking(script, transport) as (_, load):
        found = await opened(load)
        assert (found["alive"], found["missing"]) == (0, 1)
        assert [error for error in found["errors"] if why in error]


async def test_what_was_agreed_on_is_reported() -> None:
    async def script(talk: Talk) -> None:
        talk.upgrade("actioncable-v1-json", "sec-websocket-extensions: permessage-deflate\r\n")
        await talk.command()
        talk.confirm()
        await talk.gone()

    async with talking(script, "cable+deflate") as (peer, load):
        assert (await opened(load))["extensions"] == ["permessage-deflate"]
        assert (
            peer.talks[0].headers["sec-websocket-extensions"] == "permessage-deflate; client_max_window_bits"
        )


async def test_a_rejected_subscription_is_named() -> None:
    async def script(talk: Talk) -> None:
        talk.upgrade("actioncable-v1-json")
        await talk.command()
        talk.say({"identifier": "x", "type": "reject_subscription"})
        await talk.gone()

    async with talking(script, "cable") as (_, load):
        found = await opened(load)
        assert [error for error in found["errors"] if "reject_subscription" in error]


async def test_a_stream_that_the_server_ends_is_closed_with_its_last_words() -> None:
    async def script(talk: Talk) -> None:
        talk.verdict("fresh", 0)
        talk.send(b'event: goodbye\ndata: {"reason":"full"}\n\n')

    async with talking(script, "sse") as (_, load):
        await opened(load)
        await until(lambda: load.tally.closed == 1)
        books = await finished(load, 0)
        assert (books["closed"], books["alive"]) == (1, 0)
        assert 'goodbye: {"reason":"full"}' in books["errors"]


async def test_the_end_of_a_chunked_body_ends_a_connection_that_stays_open() -> None:
    async def script(talk: Talk) -> None:
        body = b"event: verdict\ndata: {}\n\n"
        talk.send(
            SSE_HEAD[:-2] + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        )
        await talk.gone()

    async with talking(script, "sse") as (_, load):
        await load.obey({"do": "open", "count": 1, "in_flight": 1, "timeout": 5})
        await until(lambda: load.tally.closed == 1)


async def test_a_close_frame_is_answered() -> None:
    heard: list[Any] = []

    async def script(talk: Talk) -> None:
        talk.upgrade("actioncable-v1-json")
        await talk.command()
        talk.confirm()
        talk.say({"type": "disconnect", "reason": "server_restart", "reconnect": True})
        talk.send(b"\x88\x02\x03\xe9")
        heard.append(await talk.frame())
        await talk.gone()

    async with talking(script, "cable") as (_, load):
        await opened(load)
        await until(lambda: load.tally.closed == 1 and bool(heard))
        assert heard[0].opcode == Opcode.CLOSE
        assert [error for error in load.tally.errors if error.startswith("disconnect: ")]


async def test_a_protocol_fault_in_the_middle_ends_the_connection_and_is_named() -> None:
    async def script(talk: Talk) -> None:
        talk.verdict("fresh", 0)
        await talk.gone()

    async with talking(script, "sse") as (peer, load):
        await opened(load)
        peer.talks[0].send(b"data: %b\n\ndata: {oops\n\n" % update(1))
        await until(lambda: load.tally.closed == 1)
        books = await finished(load, 1, timeout=0.2)
        assert [error for error in books["errors"] if "not JSON" in error]
        assert books["account"]["received"] == 0  # nothing of a read that cannot be trusted
