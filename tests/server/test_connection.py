"""connection: what stops coming ends in time, what is refused can be read, and nothing stays behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from dashboard_rt.server.handover import HttpProtocol
from dashboard_rt.server.limits import LINGER_SECONDS, MAX_FIELDS
from tests.dialogue import (
    H2C,
    UP,
    Dialogue,
    answer,
    answers,
    cut,
    echo,
    hear,
    held,
    later,
    post,
    settle,
    statuses,
)
from tests.handovers import World, frame, get, handshake, run, until
from tests.leaks import no_cycles

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


# ---- deadlines


@pytest.mark.parametrize(
    ("segments", "status", "reason"),
    [
        ([], None, "silent"),
        ([b"\r\n\r\n"], None, "silent"),
        ([b"G"], 408, "head_timeout"),
        ([b"GET / HTTP/1.1\r\nhost: a"], 408, "head_timeout"),
        ([UP + b"GET /"], 408, "head_timeout"),
        ([post("/", b"a", "content-length: 2")], 408, "body_timeout"),
        ([post("/", b"", "content-length: 2")], 408, "body_timeout"),
        ([post("/", b"2\r\na", "transfer-encoding: chunked")], 408, "body_timeout"),
        ([post("/", b"2\r\naa\r\n0\r\n", "transfer-encoding: chunked")], 408, "body_timeout"),
        ([post("/", b"", *H2C, "content-length: 2")], 408, "body_timeout"),
        ([post("/", b"", "content-length: 2", "expect: 100-continue")], 408, "body_timeout"),
    ],
)
def test_what_stops_coming_is_refused_in_time(segments: list[bytes], status: int | None, reason: str) -> None:
    async def work() -> None:
        dialogue, wire = await hear(echo, *segments)
        await later(9)
        assert not wire.closed and not wire.ended
        await later(3)
        assert statuses(wire)[-1:] == ([status] if status else [])
        assert dialogue.refusals[reason] == 1
        await later(LINGER_SECONDS + 1)  # it does not hang up
        assert wire.lost and not dialogue.state.connections and not dialogue.state.tasks

    held(work)


def test_a_head_that_drips_has_one_deadline() -> None:
    async def work() -> None:
        dialogue = Dialogue(echo)
        first, later_one = dialogue.connect(), dialogue.connect()
        await dialogue.say(later_one, UP)
        for byte in cut(get("/")[:12], 1):
            await dialogue.say(first, byte)
            await dialogue.say(later_one, byte)
            await asyncio.sleep(1)
        await later(1)
        assert statuses(first) == [408] and statuses(later_one) == [200, 408]

    held(work)


@pytest.mark.parametrize("frame_", ["content-length: 20", "transfer-encoding: chunked"])
def test_a_body_that_goes_on_may_take_its_time(frame_: str) -> None:
    async def work() -> None:
        dialogue, wire = await hear(echo, post("/", b"", frame_))
        for byte in cut(b"x" * 20, 1):
            await asyncio.sleep(9)
            await dialogue.say(wire, byte if "length" in frame_ else b"1\r\n" + byte + b"\r\n")
        if "chunked" in frame_:
            await dialogue.say(wire, b"0\r\n\r\n")
        assert answers(wire.said) == [(200, ["POST", "/", "x" * 20])]

    held(work)


def test_an_idle_connection_is_kept_for_as_long_as_configured_and_only_behind_an_answer() -> None:
    async def work() -> None:
        dialogue, wire = await hear(echo, UP)
        await later(90)
        await dialogue.say(wire, UP, b"\r\n")
        assert statuses(wire) == [200, 200]
        await later(93)
        assert not wire.closed
        await later(3)
        assert wire.lost and not dialogue.refusals and not dialogue.state.connections

    held(work)


def test_an_app_that_takes_its_time_is_not_the_fault_of_its_client() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)
        await echo(scope, receive, send)

    async def work() -> None:
        for request, rest in ((UP, b""), (post("/", b"", "content-length: 1", "expect: 100-continue"), b"x")):
            dialogue, wire = await hear(app, request)
            await later(61)
            await dialogue.say(wire, rest)
            assert statuses(wire) == [200] and not dialogue.refusals

    held(work)


def test_a_client_that_is_not_read_from_is_not_blamed_for_sending_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)
        await echo(scope, receive, send)

    async def work() -> None:
        dialogue, wire = await hear(app, post("/", b"x" * 70_000, "content-length: 70001"))
        await later(60)
        assert not dialogue.refusals and wire.reading
        await dialogue.say(wire, b"x")
        assert statuses(wire) == [200]

    held(work)


def test_no_timer_outlives_a_connection_that_was_reset() -> None:
    async def work() -> None:
        loop: Any = asyncio.get_running_loop()
        dialogue, wire = await hear(echo, UP)
        timers = len(loop._scheduled)
        for _ in range(50):
            wire = dialogue.connect()
            await dialogue.say(wire, UP)
            wire.lose(ConnectionResetError())
        assert len(loop._scheduled) <= timers

    held(work)


def test_a_connection_that_was_reset_leaves_nothing() -> None:
    async def work() -> None:
        dialogue = Dialogue(echo)
        with no_cycles(HttpProtocol, RequestResponseCycle):
            for request in (UP, get("/")[:20], post("/", b"x", "content-length: 2"), UP * 20):
                wire = dialogue.connect()
                await dialogue.say(wire, request)
                wire.lose(ConnectionResetError())
                await settle()
                wire.protocol = None
            del wire
            await settle()

    held(work)


# ---- bodies that are not read


@pytest.mark.parametrize(
    "request_",
    [
        post("/refuse", b"x" * 1000, "content-length: 100000000000"),
        post("/refuse", b"", "content-length: 5"),
        post("/refuse", b"", "content-length: 5", "expect: 100-continue"),
        post("/refuse", b"5\r\nab", "transfer-encoding: chunked"),
        post("/refuse", b"x", *H2C, "content-length: 5"),
        post("/refuse", b"x", "content-length: 5", version="1.0"),
    ],
)
def test_a_refusal_with_the_body_unread_ends_the_connection_so_that_it_can_be_read(request_: bytes) -> None:
    async def work() -> None:
        _, wire = await hear(echo, request_)
        head, _, _ = wire.said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ") and head.lower().endswith(b"connection: close")
        assert wire.ended and not wire.closed and wire.reading
        wire.protocol.data_received(b"x" * 100_000 + UP)
        await settle()
        assert statuses(wire) == [401]
        await later(LINGER_SECONDS + 2)
        assert wire.aborted and wire.lost

    held(work)


def test_a_refusal_behind_the_whole_body_keeps_the_connection() -> None:
    async def work() -> None:
        for body in (
            post("/refuse", b"five5", "content-length: 5"),
            post("/refuse", b"", "content-length: 0"),
        ):
            dialogue, wire = await hear(echo, body + UP)
            assert statuses(wire) == [401, 200] and not wire.ended
            await dialogue.say(wire, UP)
            assert statuses(wire) == [401, 200, 200]

    held(work)


def test_a_bad_body_is_refused_and_its_app_hears_that_the_client_left() -> None:
    messages: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            messages.append((await receive())["type"])
            if messages[-1] == "http.disconnect":
                return

    async def work() -> None:
        dialogue, wire = await hear(
            app, post("/", b"1\r\nx\r\n", "transfer-encoding: chunked"), b"nonsense\r\n"
        )
        assert statuses(wire) == [400] and messages == ["http.request", "http.disconnect"]
        assert not dialogue.state.tasks

    held(work)


def test_a_queued_request_whose_body_is_bad_is_not_answered() -> None:
    async def work() -> None:
        release = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await answer(send, scope["path"])

        bad = post("/bad", b"nonsense\r\n", "transfer-encoding: chunked")
        _, wire = await hear(app, get("/one") + get("/two") + bad + get("/three"))
        release.set()
        await settle()
        assert [value for _, value in answers(wire.said)] == ["/one", "/two"] and wire.ended

    held(work)


def test_a_refusal_behind_a_request_in_work_comes_after_its_answer_and_ends_the_connection() -> None:
    async def work() -> None:
        for refused in (
            b"GET / HTTP/1.1\r\n" + b"x:\r\n" * (MAX_FIELDS + 1),
            b"nonsense\r\n\r\n",
            handshake("/cable"),
        ):
            release = asyncio.Event()

            async def slow(scope: Any, receive: Any, send: Any, release: asyncio.Event = release) -> None:
                await release.wait()
                await answer(send, "slow")

            _, wire = await hear(slow, get("/slow") * 2 + refused, b"more of it")
            assert wire.writes == []
            release.set()
            await settle()
            assert answers(wire.said) == [(200, "slow")] * 2 and wire.ended

    held(work)


def test_over_sockets_a_refused_upload_gets_its_answer() -> None:
    """A close on unread bytes would be a reset, which takes the answer away from a client that is still sending."""

    async def work(world: World) -> None:
        world.routes["/refuse"] = echo
        peer = await world.connect()
        peer.say(post("/refuse", b"", "content-length: 100000000"))
        peer.say(frame("x" * 65536) * 50)
        await peer.writer.drain()
        assert (await peer.head()).startswith(b"HTTP/1.1 401 ")
        await peer.rest()
        peer.leave()
        await until(lambda: not world.state.connections)

    run(work)
