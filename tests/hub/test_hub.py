"""Hub: the promise of design §1 under random interleavings, and the cases one wants to see by name."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard_rt.hub import hub as hub_module
from dashboard_rt.hub import tail as tail_module
from dashboard_rt.hub.subscription import Resume, Subscription
from dashboard_rt.settings import Settings
from dashboard_rt.transports.cable.frames import CableWire
from dashboard_rt.transports.sse import IDENTITY, SseConnection, SseRequest
from dashboard_rt.types import Kind, Notification, Position
from tests import simulation
from tests.simulation import FakeLog, FakeTransport, Process, Reader, VirtualLoop
from tests.talker import HOW, Talker

KINDS = {"dashboard_updates": Kind.STATE, "events": Kind.LOG}
SMALL = {
    "STREAMS": "dashboard_updates:state,events:log",
    "TAIL_SIZE": "8",
    "MAX_REPLAY": "12",
    "POLL_SECONDS": "1",
}
WIRES = ("sse", "base", "ext")


def simulate(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


async def settle(turns: int = 30) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


# What is swallowed where the log cannot be read.
LOG_AWAY = {"resume.look", "resume.since", "hub.read_log"}


class World:
    """Two processes on one log, readers on both, and notifications on their way."""

    def __init__(self) -> None:
        self.settings = Settings.read(SMALL)
        self.log = FakeLog(KINDS)
        self.processes: list[Process] = []
        self.readers = [Reader(name, kind) for name, kind in KINDS.items() for _ in range(3)]
        self.notifications: list[list[Notification]] = [[], []]  # one way to each process
        self.talker = Talker(KINDS)
        self.at: dict[Reader | Talker, int] = {}

    async def start(self) -> World:
        self.processes = [Process(self.log, self.settings) for _ in range(2)]
        for process in self.processes:
            await process.start()
        self.talk(0)
        return self

    def publish(self, stream: str, count: int) -> None:
        notification = self.log.append(stream, count)
        for way in self.notifications:
            way.append(notification)

    async def restart(self, index: int) -> None:
        for client, at in list(self.at.items()):
            if at == index:
                client.drop()
        self.processes[index] = Process(self.log, self.settings)
        await self.processes[index].start()
        self.notifications[index].clear()

    def connect(self, reader: Reader, index: int, wire: str, resume: bool) -> None:
        reader.drop()
        self.at[reader] = index
        reader.connect(self.processes[index], wire, resume)

    def talk(self, index: int) -> None:
        self.at[self.talker] = index
        self.talker.connect(self.processes[index], self.log)

    async def finish(self) -> None:
        """All notifications are lost; every process refreshes, every client reads and reconnects: then all know all."""
        self.log.broken, self.log.slowness = False, 1
        for process in self.processes:
            await process.follower.refresh()
        await asyncio.sleep(2 * self.settings.poll_seconds)  # those who met a broken log try again
        for _ in range(60):
            for reader in self.readers:
                if not reader.connected:
                    self.connect(reader, 0, "sse", resume=True)
                reader.read()
            self.talker.read()
            await settle()
        self.check()

    def check(self) -> None:
        for reader in self.readers:
            head = len(self.log.texts[reader.stream])
            assert reader.position == Position(self.log.epoch, head), (reader.stream, reader.verdicts)
        for record in self.talker.records if self.talker.session is not None else ():
            head = len(self.log.texts[record.stream])
            assert record.state == "off" or record.position == Position(self.log.epoch, head)
        assert self.talker.session is None or self.talker.all_is_said()
        for process in self.processes:
            hub = process.hub
            swallowed = {where for (where,) in process.telemetry.swallowed._values}
            assert swallowed <= LOG_AWAY, "an error that no log that is away explains"
            assert not hub._resumer._questions and not hub._resumer._tasks and not hub._tasks


numbers = st.integers(0, 5)
topics = st.integers(0, 3)  # the talker's subscriptions
steps = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(sorted(KINDS)), st.integers(1, 9)),
    st.tuples(
        st.just("notification"),
        st.integers(0, 1),
        st.sampled_from(["take", "lose", "double", "late", "bare"]),
    ),
    st.tuples(st.just("connect"), numbers, st.integers(0, 1), st.sampled_from(WIRES), st.booleans()),
    st.tuples(st.just("drop"), numbers),
    st.tuples(st.just("read"), numbers, st.one_of(st.none(), st.integers(1, 300))),
    st.tuples(st.just("look"), st.integers(0, 1)),
    st.tuples(st.just("trim"), st.sampled_from(sorted(KINDS)), st.integers(1, 12)),
    st.tuples(st.just("delete"), st.sampled_from(sorted(KINDS)), st.integers(0, 14)),
    st.tuples(st.just("restart"), st.integers(0, 1)),
    st.tuples(st.just("outage"), st.booleans()),
    st.tuples(st.just("rollback"), st.sampled_from(sorted(KINDS)), st.integers(1, 4)),
    st.tuples(st.just("settle")),
    st.tuples(st.just("turn"), st.integers(1, 4)),
    st.tuples(st.just("slowness"), st.integers(1, 9)),
    st.tuples(st.just("second")),
    st.tuples(st.just("talk"), st.integers(0, 1)),
    st.tuples(st.just("hear"), st.one_of(st.none(), st.integers(1, 300))),
    st.tuples(st.just("subscribe"), topics, st.sampled_from(HOW)),
    st.tuples(st.just("again"), topics),
    st.tuples(st.just("unsubscribe"), topics),
    st.tuples(st.just("history"), topics, st.integers(0, 14), st.booleans()),
    st.tuples(st.just("refresh"), topics),
)


async def take_step(world: World, step: tuple[Any, ...]) -> None:
    """One thing happens."""
    if not (talk_step(world.talker, step) or log_step(world.log, step)):
        await world_step(world, step)


def talk_step(talker: Talker, step: tuple[Any, ...]) -> bool:
    """Whether it was something that the talker says or hears."""
    match step:
        case ("hear", most):
            talker.read(most)
        case ("subscribe", number, how):
            talker.subscribe(number, how)
        case ("again", number):
            talker.subscribe_again(number)
        case ("unsubscribe", number):
            talker.unsubscribe(number)
        case ("history", number, back, since):
            talker.history(number, back, since)
        case ("refresh", number):
            talker.refresh(number)
        case _:
            return False
    return True


def log_step(log: FakeLog, step: tuple[Any, ...]) -> bool:
    """Whether it was something that happens to the log alone."""
    match step:
        case ("trim", stream, keep):
            log.trim(stream, keep)
        case ("delete", stream, back):
            log.remove(stream, max(1, len(log.texts[stream]) - back))
        case ("outage", broken):
            log.broken = broken
        case ("slowness", turns):
            log.slowness = turns
        case ("second",):
            log.seconds += 1
        case _:
            return False
    return True


async def world_step(world: World, step: tuple[Any, ...]) -> None:
    """Something that happens to processes and readers."""
    match step:
        case ("publish", stream, count):
            world.publish(stream, count)
        case ("notification", index, how):
            receive(world, index, how)
        case ("connect", number, index, wire, resume):
            world.connect(world.readers[number], index, wire, resume)
        case ("drop", number):
            world.readers[number].drop()
        case ("read", number, most):
            world.readers[number].read(most)
        case ("look", index) if not world.log.broken:
            await world.processes[index].follower.refresh()
        case ("restart", index) if not world.log.broken:
            await world.restart(index)
        case ("rollback", stream, count) if not world.log.broken:
            world.log.roll_back(stream, count)
            for (
                way
            ) in world.notifications:  # nothing of the lost life is still on its way when the restore ends
                way.clear()
            for process in world.processes:
                await process.follower.refresh()
        case ("settle" | "turn", *turns):
            await settle(*turns)
        case ("talk", index):
            world.talk(index)


def receive(world: World, index: int, how: str) -> None:
    """A notification arrives, or does not."""
    way = world.notifications[index]
    if not way:
        return
    notification = way.pop(-1 if how == "late" else 0)
    match how:
        case "take" | "late":
            world.processes[index].follower.on_notification(notification)
        case "double":
            world.processes[index].follower.on_notification(notification)
            world.processes[index].follower.on_notification(notification)
        case "bare":
            world.processes[index].follower.on_notification(notification._replace(texts=()))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=5, max_size=80))
def test_nothing_is_lost_doubled_or_disordered_without_being_told(plan: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        world = await World().start()
        for step in plan:
            await take_step(world, step)
        await world.finish()

    # so that a batch is several writes, and a delivery several turns of the loop
    with patch.object(tail_module, "WRITE_BYTES", 700), patch.object(hub_module, "ENCODINGS_PER_TURN", 3):
        simulate(run())


@pytest.mark.parametrize("wire", WIRES)
def test_a_reader_that_comes_back_gets_exactly_what_it_missed(wire: str) -> None:
    async def run() -> None:
        world = await World().start()
        reader = world.readers[3]
        world.connect(reader, 0, wire, resume=False)
        for _ in range(3):
            world.publish("events", 1)
            receive(world, 0, "take")
        reader.read()
        reader.drop()
        world.publish("events", 5)
        await world.processes[1].follower.refresh()
        world.connect(reader, 1, wire, resume=True)
        reader.read()
        await settle()
        reader.read()
        assert reader.verdicts == ["fresh", "recovered"]
        assert reader.seen == list(range(1, 9))

    simulate(run())


@pytest.mark.parametrize("wire", WIRES)
def test_a_log_that_knows_more_than_this_process_does_not_lead_a_reader_beyond_its_head(wire: str) -> None:
    async def run() -> None:
        world = await World().start()
        for _ in range(10):
            world.publish("events", 1)
            receive(world, 0, "take")
        world.publish("events", 2)  # of which this process has not heard
        reader = world.readers[3]
        reader.position = Position(world.log.epoch, 0)
        world.connect(reader, 0, wire, resume=True)
        await settle()
        reader.read()
        assert reader.seen == list(range(1, 13)), "it looks before it judges what only the log holds"
        await world.processes[0].follower.refresh()
        reader.read()
        assert reader.seen == list(range(1, 13))
        assert reader.verdicts == ["recovered"]

    simulate(run())


def test_a_full_buffer_costs_the_reader_nothing_but_time() -> None:
    async def run() -> None:
        world = await World().start()
        slow, fast = world.readers[3], world.readers[4]
        for reader in (slow, fast):
            world.connect(reader, 0, "sse", resume=False)
        for _ in range(10):
            world.publish("events", 1)
            receive(world, 0, "take")
            fast.read()
        assert slow.client is not None and slow.client.paused
        assert fast.seen == list(range(1, 11))
        for _ in range(10):
            slow.read()
            await settle()
        assert slow.seen == list(range(1, 11))
        assert slow.verdicts == ["fresh"]

    simulate(run())


def test_an_sse_reader_that_fell_too_far_behind_is_told_gap_and_goes_on() -> None:
    async def run() -> None:
        world = await World().start()
        slow = world.readers[3]
        world.connect(slow, 0, "sse", resume=False)
        for _ in range(6):
            world.publish("events", 8)
            receive(world, 0, "take")
        for _ in range(10):
            slow.read()
            await settle()
        assert slow.verdicts == ["fresh", "gap"]
        assert slow.position == Position(world.log.epoch, 48)

    simulate(run())


def test_a_cable_reader_that_fell_too_far_behind_is_sent_away() -> None:
    async def run() -> None:
        world = await World().start()
        slow = world.readers[3]
        world.connect(slow, 0, "ext", resume=False)
        for _ in range(6):
            world.publish("events", 8)
            receive(world, 0, "take")
        slow.read()
        slow.read()
        assert slow.told_to_go

    simulate(run())


def test_a_position_ahead_of_this_process_is_looked_up_before_the_decision() -> None:
    async def run() -> None:
        world = await World().start()
        world.publish("events", 4)
        reader = world.readers[3]
        reader.position = Position(world.log.epoch, 2)
        world.connect(reader, 0, "sse", resume=True)
        await settle()
        reader.read()
        assert reader.verdicts == ["recovered"]
        assert reader.seen == [3, 4]

    simulate(run())


@pytest.mark.parametrize("wire", WIRES)
def test_a_reader_that_is_ahead_of_a_process_without_its_log_waits_for_it(wire: str) -> None:
    """Another process has sent it updates that this one has not read: with `gap` it would get them twice."""

    async def run() -> None:
        world = await World().start()
        world.publish("events", 4)
        reader = world.readers[3]
        reader.position = Position(world.log.epoch, 3)
        world.log.broken = True
        world.connect(reader, 0, wire, resume=True)
        await asyncio.sleep(60)
        reader.read()
        assert reader.verdicts == []
        world.log.broken = False
        await asyncio.sleep(1)
        reader.read()
        assert (reader.verdicts, reader.seen) == (["recovered"], [4])
        assert not world.processes[0].hub._resumer._questions

    simulate(run())


def test_a_reader_that_leaves_while_it_waits_for_the_log_is_forgotten() -> None:
    async def run() -> None:
        world = await World().start()
        world.publish("events", 4)
        world.log.broken = True
        world.readers[3].position = Position(world.log.epoch, 3)
        world.connect(world.readers[3], 0, "sse", resume=True)
        await asyncio.sleep(5)
        world.readers[3].drop()
        await asyncio.sleep(1)
        assert not world.processes[0].hub._resumer._tasks

    simulate(run())


async def turns_until_served(readers: list[Reader], updates: int) -> list[int]:
    """Return how many readers have got all updates after each turn of the loop."""

    def served() -> int:
        for reader in readers:
            reader.read()
        return sum(reader.seen == list(range(1, updates + 1)) for reader in readers)

    counts = [served()]
    while counts[-1] < len(readers) and len(counts) < 100:
        await asyncio.sleep(0)
        counts.append(served())
    return counts


def most_in_a_turn(counts: list[int]) -> int:
    return max(after - before for before, after in pairwise(counts))


@pytest.mark.parametrize("sharing", [1, 2])  # so many clients use each identifier
def test_a_delivery_in_many_encodings_gives_the_loop_its_turn(sharing: int) -> None:
    async def run() -> None:
        log = FakeLog(KINDS)
        process = Process(log, Settings.read(SMALL))
        await process.start()
        readers = [Reader("events", Kind.LOG) for _ in range(64)]
        for number, reader in enumerate(readers):
            reader.connect(process, "base", resume=False, number=number // sharing)
            reader.read()
        plain = [Reader("events", Kind.LOG) for _ in range(3)]
        for reader in plain:
            reader.connect(process, "base", resume=False)
            reader.read()
        process.follower.on_notification(log.append("events", 2))
        for reader in plain:
            reader.read()
            assert reader.seen == [1, 2], "whom an encoding serves best is served first"
        counts = await turns_until_served(readers, 2)
        assert counts[-1] == len(readers)
        # At once the groups of the common wires; in a turn readers for ten encodings of one update or more.
        assert counts[0] <= hub_module.COMMON_WIRES * sharing
        assert most_in_a_turn(counts) <= 10

    with patch.object(hub_module, "ENCODINGS_PER_TURN", 10):
        simulate(run())


def test_many_who_catch_up_at_once_give_the_loop_its_turn() -> None:
    async def run() -> None:
        log = FakeLog(KINDS)
        process = Process(log, Settings.read(SMALL))
        await process.start()
        log.append("events", 4)
        await process.follower.refresh()
        readers = [Reader("events", Kind.LOG) for _ in range(30)]
        for number, reader in enumerate(readers):
            reader.position = Position(log.epoch, 0)
            reader.connect(process, "base", resume=True, number=number)
        counts = await turns_until_served(readers, 4)
        assert counts[-1] == len(readers)
        # 10 encodings are two readers that get four updates each, and a third.
        assert most_in_a_turn([0, *counts]) <= 3

    with patch.object(hub_module, "ENCODINGS_PER_TURN", 10):
        simulate(run())


def test_a_reader_far_behind_gets_one_piece_a_turn() -> None:
    async def run() -> None:
        log = FakeLog(KINDS)
        process = Process(log, Settings.read({**SMALL, "MAX_REPLAY": "1000", "TAIL_SIZE": "1000"}))
        await process.start()
        log.append("events", 10 * tail_module.ALIGN)
        await process.follower.refresh()
        reader = Reader("events", Kind.LOG)
        reader.position = Position(log.epoch, 0)
        reader.connect(process, "base", resume=True)
        counts = [0]
        while counts[-1] != 10 * tail_module.ALIGN:
            reader.read()
            counts.append(len(reader.seen))
            await asyncio.sleep(0)
        assert most_in_a_turn(counts) == tail_module.ALIGN

    with patch.object(hub_module, "ENCODINGS_PER_TURN", 10), patch.object(simulation, "HIGH_WATER", 1 << 20):
        simulate(run())


def test_a_reader_that_waits_for_its_turn_and_gets_room_meanwhile_is_sent_nothing_twice() -> None:
    async def run() -> None:
        log = FakeLog(KINDS)
        process = Process(log, Settings.read(SMALL))
        await process.start()
        readers = [Reader("events", Kind.LOG) for _ in range(12)]
        for number, reader in enumerate(readers):
            reader.connect(process, "base", resume=False, number=number)
            reader.read()
        process.follower.on_notification(log.append("events", 1))
        last = readers[-1]
        assert last.client is not None
        assert last.seen == []
        last.client.pause_writing()
        last.client.resume_writing()  # it is current before its turn comes
        with patch.object(hub_module, "ENCODINGS_PER_TURN", 100):
            process.follower.on_notification(log.append("events", 1))
        await settle()
        for reader in readers:
            reader.read()  # fails for what comes twice
            assert reader.seen == [1, 2]

    with patch.object(hub_module, "ENCODINGS_PER_TURN", 3):
        simulate(run())


def test_an_update_is_not_encoded_on_for_a_group_that_has_no_room_left() -> None:
    async def run() -> None:
        log = FakeLog(KINDS)
        process = Process(log, Settings.read(SMALL))
        await process.start()
        reader = Reader("events", Kind.LOG)
        reader.connect(process, "base", resume=False)
        reader.read()
        (wire,) = process.hub.topics["events"].groups
        with patch.object(CableWire, "encode", autospec=True, side_effect=CableWire.encode) as encode:
            process.follower.on_notification(log.append("events", 12))
        assert wire.overhead and encode.call_count < 6
        await settle()
        for _ in range(20):
            reader.read()
        assert reader.seen == list(range(1, 13))

    with patch.object(tail_module, "WRITE_BYTES", 400):
        simulate(run())


class Faulty(SseConnection):
    """A connection with a fault in the method that `fault` names."""

    __slots__ = ("fault",)
    fault: str

    def _fail(self, method: str) -> None:
        if self.fault == method:
            raise RuntimeError("a fault of ours")

    def write(self, data: bytes) -> None:
        self._fail("write")
        super().write(data)

    def on_verdict(self, subscription: Subscription, resume: Resume) -> None:
        self._fail("on_verdict")
        super().on_verdict(subscription, resume)

    def on_fell_behind(self, subscription: Subscription, resume: Resume) -> bool:
        self._fail("on_fell_behind")
        return super().on_fell_behind(subscription, resume)


@pytest.mark.parametrize(
    ("fault", "position", "later"),
    [
        ("on_verdict", None, "nothing"),  # while its endpoint hands it over
        ("on_verdict", 3, "nothing"),  # in a task that has asked the log
        ("write", 19, "nothing"),  # in a task that reads the log
        ("on_fell_behind", None, "lag"),  # when it has room again
        ("on_fell_behind", None, "epoch"),
    ],
)
def test_a_client_that_cannot_be_served_is_cut_instead_of_kept_waiting(
    fault: str, position: int | None, later: str
) -> None:
    async def run() -> None:
        world = await World().start()
        process, other = world.processes[0], world.readers[3]
        world.connect(other, 0, "sse", resume=False)

        def publish(count: int) -> None:
            for _ in range(count):
                world.publish("events", 1)
                receive(world, 0, "take")
                other.read()

        publish(30)
        faulty, transport = Faulty(process.connections, IDENTITY), FakeTransport()
        faulty.fault = fault if later != "nothing" or position is None else ""
        faulty.sink, transport.client = transport, faulty
        asked = None if position is None else Position(world.log.epoch, position)
        faulty.begin(faulty.open, b"", SseRequest("events", asked), None)
        faulty.fault = fault
        if later == "lag":
            publish(20)
            transport.read()
        elif later == "epoch":
            world.log.roll_back("events", 1)
            await process.follower.refresh()
        await settle()
        assert transport.aborted
        assert sum(count.value for count in process.telemetry.swallowed._values.values()) == 1
        publish(1)
        assert other.connected and other.position == process.hub.position("events")

    simulate(run())
