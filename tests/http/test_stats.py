"""stats: readiness, and figures that agree with what clients were sent."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dashboard_rt.broker.base import Broker
from dashboard_rt.http.stats import Stats, slow_settings
from dashboard_rt.hub.connections import Connections
from dashboard_rt.settings import Settings
from dashboard_rt.types import Kind
from tests.simulation import FakeLog, Process, Reader, VirtualLoop

STREAM = "dashboard_updates"


class World:
    """One process on a log, with a broker that can be disconnected."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.log = FakeLog({STREAM: Kind.STATE, "events": Kind.LOG})
        settings = settings or Settings.read(
            {"STREAMS": "dashboard_updates:state,events:log", "TAIL_SIZE": "8"}
        )
        self.process = Process(self.log, settings)
        self.broker = SimpleNamespace(connected=True)
        process = self.process
        self._stats = Stats(
            hub=process.hub,
            connections=process.connections,
            follower=process.follower,
            broker=cast(Broker, self.broker),
            settings=settings,
            telemetry=process.telemetry,
        )

    def publish(self, stream: str, count: int, committed_ms: float = 0.0) -> None:
        notification = self.log.append(stream, count)
        self.process.follower.on_notification(notification._replace(committed_ms=committed_ms))

    def degraded(self) -> list[str]:
        """The first words of each sentence."""
        return [sentence.partition(":")[0] for sentence in self._stats.degraded()]

    def by_settings(self) -> list[str]:
        return self._stats.by_settings()

    def connect(self, wire: str, stream: str) -> Reader:
        reader = Reader(stream, Kind.STATE)
        reader.connect(self.process, wire, resume=False)
        return reader

    def stats(self) -> dict[str, dict[str, dict[str, Any]]]:
        return cast(dict[str, dict[str, dict[str, Any]]], self._stats.snapshot())


def simulate(work: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        await world.process.follower.start(world.process.hub)
        await work(world)
        await world.process.follower.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def test_a_process_says_what_it_has_to_do_without() -> None:
    async def work(world: World) -> None:
        assert world.degraded() == []
        world.broker.connected = False
        assert world.degraded() == ["The broker is away"]
        world.log.broken = True
        await asyncio.sleep(2)
        assert world.degraded() == ["The log cannot be read", "The broker is away"]
        world.log.broken, world.broker.connected = False, True
        await asyncio.sleep(3)
        assert world.degraded() == []
        world.process.connections.draining = True
        assert world.degraded() == ["This process is stopping"]

    simulate(work)


POSTGRES = {"DATABASE_URL": "postgres://u@h/d"}


@pytest.mark.parametrize(
    ("env", "slow"),
    [
        ({}, False),
        ({"WEB_CONCURRENCY": "4"}, False),  # on SQLite they see each other within 0.1 s
        (POSTGRES, True),
        ({**POSTGRES, "REDIS_URL": "redis://h"}, False),
        ({**POSTGRES, "BROKER_URL": "postgres"}, False),
        ({**POSTGRES, "REDIS_URL": "redis://h", "BROKER_URL": "memory://"}, True),
    ],
)
def test_settings_that_make_updates_of_other_processes_late(env: dict[str, str], slow: bool) -> None:
    sentence = slow_settings(Settings.read({"POLL_SECONDS": "3", **env}))
    assert (sentence is not None) is slow
    if sentence:
        assert "within 3 s" in sentence and "set REDIS_URL, or BROKER_URL=postgres" in sentence


@pytest.mark.parametrize("processes", [1, 2])
def test_where_there_are_several_processes_it_is_said_of_each(processes: int) -> None:
    settings = Settings.read({**POSTGRES, "WEB_CONCURRENCY": str(processes)})
    stats = World(settings).by_settings()
    assert len(stats) == processes - 1


def test_lag() -> None:
    async def work(world: World) -> None:
        assert world.stats()["lag_ms"] is None
        world.publish(STREAM, 2, time.time() * 1000 - 50)
        assert 50 <= cast(Any, world.stats())["lag_ms"] < 5000

    simulate(work)


def test_process() -> None:
    async def work(world: World) -> None:
        process = cast(dict[str, Any], world.stats()["process"])
        assert process["pid"] == os.getpid() and process["uptime_seconds"] >= 0
        assert process["rss_bytes"] > 1_000_000 and process["python"].count(".") == 2

    simulate(work)


def test_verdicts() -> None:
    async def work(world: World) -> None:
        world.connect("sse", "events")
        assert world.stats()["verdicts"] == {
            "sse": {"fresh": 1, "recovered": 0, "gap": 0},
            "cable": {"fresh": 0, "recovered": 0, "gap": 0},
        }

    simulate(work)


def test_the_registry_is_not_walked() -> None:
    async def work(world: World) -> None:
        def walk(*_: object) -> None:
            raise AssertionError("the registry was walked")

        telemetry = world.process.telemetry
        telemetry.registry.collect = walk  # type: ignore[method-assign,assignment]
        telemetry.registry.get_sample_value = walk  # type: ignore[method-assign,assignment]
        assert world.stats()

    simulate(work)


def test_connections_are_not_walked_through() -> None:
    async def work(world: World) -> None:
        for stream in (STREAM, "events"):
            world.connect("sse", stream)

        def walk(connections: object) -> None:
            raise AssertionError("all connections were walked through")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Connections, "__iter__", walk)
            assert world.stats()["transports"]["sse"]["connections"] == 2

    simulate(work)


def test_figures_per_transport() -> None:
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


def test_figures_per_stream() -> None:
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
        assert events["furthest_behind"] == 20 - subscription.sent > 0
        assert world.stats()["streams"][STREAM]["furthest_behind"] == 0

    simulate(work)
