"""websocket: whatever comes in on WebSockets, others get their turn, and little is held."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from websockets.frames import Opcode

from dashboard_rt.server.limits import ServerLimits
from dashboard_rt.server.websocket import (
    ALLOWANCE,
    ALLOWANCE_PER_SECOND,
    FRAMES_A_TURN,
    MAX_DROPPED,
    PORTION,
    PORTIONS_A_TURN,
    InboundQueue,
    PortionedInput,
)
from dashboard_rt.transports.connection import HANDOVER_EXTENSION
from tests.dialogue import held, settle
from tests.handovers import Peer, World, frame, get, handshake, run, turns, until

READ = 256 * 1024  # the most that one read brings
FRAME = 8  # bytes of a frame of the fake below


class Fake(PortionedInput):
    """A connection whose frames are FRAME bytes long."""

    def __init__(self, inbound: InboundQueue) -> None:
        self.inbound = inbound
        self.unparsed = b""
        self.allowance, self.since = ALLOWANCE, 0.0
        self.parsed = bytearray()
        self.calls: list[str] = []
        self.room = self.reading = True

    def parse(self, portion: bytes) -> int:
        self.parsed += portion
        return len(portion) // FRAME

    def may_parse(self) -> bool:
        return self.room

    def hold(self) -> None:
        self.reading = False

    def release(self) -> None:
        self.reading = True

    def refuse(self) -> None:
        self.calls.append("refused")


def with_queue(work: Callable[[InboundQueue, Counter[str]], Any]) -> None:
    async def run_() -> None:
        counted: Counter[str] = Counter()
        await work(InboundQueue(lambda reason: counted.update([reason])), counted)

    held(run_)


def test_a_short_read_is_parsed_as_it_comes() -> None:
    async def work(queue: InboundQueue, _: Any) -> None:
        fake = Fake(queue)
        fake.take(b"x" * PORTION)
        assert len(fake.parsed) == PORTION and fake.reading

    with_queue(work)


@pytest.mark.parametrize("floods", [1, 30])
def test_a_turn_of_the_loop_parses_little_however_many_flood(floods: int) -> None:
    async def work(queue: InboundQueue, _: Any) -> None:
        fakes = [Fake(queue) for _ in range(floods)]
        data = bytes(range(256)) * 64
        for fake in fakes:
            fake.take(data)
            assert len(fake.parsed) <= PORTION and not fake.reading
        before = sum(len(fake.parsed) for fake in fakes)
        assert PORTION <= before <= FRAMES_A_TURN * FRAME + PORTION
        while any(fake.unparsed for fake in fakes):
            await asyncio.sleep(0)
            now = sum(len(fake.parsed) for fake in fakes)
            assert before < now <= before + PORTIONS_A_TURN * PORTION
            before = now
        assert all(fake.parsed == data and fake.reading for fake in fakes)

    with_queue(work)


def test_short_reads_of_many_are_not_parsed_in_one_turn() -> None:
    async def work(queue: InboundQueue, _: Any) -> None:
        fakes = [Fake(queue) for _ in range(100)]
        data = bytes(range(256)) * (PORTION // 256)
        for fake in fakes:
            fake.take(data)
        before = sum(len(fake.parsed) for fake in fakes)
        assert before <= FRAMES_A_TURN * FRAME + PORTION
        one_frame = Fake(queue)
        while any(fake.unparsed for fake in fakes):
            await asyncio.sleep(0)
            now = sum(len(fake.parsed) for fake in fakes)
            assert before < now <= before + PORTIONS_A_TURN * PORTION
            before = now
            one_frame.take(b"x" * FRAME)
            assert not one_frame.unparsed, "the turn has room for others"
        assert all(fake.parsed == data and fake.reading for fake in fakes)

    with_queue(work)


def test_what_still_comes_is_queued_behind() -> None:
    async def work(queue: InboundQueue, _: Any) -> None:
        fake = Fake(queue)
        for letter in b"abc":
            fake.take(bytes([letter]) * 5000)
        await turns(40)
        assert fake.parsed == b"a" * 5000 + b"b" * 5000 + b"c" * 5000

    with_queue(work)


def test_what_has_no_room_waits_until_it_has() -> None:
    async def work(queue: InboundQueue, _: Any) -> None:
        fake = Fake(queue)
        fake.room = False
        fake.take(b"x")
        fake.take(b"y" * READ)
        await settle()
        assert not fake.parsed and not fake.reading
        fake.room = True
        fake.go_on()
        while fake.unparsed:
            await asyncio.sleep(0)
            fake.go_on()  # as often as it likes
        assert fake.parsed == b"x" + b"y" * READ and fake.reading

    with_queue(work)


def test_who_sends_more_than_one_read_can_bring_again_and_again_is_refused() -> None:
    async def work(queue: InboundQueue, counted: Counter[str]) -> None:
        fake = Fake(queue)
        for _ in range(ALLOWANCE // (PORTION // FRAME)):
            fake.take(b"x" * PORTION)
            await asyncio.sleep(0)
        assert not fake.calls
        fake.take(b"x" * PORTION)
        assert fake.calls == ["refused"] and counted == {"frames": 1}
        parsed = len(fake.parsed)
        fake.take(b"x" * MAX_DROPPED)
        assert fake.reading
        fake.take(b"x" * READ)
        await settle()
        assert len(fake.parsed) == parsed and not fake.reading, "dropped, then not read any more"

    with_queue(work)


def test_who_sends_many_over_a_long_time_is_not() -> None:
    async def work(queue: InboundQueue, _: Any) -> None:
        fake = Fake(queue)
        burst = PORTION // FRAME
        for _ in range(3 * ALLOWANCE // burst):
            fake.take(b"x" * PORTION)
            await asyncio.sleep(burst / ALLOWANCE_PER_SECOND + 0.01)
        assert not fake.calls

    with_queue(work)


def test_a_connection_that_is_lost_is_not_parsed_any_more() -> None:
    async def work(queue: InboundQueue, _: Any) -> None:
        fake = Fake(queue)
        fake.take(b"x" * READ)
        fake.drop_input()
        await settle()
        assert len(fake.parsed) == PORTION

    with_queue(work)


# ---- real WebSockets, handed over, on uvicorn's class, and with compression, which is uvicorn's class too

FORMS = ["handover", "plain", "deflate"]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


pytestmark = pytest.mark.usefixtures("nothing_is_logged")


def run_form(form: str, work: Any, counted: Counter[str] | None = None) -> None:
    async def without_offer(world: World) -> None:
        cable = world.routes["/cable"]

        async def plain(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"].pop(HANDOVER_EXTENSION, None)
            await cable(scope, receive, send)

        if form == "plain":
            world.routes["/cable"] = plain
        await work(world)

    counted = Counter() if counted is None else counted
    limits = ServerLimits(count=lambda reason: counted.update([reason]))
    run(without_offer, limits=limits, ws_per_message_deflate=form == "deflate")


async def welcomed(world: World) -> Peer:
    peer = await world.upgrade()
    assert json.loads(await peer.text())["type"] == "welcome"
    return peer


PING = frame('{"command":"ping"}')


def test_a_message_in_43000_fragments_delays_nobody(form: str) -> None:
    async def work(world: World) -> None:
        flood, other = await welcomed(world), await welcomed(world)
        flood.say(frame('{"command":', fin=False) + frame("", Opcode.CONT, fin=False) * 43_000)
        flood.say(frame('"ping"}', Opcode.CONT))
        arrived: list[str] = []

        async def answered(peer: Peer, name: str) -> None:
            assert await peer.text() == '{"type":"pong"}'
            arrived.append(name)

        first = asyncio.create_task(answered(flood, "flood"))
        await turns(5)
        for _ in range(3):
            other.say(PING)
            await answered(other, "other")
        await first
        assert arrived == ["other"] * 3 + ["flood"]
        for peer in (flood, other):
            peer.leave()
        await until(lambda: not world.connections.count)

    run_form(form, work)


FLOODS = {
    "fragments": (frame("", fin=False), frame("", Opcode.CONT, fin=False)),
    "pings": (b"", frame("", Opcode.PING)),
    "pongs": (b"", frame("", Opcode.PONG)),
    "messages": (b"", frame("", Opcode.BINARY)),
}


@pytest.mark.parametrize(
    ("form", "flood"),
    [*(("handover", flood) for flood in FLOODS), ("plain", "pings"), ("deflate", "fragments")],
)
def test_who_keeps_flooding_is_closed_with_1008(form: str, flood: str) -> None:
    first, again = FLOODS[flood]
    counted: Counter[str] = Counter()

    async def work(world: World) -> None:
        peer = await welcomed(world)
        peer.say(first + again * (ALLOWANCE + 5000))
        assert await peer.close_code() == 1008
        assert counted == {"frames": 1}
        peer.leave()
        await until(lambda: not world.connections.count)

    run_form(form, work, counted)


def test_frames_behind_a_full_buffer_wait_as_bytes_and_few(form: str) -> None:
    async def work(world: World) -> None:
        peer = await welcomed(world)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        count = 40_000  # pings of 100 bytes: their answers fill every buffer
        sent = asyncio.create_task(say_all(peer, frame("x" * 100, Opcode.PING), count))
        server = the_one()
        await until(lambda: server.unparsed)
        while True:
            before = len(server.unparsed)
            await turns(50)
            if len(server.unparsed) == before and not server.may_parse():
                break
        assert len(server.unparsed) <= READ
        transport = server._transport if form == "handover" else server.transport
        assert transport.get_write_buffer_size() < 2 * 65536
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        pongs = 0
        while pongs < count:
            got = await peer.frame()
            pongs += got.opcode is Opcode.PONG
        await sent
        peer.leave()
        await until(lambda: not world.connections.count)

    run_form(form, work)


async def say_all(peer: Peer, data: bytes, count: int) -> None:
    for _ in range(count // 1000):
        peer.say(data * 1000)
        await peer.writer.drain()


def the_one() -> Any:
    """The server's side of the only WebSocket."""
    (server,) = [it for it in gc.get_objects() if isinstance(it, PortionedInput) and it.unparsed is not None]
    return server


