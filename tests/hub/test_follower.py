"""hub/follower: notifications that follow the head are taken, any other has the log read; nothing stops it for good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from dashboard_rt.errors import LogUnavailable
from dashboard_rt.hub.follower import MAX_FOREIGN_EPOCHS, Follower
from dashboard_rt.hub.hub import Hub
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Kind, LogState, Notification, Position
from tests.simulation import FakeLog, VirtualLoop


class WatchedLog(FakeLog):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__({"dashboard_updates": Kind.STATE, "events": Kind.LOG})
        self.states = 0
        self.written = False
        self.failure: Exception | None = None

    async def state(self) -> LogState:
        self.states += 1
        if self.failure is not None:
            await self._think()
            raise self.failure
        return await super().state()

    async def changed(self) -> bool:
        written, self.written = self.written, False
        return written


class World:
    """One follower on one log."""

    def __init__(self, *, tail_size: int = 8, **environ: str) -> None:
        settings = Settings.read(
            {"STREAMS": "dashboard_updates:state,events:log", "TAIL_SIZE": str(tail_size), **environ}
        )
        self.log = WatchedLog()
        self.telemetry = Telemetry()
        self.follower = Follower(self.log, settings, self.telemetry)
        self.hub = Hub(self.log, self.follower.refresh, settings, self.telemetry)

    def head(self, stream: str = "events") -> int:
        return self.hub.position(stream).id

    def following(self) -> bool:
        return self.follower.following

    def notifications(self, result: str) -> float:
        return self.telemetry.value("notifications", result=result)


def simulate(work: Callable[[World], Awaitable[None]], **environ: str) -> None:
    """Start a follower, let `work` happen to it, stop it."""

    async def run() -> None:
        world = World(tail_size=8, **environ)
        world.log.append("events", 3)
        await world.follower.start(world.hub)
        world.log.states = 0
        await work(world)
        await world.follower.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def test_it_starts_at_the_end_of_the_log_with_the_newest_in_memory() -> None:
    async def work(world: World) -> None:
        assert world.following()
        assert world.head() == 3
        newest = world.hub.newest("events")
        assert newest is not None and newest.id == 3
        assert world.hub.newest("dashboard_updates") is None

    simulate(work)


def test_it_does_not_start_without_the_log() -> None:
    async def run() -> None:
        world = World()
        world.log.broken = True
        with pytest.raises(LogUnavailable):
            await world.follower.start(world.hub)
        assert not world.following()

    asyncio.run(run())


def test_a_notification_that_follows_the_head_is_taken_without_a_look() -> None:
    async def work(world: World) -> None:
        notification = world.log.append("events", 2)._replace(committed_ms=time.time() * 1000 - 20)
        world.follower.on_notification(notification)
        assert world.head() == 5
        assert (world.notifications("taken"), world.log.states) == (1, 0)
        assert world.follower.lag_ms is not None and 20 <= world.follower.lag_ms < 5000
        assert world.telemetry.value("commit_to_write_seconds") == 1

    simulate(work)


def test_of_a_notification_that_overlaps_only_the_new_part_is_taken() -> None:
    async def work(world: World) -> None:
        first, second = world.log.append("events", 1), world.log.append("events", 2)
        world.follower.on_notification(first)
        both = second._replace(texts=(*first.texts, *second.texts))
        world.follower.on_notification(both)
        assert world.head() == 6
        held = world.hub.topics["events"].tail.after(3)
        assert held is not None and [u.id for u in held] == [4, 5, 6]

    simulate(work)


def test_a_notification_of_the_past_or_of_no_stream_of_ours_is_stale() -> None:
    async def work(world: World) -> None:
        notification = world.log.append("events", 1)
        world.follower.on_notification(notification)
        world.follower.on_notification(notification)
        world.follower.on_notification(notification._replace(stream="unknown"))
        assert (world.head(), world.notifications("stale"), world.log.states) == (4, 2, 0)

    simulate(work)


@pytest.mark.parametrize("what", ["bare", "ahead", "epoch"])
def test_any_other_notification_wakes_a_look_at_once(what: str) -> None:
    async def work(world: World) -> None:
        lost, notification = world.log.append("events", 1), world.log.append("events", 1)
        if what == "bare":
            world.follower.on_notification(lost._replace(texts=()))
        elif what == "ahead":
            world.follower.on_notification(notification)
        else:
            world.follower.on_notification(notification._replace(epoch="another"))
        assert (world.head(), world.notifications("ahead")) == (3, 1)
        await asyncio.sleep(0.01)
        assert (world.head(), world.log.states) == (5, 1)

    simulate(work)


def test_a_gap_wakes_a_look_at_once() -> None:
    async def work(world: World) -> None:
        world.log.append("events", 1)
        world.follower.on_gap()
        await asyncio.sleep(0.01)
        assert (world.head(), world.log.states) == (4, 1)

    simulate(work)


def test_a_busy_neighbour_on_the_same_broker_costs_one_look() -> None:
    async def work(world: World) -> None:
        for number in range(1, 50):
            world.follower.on_notification(Notification("theirs", "events", number, ("{}",)))
            await asyncio.sleep(0.001)
        assert (world.head(), world.log.states) == (3, 1)
        assert (world.notifications("ahead"), world.notifications("foreign")) == (1, 48)
        world.follower.on_notification(Notification("another's", "events", 1))
        await asyncio.sleep(0.001)
        assert world.log.states == 2

    simulate(work)


def test_neighbours_are_forgotten_with_the_epoch() -> None:
    """What looked foreign while the database was being replaced may be ours."""

    async def work(world: World) -> None:
        world.follower.on_notification(Notification("theirs", "events", 1))
        await asyncio.sleep(0.001)
        world.log.clear()
        await world.follower.refresh()
        world.log.states = 0
        world.follower.on_notification(Notification("theirs", "events", 2))
        await asyncio.sleep(0.001)
        assert world.log.states == 1

    simulate(work)


def test_the_memory_of_neighbours_has_a_bound() -> None:
    async def work(world: World) -> None:
        for number in range(MAX_FOREIGN_EPOCHS + 1):
            world.follower.on_notification(Notification(f"theirs{number}", "events", 1))
        world.follower.on_notification(Notification("theirs0", "events", 1))
        assert world.notifications("foreign") == 0
        assert world.notifications("ahead") == MAX_FOREIGN_EPOCHS + 2

    simulate(work)


def test_without_any_notification_the_poll_finds_what_was_committed() -> None:
    async def work(world: World) -> None:
        world.log.append("events", 1)
        await asyncio.sleep(0.5)
        assert world.head() == 3
        await asyncio.sleep(0.6)
        assert world.head() == 4

    simulate(work)


def test_a_commit_of_another_process_is_seen_within_a_moment() -> None:
    async def work(world: World) -> None:
        await asyncio.sleep(0.2)
        world.log.append("events", 1)
        world.log.written = True
        await asyncio.sleep(0.06)
        assert world.head() == 4

    simulate(work)


@pytest.mark.parametrize("failure", [LogUnavailable("away"), ValueError("a fault of ours")])
def test_a_log_that_fails_costs_time_and_readiness_but_never_the_task(failure: Exception) -> None:
    async def work(world: World) -> None:
        world.log.failure = failure
        await asyncio.sleep(3)
        assert not world.following()
        assert world.telemetry.value("poll_errors") >= 1
        assert world.telemetry.value("swallowed", where="follower.refresh") >= 1
        world.log.failure = None
        world.log.append("events", 1)
        await asyncio.sleep(2)
        assert world.following()
        assert world.head() == 4

    simulate(work)


def test_a_log_that_failed_is_looked_at_again_soon_however_seldom_it_is_polled() -> None:
    async def work(world: World) -> None:
        world.log.failure = LogUnavailable("away")
        world.log.written = True
        await asyncio.sleep(0.2)
        assert not world.following()
        world.log.failure = None
        await asyncio.sleep(1.2)
        assert world.following()

    simulate(work, POLL_SECONDS="60")


def test_looks_that_come_together_are_shared_also_failed_ones() -> None:
    async def work(world: World) -> None:
        await asyncio.gather(*[world.follower.refresh() for _ in range(50)])
        assert world.log.states <= 2
        world.log.failure, world.log.states = LogUnavailable("away"), 0
        results = await asyncio.gather(*[world.follower.refresh() for _ in range(50)], return_exceptions=True)
        assert world.log.states <= 2
        assert all(isinstance(result, LogUnavailable) for result in results), "who shares it hears of it"

    simulate(work)


def test_a_look_that_began_before_the_call_is_not_enough() -> None:
    async def work(world: World) -> None:
        world.log.slowness = 5
        early = asyncio.ensure_future(world.follower.refresh())
        for _ in range(8):  # the state is read, the early look is reading or done
            await asyncio.sleep(0)
        world.log.append("events", 1)
        await world.follower.refresh()
        assert world.head() == 4
        await early

    simulate(work)


def test_ids_that_were_given_back_end_the_epoch() -> None:
    async def work(world: World) -> None:
        before = world.hub.position("events")
        world.log.roll_back("events", 2)
        await world.follower.refresh()
        assert world.hub.epoch != before.epoch
        assert world.hub.position("events") == Position(world.log.epoch, 1)

    simulate(work)


def test_another_life_is_loaded_when_another_process_began_it() -> None:
    async def work(world: World) -> None:
        world.log.clear()
        world.log.append("events", 30)
        await world.follower.refresh()
        assert world.hub.position("events") == Position(world.log.epoch, 30)
        assert world.hub.topics["events"].tail.first_id == 23

    simulate(work)


def test_a_log_trimmed_beyond_the_head_is_jumped() -> None:
    async def work(world: World) -> None:
        world.log.append("events", 40)
        world.log.trim("events", 5)
        await world.follower.refresh()
        tail = world.hub.topics["events"].tail
        assert (tail.first_id, tail.head) == (39, 43)
        assert world.hub.topics["events"].oldest_id == 39

    simulate(work)


def test_a_log_with_nothing_left_in_it_is_followed_too() -> None:
    async def work(world: World) -> None:
        world.log.append("events", 4)
        world.log.oldest["events"] = 8  # ids 1..7 are all gone
        await world.follower.refresh()
        assert world.head() == 7
        world.log.append("events", 1)
        await world.follower.refresh()
        assert world.head() == 8

    simulate(work)


MISSING = [(1,), (6, 7), (14,), (20,), (19, 20), (12, 15, 18), tuple(range(1, 21))]


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("tail_size", [8, 100])
def test_a_start_goes_on_behind_the_last_hole(missing: tuple[int, ...], tail_size: int) -> None:
    async def run() -> None:
        world = World(tail_size=tail_size)
        world.log.append("events", 20)
        world.log.remove("events", *missing)
        await world.follower.start(world.hub)
        topic = world.hub.topics["events"]
        assert (topic.tail.head, topic.oldest_id) == (20, max(missing) + 1)
        assert topic.tail.first_id == max(20 - tail_size, *missing) + 1
        assert world.telemetry.value("log_holes") >= 1
        world.follower.on_notification(world.log.append("events", 1))
        assert world.head() == 21
        await world.follower.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def test_a_hole_that_no_client_is_replayed_over_is_no_matter() -> None:
    async def run() -> None:
        world = World(MAX_REPLAY="10")
        world.log.append("events", 20)
        world.log.remove("events", 5)
        await world.follower.start(world.hub)
        assert world.hub.topics["events"].oldest_id == 1
        await world.follower.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


@pytest.mark.parametrize("missing", [(4,), (5,), (7,), (8,), (4, 6, 7), (7, 8), (4, 5, 6, 7, 8)])
def test_a_hole_in_what_comes_next_is_jumped(missing: tuple[int, ...]) -> None:
    async def work(world: World) -> None:
        world.log.append("events", 5)  # 4 to 8, of which no notification tells
        world.log.remove("events", *missing)
        await world.follower.refresh()
        topic = world.hub.topics["events"]
        assert (topic.tail.head, topic.oldest_id) == (8, max(missing) + 1)
        assert len(topic.tail) == 8 - max(missing)
        assert world.telemetry.value("log_holes") >= 1
        world.follower.on_notification(world.log.append("events", 1))
        assert world.head() == 9
        await world.follower.refresh()
        assert world.following()

    simulate(work)


def test_what_was_trimmed_is_no_hole() -> None:
    async def work(world: World) -> None:
        world.log.append("events", 40)
        world.log.trim("events", 5)
        await world.follower.refresh()
        assert world.telemetry.value("log_holes") == 0

    simulate(work)


def test_notifications_that_come_during_a_look_are_not_taken_twice() -> None:
    async def work(world: World) -> None:
        notifications = [world.log.append("events", 1) for _ in range(3)]
        world.log.slowness = 4
        looking = asyncio.ensure_future(world.follower.refresh())
        await asyncio.sleep(0)
        for notification in notifications:
            world.follower.on_notification(notification)
            await asyncio.sleep(0)
        await looking
        held = world.hub.topics["events"].tail.after(3)
        assert held is not None and [u.id for u in held] == [4, 5, 6]

    simulate(work)


def test_stopped_it_looks_no_more() -> None:
    async def work(world: World) -> None:
        await world.follower.stop()
        await asyncio.sleep(5)
        assert world.log.states == 0
        assert not world.following()

    simulate(work)
