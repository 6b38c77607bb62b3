"""Brokers of one channel, and what each of them heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import NamedTuple

from dashboard_rt.broker.base import Broker
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Notification
from tests.patience import HANG_LIMIT

Build = Callable[[Telemetry], Broker]


class Member:
    """One process of a deployment, as far as its broker goes."""

    def __init__(self, build: Build) -> None:
        self.telemetry = Telemetry()
        self.broker = build(self.telemetry)
        self.heard: list[Notification] = []
        self.gaps = 0

    async def start(self) -> None:
        await self.broker.start(self.heard.append, self._on_gap)

    def _on_gap(self) -> None:
        self.gaps += 1

    def ids(self) -> list[int]:
        return [notification.last_id for notification in self.heard]

    async def say(self, *last_ids: int) -> None:
        for last_id in last_ids:
            await self.broker.notify(Notification("k3f9", "events", last_id, [f'{{"n":{last_id}}}'], 1234.5))

    def connected(self) -> bool:
        return self.broker.connected


class Pair(NamedTuple):
    """Two processes that should hear each other."""

    a: Member
    b: Member

    def connected(self) -> bool:
        return self.a.connected() and self.b.connected()

    async def talk(self, last_id: int) -> None:
        """Wait until both are connected, and until one has heard the other.

        Said again now and then: on a busy machine a connection may be lost once more meanwhile.
        """
        await until(self.connected, "both are connected")
        async with asyncio.timeout(HANG_LIMIT):
            while last_id not in self.b.ids():
                await self.a.say(last_id)
                with suppress(TimeoutError):
                    async with asyncio.timeout(2):
                        await until(lambda: last_id in self.b.ids(), f"{last_id} has arrived")


@asynccontextmanager
async def member(build: Build) -> AsyncIterator[Member]:
    """A broker that runs."""
    made = Member(build)
    await made.start()
    try:
        yield made
    finally:
        await made.broker.stop()


@asynccontextmanager
async def pair(build: Build) -> AsyncIterator[Pair]:
    """Two that run and are connected."""
    async with AsyncExitStack() as stack:
        both = Pair(
            await stack.enter_async_context(member(build)), await stack.enter_async_context(member(build))
        )
        await until(both.connected, "both are connected")
        yield both


async def until(check: Callable[[], object], what: str) -> None:
    """Wait for a condition; fails by saying that `what` never came true."""
    try:
        async with asyncio.timeout(HANG_LIMIT):
            while not check():  # noqa: ASYNC110  what is waited for knows no event
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"{what}: still not so after {HANG_LIMIT:g} s") from None