def test_a_close_between_two_fragments_is_a_clean_one(form: str) -> None:
    async def work(world: World) -> None:
        peer = await welcomed(world)
        close = frame((1000).to_bytes(2), Opcode.CLOSE)
        peer.say(frame("one", fin=False) + close + frame("two", Opcode.CONT))
        assert await peer.close_code() == 1000
        assert await peer.rest() == b""
        await until(lambda: not world.connections.count)

    run_form(form, work)


def test_who_does_not_answer_a_close_is_counted_until_it_is_cut(form: str) -> None:
    async def work(world: World) -> None:
        world.connections.draining = True  # so that it is told to go at once
        peer = await world.upgrade()
        assert json.loads(await peer.text())["type"] == "disconnect"
        assert await peer.close_code() == 1001
        await turns()
        assert world.connections.count == 1
        world.connections.cut_all()  # as after SEND_TIMEOUT
        await until(lambda: not world.connections.count)
        if form != "plain":  # the way to cut it was in the offer, which `run_form` has taken away
            await peer.rest()

    run_form(form, work)


def test_nothing_is_written_before_the_answer_to_the_handshake(form: str) -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(handshake("/cable") + frame("early", Opcode.PING) + PING)
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
        got = [await peer.frame() for _ in range(3)]
        assert {it.opcode for it in got} == {Opcode.PONG, Opcode.TEXT}
        peer.leave()
        await until(lambda: not world.connections.count)

    run_form(form, work)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(handshake("/cable", "origin: http://evil.example"), id="a foreign origin"),
        pytest.param(handshake("/cable", key="short"), id="a bad key"),
        pytest.param(handshake("/cable", version="12"), id="an old version"),
        pytest.param(handshake("/cable") + frame(b"\xff"), id="no UTF-8"),
        pytest.param(handshake("/cable") + b"garbage", id="no frames"),
        pytest.param(handshake("http://[::1"), id="no target"),
        pytest.param(get("/nothing", "1.1", "upgrade: h2c", "connection: upgrade, close"), id="h2c"),
        pytest.param(b"garbage\r\n\r\n", id="no HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200, id="many fields"),
    ],
)
def test_nothing_that_a_stranger_sends_is_logged(form: str, request_: bytes) -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(request_)
        assert (await peer.rest()).startswith(b"HTTP/1.1 ")
        peer.leave()
        await until(lambda: not world.state.connections and not world.state.tasks)

    run_form(form, work)
