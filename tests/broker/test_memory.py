"""broker/memory: every notification reaches the listener of this process, after what is scheduled already."""

from __future__ import annotations

import asyncio

import pytest

from dashboard_rt.broker.memory import MemoryBroker
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Notification

pytestmark = pytest.mark.anyio

NOTIFICATION = Notification("k3f9", "a", 7, ['{"n":1}', '"ü\u2028"'], 1234.5)


def no_gap() -> None:
    """Nothing is missed within a process."""


async def test_the_listener_gets_what_this_process_notifies_behind_what_is_scheduled() -> None:
    broker = MemoryBroker(Telemetry())
    seen: list[object] = []
    await broker.start(seen.append, no_gap)
    assert broker.connected
    asyncio.get_running_loop().call_soon(seen.append, "an answer to a publisher")
    await broker.notify(NOTIFICATION)
    assert seen == []
    await asyncio.sleep(0)
    assert seen == ["an answer to a publisher", NOTIFICATION]


async def test_a_listener_that_fails_is_counted_and_gets_the_next_one() -> None:
    telemetry = Telemetry()
    broker = MemoryBroker(telemetry)
    seen: list[Notification] = []

    def listener(notification: Notification) -> None:
        seen.append(notification)
        if len(seen) == 1:
            raise RuntimeError("boom")

    await broker.start(listener, no_gap)
    await broker.notify(NOTIFICATION)
    await broker.notify(NOTIFICATION)
    await asyncio.sleep(0)
    assert len(seen) == 2
    assert telemetry.value("swallowed", where="broker.deliver") == 1


async def test_a_stopped_broker_delivers_nothing_and_may_be_stopped_twice() -> None:
    broker = MemoryBroker(Telemetry())
    seen: list[Notification] = []
    await broker.stop()
    await broker.start(seen.append, no_gap)
    await broker.notify(NOTIFICATION)
    await broker.stop()
    await broker.stop()
    await asyncio.sleep(0)
    assert seen == [] and not broker.connected
