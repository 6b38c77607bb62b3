"""live: what the endpoints are told of the side that streams is the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from dashboard_rt.live import Live
from dashboard_rt.settings import Settings
from dashboard_rt.types import Kind, Position
from tests.simulation import FakeLog, Process, Reader, VirtualLoop

STREAM = "dashboard_updates"


class World:
    def __init__(self) -> None:
        self.log = FakeLog({STREAM: Kind.STATE, "events": Kind.LOG})
        settings = Settings.read({"STREAMS": "dashboard_updates:state,events:log", "TAIL_SIZE": "8"})
        self.process = Process(self.log, settings)
        self.broker = SimpleNamespace(heard=True)
        process = self.process
        broker: Any = self.broker
        self.live = Live(process.hub, process.audience, process.follower, broker, process.telemetry)

    def publish(self, stream: str, count: int, committed_ms: float = 0.0) -> None:
        ring = self.log.append(stream, count)
        self.process.follower.heard(ring._replace(committed_ms=committed_ms))

    def ready(self) -> bool:
        return self.live.ready

    def connect(self, wire: str, stream: str) -> Reader:
        reader = Reader(stream, Kind.STATE)
        reader.connect(self.process, wire, resume=False)
        return reader

    def stats(self) -> dict[str, dict[str, dict[str, Any]]]:
        return cast(dict[str, dict[str, dict[str, Any]]], self.live.stats())


def simulate(work: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        await world.process.follower.start()
        await work(world)
        await world.process.follower.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def test_ready_is_following_hearing_and_staying() -> None:
    async def work(world: World) -> None:
        assert world.ready()
        world.broker.heard = False
        assert not world.ready()
        world.broker.heard = True
        world.log.broken = True
        await asyncio.sleep(2)
        assert not world.ready()
        world.log.broken = False
        await asyncio.sleep(3)
        assert world.ready()
        world.process.audience.draining = True
        assert not world.ready()

    simulate(work)


def test_heads_and_lag() -> None:
    async def work(world: World) -> None:
        assert world.live.lag_ms() is None
        assert world.live.newest(STREAM) is None
        assert world.live.newest("unknown") is None
        world.publish(STREAM, 2, time.time() * 1000 - 50)
        newest = world.live.newest(STREAM)
        assert newest is not None and newest.id == 2
        assert world.live.position(STREAM) == Position("e1", 2)
        lag = world.live.lag_ms()
        assert lag is not None and 50 <= lag < 5000
        assert world.live.stats()["lag_ms"] == lag

    simulate(work)


def test_transports_are_told_apart() -> None:
    async def work(world: World) -> None:
        sse, cable = world.connect("sse", "events"), world.connect("ext", STREAM)
        sse.read()
        cable.read()
        world.publish(STREAM, 3)
        transports = world.stats()["transports"]
        assert cable.transport is not None
        waiting = len(cable.transport.buffer)
        assert {name: t["connections"] for name, t in transports.items()} == {"sse": 1, "cable": 1}
        assert {name: t["deliveries"] for name, t in transports.items()} == {"sse": 0, "cable": 3}
        assert (transports["cable"]["buffered_bytes"], transports["cable"]["largest_buffer_bytes"]) == (
            waiting,
            waiting,
        )
        assert transports["cable"]["bytes_sent"] == waiting
        assert (transports["sse"]["lagging"], transports["cable"]["lagging"]) == (0, 1)

    simulate(work)


def test_streams_tell_head_tail_and_who_is_how_far() -> None:
    async def work(world: World) -> None:
        fast, slow = world.connect("sse", "events"), world.connect("ext", "events")
        for _ in range(20):
            world.publish("events", 1)
            fast.read()
        events = world.stats()["streams"]["events"]
        assert events["position"] == "e1-20"
        assert events["kind"] == "log"
        assert (events["tail"]["first_id"], events["tail"]["entries"]) == (13, 8)
        assert (events["current"], events["lagging"]) == (1, 1)
        assert slow.client is not None
        (subscription,) = slow.client.subscriptions()
        assert events["furthest_behind"] == 20 - subscription.position > 0
        assert world.stats()["streams"][STREAM]["furthest_behind"] == 0

    simulate(work)
