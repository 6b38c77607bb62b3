"""Both wires as a client sees them, against a real server that is right, wrong, or not there."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

import pytest

from dashboard_rt.client.cable import open_cable, read_frame
from dashboard_rt.client.failures import Failed, Why
from dashboard_rt.client.nouns import Heard, Link, Moment, What, Wish
from dashboard_rt.client.sse import open_sse
from dashboard_rt.client.target import Target, read_target
from dashboard_rt.types import Position, Verdict
from tests.fakes import EXT, Behaviour, serving

pytestmark = pytest.mark.anyio
Opening = Callable[[Target, Wish], AbstractAsyncContextManager[Link]]
BOTH = pytest.mark.parametrize("opening", [open_sse, open_cable])
WISH = Wish(timeout=5)


async def take(link: Link, enough: Callable[[list[Heard]], bool]) -> list[Heard]:
    """Listen until it is enough, or over."""
    everything: list[Heard] = []
    async with asyncio.timeout(5), aclosing(link.heard) as heard_all:
        async for heard in heard_all:
            everything.append(heard)
            if enough(everything):
                break
    return everything


async def failure(opening: Opening, url: str, wish: Wish = WISH) -> Failed:
    """How it fails, while opening or while listening."""
    with pytest.raises(Failed) as caught:
        async with opening(read_target(url), wish) as link:
            await take(link, lambda _: False)
    return caught.value


@asynccontextmanager
async def raw_server(answer: bytes, reset: bool = False) -> AsyncIterator[str]:
    """Reads a request, writes these bytes, and closes or resets the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@BOTH
async def test_a_fresh_client_hears_verdict_updates_and_heartbeats(opening: Opening) -> None:
    with serving() as fake:
        async with opening(read_target(fake.url), WISH) as link:
            heard = await take(link, lambda seen: {What.HEARTBEAT, What.UPDATE} <= {h.what for h in seen})
    verdict = next(h for h in heard if h.what is What.VERDICT)
    updates = [h for h in heard if h.what is What.UPDATE]
    assert verdict.verdict is Verdict.FRESH
    assert verdict.position is not None
    assert [h.position and h.position.id for h in updates] == [
        verdict.position.id + 1 + n for n in range(len(updates))
    ]
    beat = next(h for h in heard if h.what is What.HEARTBEAT)
    assert beat.stamp is not None
    assert beat.stamp > 1_600_000_000


@BOTH
async def test_every_step_is_timed_in_order(opening: Opening) -> None:
    with serving() as fake:
        async with opening(read_target(fake.url), WISH) as link:
            await take(link, lambda seen: seen[-1].what is What.UPDATE)
    times = [link.timing.ms(moment) for moment in Moment]
    assert all(ms is not None and ms > 0 for ms in times)
    assert times == sorted(times, key=lambda ms: ms or 0)


@BOTH
async def test_a_position_resumes_behind_it(opening: Opening) -> None:
    with serving() as fake:
        position = Position("k3f9", fake.head - 5)
        async with opening(read_target(fake.url), Wish(5, position)) as link:
            heard = await take(link, lambda seen: seen[-1].what is What.UPDATE)
    assert fake.resumed == [str(position)]
    assert [h.verdict for h in heard if h.what is What.VERDICT] == [Verdict.RECOVERED]
    assert heard[-1].position == Position("k3f9", position.id + 1)


@BOTH
async def test_a_goodbye_carries_its_time_to_stay_away(opening: Opening) -> None:
    with serving(Behaviour(cut_after=2, goodbye="server_restart", retry_ms=2310)) as fake:
        async with opening(read_target(fake.url), WISH) as link:
            heard = await take(link, lambda _: False)
    assert (heard[-1].what, heard[-1].retry, heard[-1].again) == (What.GOODBYE, 2.31, True)


async def test_a_head_tells_what_was_agreed() -> None:
    with serving(Behaviour(deflate=True)) as fake:
        target = read_target(fake.url)
        async with open_cable(target, Wish(5, compression=True)) as link:
            assert (link.head.status, link.head.subprotocol) == (101, EXT)
            assert link.head.extensions == ("permessage-deflate",)
        async with open_sse(target, WISH) as link:
            assert (link.head.status, link.head.http_version) == (200, "HTTP/1.1")
            assert link.head.headers["x-accel-buffering"] == "no"


