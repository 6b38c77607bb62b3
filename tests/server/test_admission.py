"""admission: how many connections there are, who makes room for whom, and who is cut for not taking an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dashboard_rt.server.admission import Admission
from dashboard_rt.server.handover import HttpProtocol
from dashboard_rt.server.limits import HEALTH_MARGIN, ServerLimits
from dashboard_rt.transports.connection import HANDOVER_EXTENSION
from tests.dialogue import UP, Dialogue, Wire, answer, answers, echo, held, settle
from tests.handovers import World, get, handshake, run, until
from tests.leaks import no_cycles

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


def limited(app: Any, connections: int) -> Dialogue:
    dialogue = Dialogue(app)
    dialogue.limits = ServerLimits(connections=connections, count=dialogue.count)
    return dialogue


async def busy(scope: Any, receive: Any, send: Any) -> None:
    """Never answer `/busy`."""
    if scope["path"] != "/busy":
        await echo(scope, receive, send)
    else:
        await until_gone(receive)


async def until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def full_of(dialogue: Dialogue, count: int) -> list[Wire]:
    wires = [dialogue.connect() for _ in range(count)]
    for wire in wires:
        await dialogue.say(wire, get("/busy"))
    return wires


async def stop(dialogue: Dialogue) -> None:
    """All peers leave, so that no task is left."""
    for connection in list(dialogue.state.connections):
        connection.transport.lose()  # type: ignore[attr-defined]
    await settle()
    assert not dialogue.state.tasks


# ---- how many


@pytest.mark.parametrize("waiting", [b"", b"GET /", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nx", UP])
def test_who_keeps_us_waiting_makes_room_the_longest_first(waiting: bytes) -> None:
    async def work() -> None:
        dialogue = limited(echo, 3)
        wires = []
        for _ in range(3):
            wires.append(dialogue.connect())
            await dialogue.say(wires[-1], waiting)
            await asyncio.sleep(1)
        newcomers = []
        for _ in range(3):
            newcomers.append(dialogue.connect())
            await settle()
            await dialogue.say(newcomers[-1], UP)
            assert answers(newcomers[-1].said)[0][0] == 200
            assert sum(wire.lost for wire in wires) == len(newcomers)
            await asyncio.sleep(1)
        assert [wire.lost for wire in wires] == [True] * 3
        assert dialogue.refusals["evicted"] == 3
        await stop(dialogue)

    held(work)


def test_a_flood_of_newcomers_makes_room_for_itself_and_for_a_health_check() -> None:
    async def work() -> None:
        dialogue = limited(echo, 5)
        for _ in range(20):
            for _ in range(50):
                dialogue.connect()
                await asyncio.sleep(0.0001)
            wire = dialogue.connect()
            await dialogue.say(wire, UP)
            assert answers(wire.said)[0][0] == 200
            assert len(dialogue.state.connections) <= 6
        assert dialogue.refusals["full"] == 0

    held(work)


def test_newcomers_that_cannot_come_in_cut_each_other_only_for_a_health_check() -> None:
    async def work() -> None:
        dialogue = limited(busy, 2)
        await full_of(dialogue, 2)
        silent = []
        for _ in range(HEALTH_MARGIN):
            silent.append(dialogue.connect())
            await asyncio.sleep(0.01)
        assert not any(wire.lost for wire in silent)
        wire = dialogue.connect()
        await dialogue.say(wire, UP)
        assert answers(wire.said)[0][0] == 200
        assert [each.lost for each in silent] == [True] + [False] * (HEALTH_MARGIN - 1)
        await stop(dialogue)

    held(work)


def test_who_takes_its_last_answer_slowly_makes_room_too() -> None:
    async def work() -> None:
        dialogue = limited(echo, 1)
        slow = dialogue.connect()
        slow.stuck = True
        await dialogue.say(slow, get("/up", "1.1", "connection: close"))
        assert (slow.closed, slow.lost) == (True, False)
        newcomer = dialogue.connect()
        await dialogue.say(newcomer, UP)
        assert slow.lost and answers(newcomer.said)[0][0] == 200

    held(work)


def test_a_full_server_answers_health_checks_and_no_more() -> None:
    async def work() -> None:
        dialogue = limited(busy, 3)
        wires = await full_of(dialogue, 3)
        for request, status in (
            (UP, 200),
            (get("/health"), 200),
            (get("/dash/ready?x"), 200),
            (UP.replace(b"GET", b"HEAD"), 200),
            (UP.replace(b"GET", b"POST"), 503),
            (get("/"), 503),
            (get("/upside"), 503),
            (handshake("/cable"), 503),
        ):
            wire = dialogue.connect()
            await dialogue.say(wire, request)
            assert wire.said.startswith(b"HTTP/1.1 %d " % status), request
            assert b"connection: close" in wire.said
            wire.lose()
            await settle()
        assert not any(wire.lost for wire in wires) and dialogue.refusals == {"full": 4}
        await stop(dialogue)

    held(work)


def test_who_still_reads_a_refusal_makes_no_room() -> None:
    """It was above the cap itself: to cut it would let one more in, and so on."""

    async def work() -> None:
        dialogue = limited(busy, 2)
        await full_of(dialogue, 2)
        for _ in range(3):
            wire = dialogue.connect()
            await asyncio.sleep(0.1)
            await dialogue.say(wire, get("/busy"))
            assert wire.said.startswith(b"HTTP/1.1 503 ")
        await stop(dialogue)

    held(work)


def test_a_full_server_gives_an_eventsource_no_answer() -> None:
    """Any status but 200 would end it for good."""

    async def work() -> None:
        dialogue = limited(busy, 1)
        await full_of(dialogue, 1)
        wire = dialogue.connect()
        await dialogue.say(wire, get("/dashboard/stream", "1.1", "accept: text/event-stream"))
        assert wire.said == b"" and wire.lost
        await stop(dialogue)

    held(work)


def test_far_above_the_cap_a_connection_is_cut_unheard() -> None:
    async def work() -> None:
        dialogue = limited(busy, 2)
        await full_of(dialogue, 2)
        others = await full_of(dialogue, HEALTH_MARGIN)  # they are refused, and linger
        assert not any(wire.lost for wire in others)
        for wire in others:
            wire.protocol.deadline = float("inf")  # as if they were in work, too
        wire = dialogue.connect()
        await settle()
        assert wire.lost and dialogue.refusals["full"] == HEALTH_MARGIN + 1
        await stop(dialogue)

    held(work)


def test_who_came_when_it_was_full_is_served_when_there_is_room() -> None:
    async def work() -> None:
        dialogue = limited(busy, 1)
        (wire,) = await full_of(dialogue, 1)
        later = dialogue.connect()
        wire.lose()
        await dialogue.say(later, get("/"), get("/"))
        assert [status for status, _ in answers(later.said)] == [200, 200]
        await stop(dialogue)

    held(work)


def test_who_could_have_been_cut_is_forgotten_when_it_has_gone() -> None:
    async def work() -> None:
        with no_cycles(HttpProtocol):
            dialogue = limited(echo, 5)
            wires = [dialogue.connect() for _ in range(6)]
            for wire in wires:
                wire.lose()
                wire.protocol = None  # or they would refer to each other
            await asyncio.sleep(SECONDS)
            assert not dialogue.state.connections

    held(work)


@pytest.mark.parametrize("form", ["handover", "plain"])
def test_a_client_is_counted_once(form: str) -> None:
    opened: list[World] = []
    limits = ServerLimits(
        open_streams=lambda label: opened[0].process.telemetry.connections.labels(label).value
    )

    async def work(world: World) -> None:
        opened.append(world)
        if form == "plain":
            for path, endpoint in list(world.routes.items()):

                async def plain(scope: Any, receive: Any, send: Any, endpoint: Any = endpoint) -> None:
                    scope["extensions"].pop(HANDOVER_EXTENSION, None)
                    await endpoint(scope, receive, send)

                world.routes[path] = plain
        peers = []
        for request in (get("/dashboard/stream"), handshake("/cable")) * 2:
            peers.append(await world.connect())
            peers[-1].say(request)
            await peers[-1].head()
        idle = await world.connect()
        await until(lambda: world.connections.count == 4 and world.state.connections)
        admission = Admission.of(world.state, {})
        await until(lambda: admission.count == 5)
        assert len(world.state.connections) == (1 if form == "handover" else 5)
        for peer in (*peers, idle):
            peer.leave()
        await until(lambda: not admission.count)

    run(work, limits=limits)


# ---- how long

SECONDS = 10  # the default


def test_an_answer_that_is_not_taken_is_cut() -> None:
    async def work() -> None:
        dialogue = Dialogue(echo)
        wire = dialogue.connect()
        wire.stuck = True
        await dialogue.say(wire, UP, UP)
        await asyncio.sleep(SECONDS - 1)
        assert not wire.lost
        await asyncio.sleep(3)
        assert wire.aborted and dialogue.refusals == {"unread": 1}

    held(work)


@pytest.mark.parametrize("ending", ["connection: close", "x: y"])
def test_an_answer_that_is_taken_slowly_is_not_cut(ending: str) -> None:
    async def work() -> None:
        dialogue = Dialogue(echo)
        wire = dialogue.connect()
        wire.stuck = True
        await dialogue.say(wire, get("/up", "1.1", ending))
        assert wire.closed == ("close" in ending)
        for _ in range(5):
            await asyncio.sleep(SECONDS - 2)
            wire.taken(1)
        assert not wire.lost
        await asyncio.sleep(SECONDS + 2)
        assert wire.aborted

    held(work)


def test_who_does_not_take_one_of_many_pipelined_answers_is_cut() -> None:
    async def big(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, "x" * 50_000)

    async def work() -> None:
        dialogue = Dialogue(big)
        wire = dialogue.connect()
        wire.stuck = True
        await dialogue.say(wire, UP * 500)
        assert wire.unsent < 4 * 65536 and not wire.reading
        await asyncio.sleep(SECONDS + 2)
        assert wire.lost and dialogue.refusals == {"unread": 1}
        await settle()
        assert not dialogue.state.tasks and not dialogue.state.connections

    held(work)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_response_without_an_end_is_left_to_the_hub(version: str) -> None:
    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await until_gone(receive)

    async def work() -> None:
        dialogue = Dialogue(stream)
        wire = dialogue.connect()
        wire.stuck = True
        await dialogue.say(wire, get("/", version))
        await asyncio.sleep(10 * SECONDS)
        assert not wire.lost
        await stop(dialogue)

    held(work)


def test_a_refused_handshake_that_is_not_taken_is_cut() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    async def work() -> None:
        dialogue = Dialogue(refuse)
        wire = dialogue.connect()
        wire.stuck = True
        await dialogue.say(wire, handshake("/cable"))
        assert wire.said.startswith(b"HTTP/1.1 403 ") and wire.closed and not wire.lost
        await asyncio.sleep(SECONDS + 2)
        assert wire.aborted and not dialogue.state.connections

    held(work)


def test_a_close_that_the_peer_never_answers_is_an_end_all_the_same() -> None:
    """TLS waits for the peer's close_notify: the transport is closing, with nothing left to send."""

    async def work() -> None:
        dialogue = Dialogue(echo)
        wire = dialogue.connect()
        wire.close = lambda: setattr(wire, "closed", True)  # type: ignore[method-assign]
        await dialogue.say(wire, get("/up", "1.1", "connection: close"))
        assert wire.closed and not wire.lost
        await asyncio.sleep(SECONDS + 2)
        assert wire.aborted and not dialogue.state.connections

    held(work)
