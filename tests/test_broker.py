from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from broadcaster import Broadcast

from dashboard_rt import broker as broker_module
from dashboard_rt.broker import Broker, decoded, encoded
from dashboard_rt.errors import BadSetting
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Ring

pytestmark = pytest.mark.anyio

RING = Ring("k3f9", "a", 7, ['{"n":1}', '"ü\u2028"'], 1234.5)


class Ear:
    """Hears rings, and lets a test wait for them."""

    def __init__(self) -> None:
        self.rings: asyncio.Queue[Ring] = asyncio.Queue()

    def __call__(self, ring: Ring) -> None:
        self.rings.put_nowait(ring)

    async def next(self) -> Ring:
        return await asyncio.wait_for(self.rings.get(), 5)


class Faulty(Broadcast):
    """A broadcast that can be told to fail."""

    def __init__(self, url: str, faults: list[str]) -> None:
        super().__init__(url)
        self.faults = faults

    async def connect(self) -> None:
        if "connect" in self.faults:
            raise ConnectionError("no server there")
        await super().connect()

    async def publish(self, channel: str, message: Any) -> None:
        if "freeze" in self.faults:
            await asyncio.Event().wait()
        if "publish" in self.faults:
            raise RuntimeError("connection reset")
        await super().publish(channel, message)


class Fixture:
    """A started broker with everything around it."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()
        self.faults: list[str] = []
        self.broadcasts: list[Faulty] = []
        self.ear = Ear()
        self.broker = Broker("memory://", self.telemetry, self._broadcast)
        self.broker.listen(self.ear)

    def _broadcast(self, url: str) -> Broadcast:
        self.broadcasts.append(Faulty(url, self.faults))
        return self.broadcasts[-1]

    async def rings(self) -> None:
        """Ring, and hear it twice: from this process, and over the backend."""
        await self.broker.ring(RING)
        assert [await self.ear.next(), await self.ear.next()] == [RING, RING]

    def swallowed(self, where: str) -> float:
        return self.telemetry.value("swallowed", where=where)


@asynccontextmanager
async def started(fixture: Fixture) -> AsyncIterator[Fixture]:
    await fixture.broker.start()
    try:
        yield fixture
    finally:
        await fixture.broker.stop()


@pytest.fixture
async def bell() -> AsyncIterator[Fixture]:
    """A broker on its own: `memory://`."""
    async with started(Fixture()) as fixture:
        yield fixture


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treats `memory://` as a backend with others on it; the echo of an own ring stands for what they hear."""
    monkeypatch.setattr(broker_module, "ALONE", frozenset())
    monkeypatch.setattr(broker_module, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(broker_module, "BACKOFF_CAP_SECONDS", 0.002)


@pytest.fixture
async def backed(shared: None) -> AsyncIterator[Fixture]:
    """A broker with others."""
    async with started(Fixture()) as fixture:
        yield fixture


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  nothing tells of a subscription but its own flag
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("bad", ["", "redis://localhost", "kafka://x", "postgres"])
def test_only_memory_for_now(bad: str) -> None:
    with pytest.raises(BadSetting, match="BROKER_URL"):
        Broker(bad, Telemetry())


async def test_a_ring_is_heard_by_its_own_process(bell: Fixture) -> None:
    assert bell.broker.heard
    await bell.broker.ring(RING)
    assert await bell.ear.next() == RING


async def test_rings_keep_their_order(bell: Fixture) -> None:
    for last_id in range(100):
        await bell.broker.ring(RING._replace(last_id=last_id))
    assert [(await bell.ear.next()).last_id for _ in range(100)] == [*range(100)]


async def test_brokers_do_not_hear_each_other_in_memory(bell: Fixture) -> None:
    async with started(Fixture()) as other:
        await other.broker.ring(RING)
        await other.ear.next()
        assert bell.ear.rings.empty()


async def test_others_hear_it_over_the_backend(backed: Fixture) -> None:
    await backed.rings()
    assert backed.ear.rings.empty()


async def test_updates_that_do_not_fit_stay_behind(backed: Fixture) -> None:
    large = RING._replace(texts=["9" * (4 * 1024 * 1024)])
    await backed.broker.ring(large)
    assert await backed.ear.next() == large
    heard = await backed.ear.next()
    assert heard == RING._replace(texts=[])
    assert heard.first_id == RING.last_id + 1


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "{}",
        "[]",
        '["e","s","7",0,[]]',
        '["e","s",7,0,[1]]',
        '["e","s",7,0]',
    ],
)
async def test_what_is_no_ring_is_counted_and_the_next_is_heard(backed: Fixture, message: str) -> None:
    await backed.broadcasts[0].publish(broker_module.CHANNEL, message)
    await backed.rings()
    assert backed.telemetry.value("rings", result="unreadable") == 1


async def test_a_handler_that_fails_is_counted_and_the_others_hear(bell: Fixture) -> None:
    def failing(ring: Ring) -> None:
        raise ZeroDivisionError

    bell.broker.listen(failing)
    second = Ear()
    bell.broker.listen(second)
    for _ in range(2):
        await bell.broker.ring(RING)
    assert [await second.next(), await second.next()] == [RING, RING]
    assert bell.swallowed("broker.handler") == 2


@pytest.mark.parametrize("fault", ["publish", "freeze"])
async def test_a_ring_that_fails_is_counted_and_keeps_nobody(
    backed: Fixture, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "RING_SECONDS", 0.01)
    backed.faults.append(fault)
    await backed.broker.ring(RING)
    assert await backed.ear.next() == RING  # this process needs no backend for it
    assert backed.telemetry.value("rings", result="failed") == 1
    backed.faults.clear()
    await backed.rings()


async def test_a_ring_before_the_start_is_counted(shared: None) -> None:
    fixture = Fixture()
    assert not fixture.broker.heard
    await fixture.broker.ring(RING)
    assert fixture.telemetry.value("rings", result="failed") == 1


async def test_a_subscription_that_ends_is_started_anew(backed: Fixture) -> None:
    queue = next(iter(backed.broadcasts[0]._subscribers[broker_module.CHANNEL]))
    await queue.put(None)  # what broadcaster does when a subscription is over
    await until(lambda: len(backed.broadcasts) == 2 and backed.broker.heard)
    await backed.rings()
    assert backed.telemetry.value("broker_restarts") == 1


async def test_a_server_that_is_away_does_not_keep_the_start_and_is_tried_until_it_is_there(
    shared: None,
) -> None:
    fixture = Fixture()
    fixture.faults.append("connect")
    async with started(fixture):
        assert not fixture.broker.heard
        await until(lambda: len(fixture.broadcasts) >= 3)
        fixture.faults.clear()
        await until(lambda: fixture.broker.heard)
        assert fixture.swallowed("broker.subscription") >= 2
        await fixture.rings()


async def test_stop_ends_it_and_may_be_called_twice(backed: Fixture) -> None:
    await backed.broker.stop()
    assert not backed.broker.heard
    await backed.broker.stop()
    await backed.broker.start()
    await backed.rings()


def test_a_ring_travels_unchanged() -> None:
    assert decoded(encoded(RING).decode()) == RING
    assert decoded(encoded(RING._replace(texts=(), committed_ms=0)).decode()).texts == []