@BOTH
async def test_nobody_there(opening: Opening) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    failed = await failure(opening, f"http://127.0.0.1:{port}")
    assert (failed.why, failed.final) == (Why.UNREACHABLE, False)
    assert "connection refused" in str(failed)
    assert "dashboard-rt serve" in str(failed)


@BOTH
async def test_a_host_without_address(opening: Opening) -> None:
    failed = await failure(opening, "http://no-such-host.invalid:1")
    assert failed.why is Why.NO_ADDRESS


@BOTH
async def test_a_plain_port_asked_for_tls(opening: Opening) -> None:
    with serving() as fake:
        failed = await failure(opening, fake.url.replace("http", "https"))
    assert (failed.why, failed.final) == (Why.TLS, True)
    assert "use http://" in str(failed)


@BOTH
@pytest.mark.parametrize(("status", "final"), [(401, True), (404, True), (429, False), (502, False)])
async def test_a_status_says_what_to_do(opening: Opening, status: int, final: bool) -> None:
    with serving(Behaviour(status=status)) as fake:
        failed = await failure(opening, fake.url)
    assert (failed.why, failed.final) == (Why.STATUS, final)
    assert failed.head is not None
    assert failed.head.status == status
    assert f"answered {status}" in str(failed)


@BOTH
async def test_a_redirect_is_told_not_followed(opening: Opening) -> None:
    with serving(Behaviour(status=301)) as fake:
        failed = await failure(opening, fake.url)
    assert "it has moved" in str(failed)


async def test_a_page_is_no_stream() -> None:
    with serving(Behaviour(content_type="text/html")) as fake:
        failed = await failure(open_sse, fake.url)
    assert (failed.why, failed.final) == (Why.CONTENT_TYPE, True)
    assert "text/html" in str(failed)


async def test_a_page_is_no_cable() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi") as url:
        failed = await failure(open_cable, url)
    assert failed.why is Why.STATUS
    assert "upgrade got lost" in str(failed)


async def test_another_protocol_altogether() -> None:
    async with raw_server(b"SSH-2.0-OpenSSH\r\n") as url:
        assert (await failure(open_cable, url)).why is Why.NOT_WEBSOCKET
        assert (await failure(open_sse, url)).why is Why.DROPPED


async def test_a_foreign_subprotocol() -> None:
    with serving(Behaviour(subprotocol="graphql-ws")) as fake:
        failed = await failure(open_cable, fake.url)
    assert (failed.why, failed.final) == (Why.SUBPROTOCOL, True)


async def test_a_rejected_subscription() -> None:
    with serving(Behaviour(reject=True)) as fake:
        failed = await failure(open_cable, f"{fake.url}?stream=nope")
    assert (failed.why, failed.final) == (Why.REJECTED, True)
    assert "nope" in str(failed)


@BOTH
async def test_silence_is_a_failure(opening: Opening) -> None:
    with serving(Behaviour(mute=True)) as fake:
        failed = await failure(opening, fake.url, Wish(timeout=0.3))
    assert (failed.why, failed.final) == (Why.SILENT, False)
    assert "0.3 s" in str(failed)


async def test_a_stream_cut_in_the_middle() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    for reset in (False, True):
        async with raw_server(head + b"5\r\n: hi\n\r\n", reset) as url:
            failed = await failure(open_sse, url)
        assert (failed.why, failed.final) == (Why.DROPPED, False)


async def test_a_cable_closed_without_goodbye() -> None:
    with serving(Behaviour(cut_after=1)) as fake:
        failed = await failure(open_cable, fake.url)
    assert failed.why is Why.DROPPED
    assert "1001" in str(failed)


async def test_an_error_of_the_caller_is_not_taken_for_one_of_the_connection() -> None:
    with serving() as fake, pytest.raises(BrokenPipeError):
        async with open_sse(read_target(fake.url), WISH):
            raise BrokenPipeError


@pytest.mark.parametrize(
    "frame",
    ["", "[]", "{", '{"type":"new"}', '{"message":1}', b"\xff", '{"identifier":"other","message":1}'],
)
def test_frames_that_mean_nothing_are_other(frame: str | bytes) -> None:
    assert read_frame(frame, read_target("h:1")).what is What.OTHER
