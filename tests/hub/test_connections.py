"""connections: who comes in, who gets a heartbeat when, who is cut, and how all leave."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dashboard_rt.hub import connections
from dashboard_rt.hub.connections import SLICES, Wheel
from dashboard_rt.hub.subscription import Subscription
from dashboard_rt.settings import Settings
from dashboard_rt.transports.cable.session import CableSession
from dashboard_rt.transports.connection import CORK_BYTES, NO_SINK, Connection
from dashboard_rt.transports.sse import IDENTITY, SseConnection
from dashboard_rt.types import Kind, Verdict
from tests.leaks import no_cycles
from tests.simulation import FakeLog, FakeTransport, Process, Reader, VirtualLoop

STREAM = "dashboard_updates"


class Room:
    """One process with its timer running."""

    def __init__(self, **environ: str) -> None:
        self.log = FakeLog({STREAM: Kind.STATE})
        self.process = Process(self.log, Settings.read(environ))
        self.connections, self.telemetry = self.process.connections, self.process.telemetry

    def enter(self, wire: str) -> Reader:
        reader = Reader(STREAM, Kind.STATE)
        reader.connect(self.process, wire, resume=False)
        return reader

    def publish(self, count: int) -> None:
        self.process.follower.on_notification(self.log.append(STREAM, count))

    def value(self, name: str, **labels: str) -> float:
        return self.telemetry.value(name, **labels)


def simulate(work: Callable[[Room], Awaitable[None]], **environ: str) -> None:
    async def run() -> None:
        room = Room(**environ)
        await room.process.start()
        room.connections.start()
        await work(room)
        room.connections.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def buffer(reader: Reader) -> bytes:
    assert reader.transport is not None
    return reader.transport.buffer


def test_who_comes_and_goes_is_counted() -> None:
    async def work(room: Room) -> None:
        readers = [room.enter("sse"), room.enter("ext"), room.enter("base")]
        assert (room.connections.count, room.value("connections", transport="cable")) == (3, 2)
        assert room.value("opened", transport="sse", verdict=Verdict.FRESH) == 1
        assert {client.transport for client in room.connections} == {"sse", "cable"}
        for reader in readers:
            reader.drop()
        assert (room.connections.count, room.value("connections", transport="cable")) == (0, 0)
        assert room.value("closed", transport="cable", reason="lost") == 2
        assert list(room.connections) == []
        assert room.process.hub.topics[STREAM].groups == {}

    simulate(work)


@pytest.mark.parametrize("wire", ["sse", "ext"])
def test_who_has_gone_is_freed_at_once_without_the_collector(wire: str) -> None:
    async def work(room: Room) -> None:
        room.publish(3)
        with no_cycles(Connection, Subscription):
            reader = room.enter(wire)
            reader.read()
            reader.drop()
            del reader

    simulate(work)


def test_admission_is_bounded_by_max_clients() -> None:
    async def work(room: Room) -> None:
        first = room.enter("sse")
        assert room.connections.refusal(None) is None
        room.enter("ext")
        assert room.connections.refusal(None) == "full"
        first.drop()
        assert room.connections.refusal(None) is None

    simulate(work, MAX_CLIENTS="2")


def test_admission_is_bounded_per_address() -> None:
    async def work(room: Room) -> None:
        clients = [SseConnection(room.connections, IDENTITY) for _ in range(3)]
        for client, address in zip(clients, ("10.0.0.1", "10.0.0.1", "10.0.0.2"), strict=True):
            assert room.connections.refusal(address) is None
            client.sink = FakeTransport()
            room.connections.add(client, address)
        assert room.connections.refusal("10.0.0.1") == "full"
        assert room.connections.refusal("10.0.0.2") is None
        assert room.connections.refusal(None) is None
        clients[0].lost("lost")
        assert room.connections.refusal("10.0.0.1") is None
        for client in clients[1:]:
            client.lost("lost")
        assert not room.connections._addresses and not room.connections._address_of

    simulate(work, MAX_CLIENTS_PER_ADDRESS="2")


def test_everybody_gets_a_heartbeat_once_per_interval() -> None:
    async def work(room: Room) -> None:
        room.publish(1)
        sse = [room.enter("sse") for _ in range(40)]
        cable = [room.enter("ext") for _ in range(40)]
        for reader in (*sse, *cable):
            reader.read()
        await asyncio.sleep(30.01)
        assert {buffer(reader).count(b"event: heartbeat") for reader in sse} == {2}
        assert {buffer(reader).count(b'"type":"ping"') for reader in cable} == {10}
        assert b'"position":"e1-1"' in buffer(sse[0]) and b"id: e1-1\n" in buffer(sse[0])

    simulate(work)


def test_pings_carry_rising_unix_seconds() -> None:
    async def work(room: Room) -> None:
        reader = room.enter("base")
        reader.read()
        await asyncio.sleep(6.05)
        pings = [json.loads(line) for line in buffer(reader).splitlines()]
        assert [sorted(ping) for ping in pings] == [["message", "type"]] * len(pings)
        assert all(isinstance(ping["message"], int) and ping["message"] > 1_600_000_000 for ping in pings)
        assert len(pings) == 2

    simulate(work)


def test_heartbeats_skip_a_full_buffer_and_one_whose_last_word_is_said() -> None:
    async def work(room: Room) -> None:
        stuck, leaving = room.enter("ext"), room.enter("ext")
        room.publish(9)
        assert stuck.client is not None and stuck.client.paused
        leaving.read()
        leaving.client.goodbye("full", 1000)  # type: ignore[union-attr]
        assert leaving.client is not None and leaving.client.closing
        leaving.transport.closed = False  # type: ignore[union-attr]  # as a link is, until the peer answers
        before = buffer(stuck), buffer(leaving)
        await asyncio.sleep(5)
        assert (buffer(stuck), buffer(leaving)) == before

    simulate(work)


@pytest.mark.parametrize("wire", ["sse", "base", "ext"])
def test_a_buffer_that_fills_between_two_deliveries_gets_no_more_of_them(wire: str) -> None:
    """A heartbeat can fill it, and uvloop may notice a turn after a write that it is full."""

    async def work(room: Room) -> None:
        reader = room.enter(wire)
        reader.read()
        assert reader.client is not None and reader.transport is not None
        reader.client.pause_writing()
        room.publish(3)
        assert buffer(reader) == b""
        assert room.value("lagging", transport=reader.client.transport) == 1
        reader.client.resume_writing()
        reader.read()
        assert reader.seen == [1, 2, 3]
        assert room.value("lagging", transport=reader.client.transport) == 0

    simulate(work)


@pytest.mark.parametrize(("wire", "heartbeat"), [("base", b'"type":"ping"'), ("sse", b"event: heartbeat")])
def test_a_heartbeat_that_is_due_goes_out_ahead_of_the_next_updates(wire: str, heartbeat: bytes) -> None:
    async def work(room: Room) -> None:
        slow = room.enter(wire)
        assert slow.transport is not None
        for _ in range(4):  # it reads all the time, but never gets to the end
            room.publish(12)
            room.publish(12)
            assert slow.client is not None and slow.client.paused
            await asyncio.sleep(3.5)
            slow.transport.read()
            assert heartbeat in buffer(slow).split(b"}\n")[0]
            assert buffer(slow).count(b'"pad"') >= 12, "and the next updates behind it"

    simulate(work, SSE_HEARTBEAT="3", CABLE_PING="3")


@pytest.mark.parametrize("wire", ["sse", "cable"])
def test_who_is_refused_counts_until_its_socket_is_closed_but_takes_no_place(wire: str) -> None:
    async def work(room: Room) -> None:
        staying = room.enter("sse")
        transport = FakeTransport()
        refused: SseConnection | CableSession
        if wire == "sse":
            refused = SseConnection(room.connections, IDENTITY)
        else:
            refused = CableSession(room.connections, room.process.wires, room.telemetry, ext=True, raw=False)
            refused.socket = transport
        transport.client, refused.sink = refused, transport
        refused.refuse(b"", "full")
        open_of_its_kind = 2 if wire == "sse" else 1
        assert (room.connections.count, room.value("connections", transport=wire)) == (2, open_of_its_kind)
        assert set(room.connections) == {staying.client, refused}
        staying.drop()
        assert room.connections.refusal(None) is None, "its place is free"
        await asyncio.sleep(11)
        assert transport.aborted
        refused.lost("error")
        assert (room.connections.count, room.value("connections", transport=wire)) == (0, 0)

    simulate(work, MAX_CLIENTS="1", SEND_TIMEOUT="10")


def test_one_that_breaks_in_its_heartbeat_costs_the_others_nothing() -> None:
    class Broken(FakeTransport):
        def write(self, data: bytes) -> None:
            if self.broken:
                raise RuntimeError("Cannot call write() after write_eof()")
            super().write(data)

        broken = False

    async def work(room: Room) -> None:
        readers = [room.enter("ext") for _ in range(41)]
        broken = readers[0]
        assert broken.client is not None
        broken.client.sink = broken.transport = transport = Broken()
        transport.broken = True
        for reader in readers[1:]:
            reader.read()
        await asyncio.sleep(3.2)
        assert all(b"ping" in buffer(reader) for reader in readers[1:])
        assert transport.aborted
        assert room.value("swallowed", where="connections.heartbeat") >= 1

    simulate(work)


def test_who_takes_nothing_for_send_timeout_is_cut() -> None:
    async def work(room: Room) -> None:
        stuck, slow = room.enter("ext"), room.enter("ext")
        room.publish(9)
        assert stuck.transport is not None and slow.transport is not None
        assert room.value("lagging", transport="cable") == 2
        for _ in range(8):
            await asyncio.sleep(4)
            slow.transport.buffer = slow.transport.buffer[10:]  # it reads, if only a little
        assert stuck.transport.aborted and not slow.transport.aborted
        assert room.value("aborted", transport="cable") == 1
        assert room.value("lagging", transport="cable") == 1

    simulate(work, SEND_TIMEOUT="10")


def test_who_does_not_take_its_last_word_is_cut() -> None:
    async def work(room: Room) -> None:
        reader = room.enter("sse")
        assert reader.client is not None and reader.transport is not None
        reader.client.goodbye("full", 1000)
        await asyncio.sleep(9)
        assert not reader.transport.aborted
        await asyncio.sleep(2)
        assert reader.transport.aborted

    simulate(work, SEND_TIMEOUT="10")


def test_a_drain_says_goodbye_to_each_once_and_ends_when_all_have_gone() -> None:
    async def work(room: Room) -> None:
        readers = [room.enter(wire) for wire in ("sse", "ext") * 30]

        async def read_on() -> None:
            while room.connections.count:
                await asyncio.sleep(0.05)
                for reader in readers:
                    reader.read()

        reading = asyncio.ensure_future(read_on())
        began = asyncio.get_running_loop().time()
        await room.connections.drain()
        await reading
        assert asyncio.get_running_loop().time() - began < 5
        assert all(reader.told_to_go for reader in readers)
        assert room.value("aborted", transport="sse") == 0
        assert room.connections.refusal(None) == "server_restart"

    simulate(work)


def test_a_drain_cuts_who_is_left_at_its_deadline() -> None:
    async def work(room: Room) -> None:
        stuck = room.enter("ext")
        began = asyncio.get_running_loop().time()
        await room.connections.drain()
        assert asyncio.get_running_loop().time() - began == pytest.approx(4, abs=0.1)
        assert stuck.transport is not None and stuck.transport.aborted

    simulate(work, DRAIN_SECONDS="4")


def test_a_drain_waits_a_second_for_answers_and_longer_for_who_still_reads() -> None:
    async def work(room: Room) -> None:
        silent, reading = room.enter("ext"), room.enter("ext")
        loop = asyncio.get_running_loop()
        assert silent.transport is not None and reading.transport is not None
        room.publish(9)
        began = loop.time()
        draining = loop.create_task(room.connections.drain())
        await asyncio.sleep(0.5)
        transports = silent.transport, reading.transport
        transports[0].buffer = b""  # taken, but the close frame is not answered
        await asyncio.sleep(0.4)
        assert [transport.aborted for transport in transports] == [False, False]
        await asyncio.sleep(0.3)
        assert [transport.aborted for transport in transports] == [True, False]
        silent.drop()  # as the transport tells after an abort
        await asyncio.sleep(1.8)
        assert [transport.aborted for transport in transports] == [True, False]
        transports[1].buffer = b""
        await asyncio.sleep(0.2)
        assert [transport.aborted for transport in transports] == [True, True]
        reading.drop()
        await draining
        assert loop.time() - began == pytest.approx(3.2, abs=0.2)
        assert room.value("aborted", transport="cable") == 0, "they took everything"

    simulate(work)


class Told(SseConnection):
    """One that takes its goodbye at once, and notes when it was said and the seconds until it may come back."""

    __slots__ = ("at", "retry")

    def goodbye(self, reason: str, retry_ms: int) -> None:
        super().goodbye(reason, retry_ms)
        self.at, self.retry = asyncio.get_running_loop().time(), retry_ms / 1000
        self.lost("lost")


@pytest.mark.parametrize(
    ("clients", "seconds"), [(1, 0.02), (100, 2), (500, 5), (20_000, 5)], ids=lambda value: f"{value}"
)
def test_a_drain_spreads_the_goodbyes_and_evenly_those_who_come_back(clients: int, seconds: float) -> None:
    async def work(room: Room) -> None:
        told = [Told(room.connections, IDENTITY) for _ in range(clients)]
        for client in told:
            client.sink = FakeTransport()
            room.connections.add(client, None)
        began = asyncio.get_running_loop().time()
        await room.connections.drain()
        moments = sorted(client.at - began for client in told)
        assert moments[0] < moments[-1] or clients == 1
        assert seconds * 0.9 <= moments[-1] <= seconds or clients == 1
        assert all(1 <= client.retry <= 5 for client in told)
        back = sorted(client.at + client.retry for client in told)
        mean = clients / (back[-1] - back[0] or 1)
        worst = max(Counter(int(at - back[0]) for at in back).values())
        assert worst <= max(1, 1.25 * mean), "no second sees many more than the others"
        order = [client.at for client in told]
        assert order != sorted(order) or clients == 1, "those who came first are not told first"

    simulate(work, MAX_CLIENTS="20000")


def test_a_drain_that_has_no_time_says_goodbye_all_the_same() -> None:
    async def work(room: Room) -> None:
        readers = [room.enter("sse") for _ in range(300)]
        await room.connections.drain()
        assert all(buffer(reader).count(b"event: goodbye") == 1 for reader in readers)
        assert asyncio.get_running_loop().time() < 0.1

    simulate(work, DRAIN_SECONDS="0")


def test_a_drain_reports_what_became_of_everybody(caplog: pytest.LogCaptureFixture) -> None:
    async def work(room: Room) -> None:
        leaving, silent, stuck = room.enter("sse"), room.enter("ext"), room.enter("ext")
        draining = asyncio.ensure_future(room.connections.drain())
        await asyncio.sleep(0.5)
        leaving.read()
        assert silent.transport is not None and stuck.transport is not None
        silent.transport.buffer = b""
        await asyncio.sleep(1)
        assert silent.transport.aborted
        silent.drop()
        await draining
        assert stuck.transport.aborted

    with caplog.at_level(logging.INFO):
        simulate(work, DRAIN_SECONDS="4")
        simulate(nobody)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("connections")] == [
        "Drained in 4.0 s: 3 of 3 clients were told to come back, 1 of them did not answer; 1 were cut."
    ]


async def nobody(room: Room) -> None:
    await room.connections.drain()


def test_a_second_drain_and_a_lost_client_say_nothing_twice() -> None:
    async def work(room: Room) -> None:
        staying, lost = room.enter("sse"), room.enter("ext")
        transport = lost.transport
        first = asyncio.ensure_future(room.connections.drain())
        await asyncio.sleep(0.001)
        lost.drop()
        await room.connections.drain()
        await first
        assert buffer(staying).count(b"event: goodbye") == 1
        assert transport is not None and transport.buffer.count(b'"disconnect"') <= 1
        assert not [c for c in room.connections._closing if isinstance(c, CableSession)]

    simulate(work, DRAIN_SECONDS="1")


def test_the_time_to_come_back_is_spread() -> None:
    async def work(room: Room) -> None:
        times = Counter(room.connections.retry_ms() for _ in range(300))
        assert len(times) > 100
        assert min(times) >= 1000 and max(times) <= 5000

    simulate(work)


def test_nowhere_takes_everything_and_keeps_nothing() -> None:
    NO_SINK.write(b"x")
    NO_SINK.close()
    NO_SINK.abort()
    assert NO_SINK.get_write_buffer_size() == 0


def test_words_that_are_held_leave_in_one_write_and_long_ones_at_once() -> None:
    async def work(room: Room) -> None:
        client = SseConnection(room.connections, IDENTITY)
        writes: list[int] = []

        class Sink(FakeTransport):
            def write(self, data: bytes) -> None:
                writes.append(len(data))

        client.sink = Sink()
        client.cork(b"head")
        client.write(b"a")
        client.write(b"b")
        assert writes == []
        client.uncork()
        client.uncork()
        client.write(b"c")
        client.cork()
        client.write(b"x" * (CORK_BYTES + 1))
        client.write(b"y")
        client.uncork()
        assert writes == [6, 1, CORK_BYTES + 1, 1]

    simulate(work)


# ---- the wheel


def wheel_of(steps: int, names: str) -> tuple[Wheel, dict[str, Any], dict[str, int]]:
    wheel = Wheel(steps)
    members: dict[str, Any] = {name: object() for name in names}
    return wheel, members, {name: wheel.add(member) for name, member in members.items()}


def test_each_connection_is_due_once_per_round_and_the_slots_are_even() -> None:
    wheel = Wheel(SLICES)
    members: list[Any] = [object() for _ in range(40 * SLICES)]
    for member in members:
        wheel.add(member)
    turns = [wheel.turn() for _ in range(SLICES)]
    assert {len(due) for due in turns} == {40}
    assert Counter(id(member) for due in turns for member in due) == Counter(map(id, members))
    assert set(wheel) == set(members)


def test_a_removed_connection_is_due_no_more() -> None:
    wheel, members, slots = wheel_of(3, "abcdef")
    wheel.remove(members["c"], slots["c"])
    wheel.remove(members["c"], slots["c"])  # harmless
    left = {member for name, member in members.items() if name != "c"}
    assert set(wheel) == left
    assert {member for _ in range(3) for member in wheel.turn()} == left


def test_a_slot_may_be_changed_while_it_is_served() -> None:
    wheel, _, slots = wheel_of(1, "ab")
    for member in wheel.turn():
        wheel.remove(member, slots["a"])
    assert list(wheel) == []


# ---- the end of a ticket


def unix(room: Room) -> None:
    """Let the Unix clock follow the virtual one."""
    loop = asyncio.get_running_loop()
    room.connections.clock = lambda: 1000 + loop.time()


def goodbyes(reader: Reader) -> list[str]:
    return [word for word in ("token_expired", "server_restart") if word in buffer(reader).decode()]


@pytest.mark.parametrize("wire", ["sse", "ext", "base"])
def test_a_connection_ends_when_its_ticket_does_and_the_others_stay(wire: str) -> None:
    async def work(room: Room) -> None:
        unix(room)
        soon, late, never = (room.enter(wire) for _ in range(3))
        assert soon.client and late.client
        room.connections.end_at(late.client, 1020)
        room.connections.end_at(soon.client, 1009.2)
        await asyncio.sleep(9)
        assert not goodbyes(soon)
        await asyncio.sleep(2)
        assert goodbyes(soon) == ["token_expired"] and soon.transport and soon.transport.closed
        assert not goodbyes(late) and not goodbyes(never)
        await asyncio.sleep(10)
        assert goodbyes(late) == ["token_expired"] and not goodbyes(never)
        assert room.value("closed", transport=room.connections.transports[wire != "sse"], reason="lost") == 0

    simulate(work)


def test_nothing_is_kept_of_tickets_whose_connections_have_gone() -> None:
    async def work(room: Room) -> None:
        unix(room)
        with no_cycles(Connection, Subscription):
            gone, ended, refused = (room.enter("sse") for _ in range(3))
            assert gone.client and ended.client and refused.client
            client = refused.client
            refused.drop()
            room.connections.end_at(client, 1005)
            room.connections.end_at(gone.client, 1005)
            room.connections.end_at(ended.client, 1005)
            gone.drop()
            assert list(room.connections._end_of) == [ended.client]
            assert room.connections._ending == {1005: {ended.client}}
            await asyncio.sleep(6)
            ended.read()
            assert ended.told_to_go
            ended.drop()
            del gone, ended, refused, client
        assert not room.connections._ending and not room.connections._end_of

    simulate(work)


def test_many_tickets_of_one_second_end_over_several_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ENDS_PER_SWEEP", 2)

    async def work(room: Room) -> None:
        unix(room)
        readers = [room.enter("sse") for _ in range(5)]
        for reader in readers:
            assert reader.client
            room.connections.end_at(reader.client, 1001)
        told = []
        for _ in range(40):
            await asyncio.sleep(0.1)
            told.append(sum(bool(goodbyes(reader)) for reader in readers))
        assert told[-1] == 5 and {2, 4} <= set(told)

    simulate(work)
