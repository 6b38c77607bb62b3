"""Listener: one client that follows a stream and comes back where it was.

The way back is the one of protocol §1: it sends its last position, stays away as long as the server asked, and
never comes back in step with the others.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from random import Random
from typing import NamedTuple, Protocol

from ..types import Position, Transport
from .cable import open_cable
from .failures import Failed
from .ledger import Ledger
from .nouns import Heard, Link, What, Wish, json_object
from .sse import open_sse
from .tally import Tally
from .target import Target

BASE_SECONDS, CAP_SECONDS = 1.0, 30.0
HEALTHY_SECONDS = 10.0  # a connection that lived this long was no failure
FIRST_TRIES = 3  # a client that never got through gives up after these: nothing runs there
OPENINGS = (
    64  # at a time: a listen backlog of 128 must not overflow, or the kernel's retries are what is timed
)


class Plan(NamedTuple):
    """What each client does."""

    transport: Transport
    target: Target
    timeout: float
    reconnect: bool = True
    position: Position | None = None


class Reporter(Protocol):
    """Whoever wants to see it happen."""

    def connected(self, client: int, link: Link) -> None:
        """The head of the answer is there."""

    def heard(self, client: int, heard: Heard, fault: str | None) -> None:
        """One thing was heard; `fault` says what is wrong with its position."""

    def failed(self, client: int, failed: Failed) -> None:
        """The connection did not come about, or broke."""

    def waiting(self, client: int, seconds: float, position: Position | None) -> None:
        """It comes back in so many seconds, with this position."""


def backoff(failures: int, told: float | None, random: Random) -> float:
    """Seconds to wait: full jitter up to 1, 2, 4 … 30 s, and never less than the server asked for.

    What the server asks for is jittered already (protocol §1), so the clients of one restart stay spread.
    """
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(failures, 16))
    return max(told or 0.0, random.uniform(0, ceiling))


def open_link(plan: Plan, wish: Wish) -> AbstractAsyncContextManager[Link]:
    """Connect over the plan's transport."""
    opening = open_sse if plan.transport is Transport.SSE else open_cable
    return opening(plan.target, wish)


class Listener:
    """One client. `run` ends when it may not come back, or never got through; otherwise cancel it."""

    def __init__(self, number: int, plan: Plan, tally: Tally, reporter: Reporter) -> None:
        self.number = number
        self.plan = plan
        self.tally = tally
        self.reporter = reporter
        self.ledger = Ledger(plan.position)
        self._random = Random()
        self._told: float | None = None
        self._welcome_back = True
        self._reached = False
        self._away = False

    async def run(self, gate: asyncio.Semaphore) -> None:
        """Listen, and come back, for as long as it makes sense. `gate` bounds how many connect at a time."""
        failures = 0
        while True:
            began = time.monotonic()
            failed = await self._attempt(gate)
            failures = 1 if time.monotonic() - began >= HEALTHY_SECONDS else failures + 1
            if self._over(failed, failures):
                return
            self._move(away=True)
            wait = backoff(failures - 1, self._told, self._random)
            self.reporter.waiting(self.number, wait, self.ledger.position)
            await asyncio.sleep(wait)
            self.tally.reconnects += 1

    async def _attempt(self, gate: asyncio.Semaphore) -> Failed | None:
        try:
            await self._listen(gate)
        except Failed as failed:
            self.tally.fail(failed)
            self.reporter.failed(self.number, failed)
            return failed
        return None

    async def _listen(self, gate: asyncio.Semaphore) -> None:
        wish = Wish(self.plan.timeout, self.ledger.position)
        async with AsyncExitStack() as stack:
            async with gate:
                link = await stack.enter_async_context(open_link(self.plan, wish))
            everything = await stack.enter_async_context(aclosing(link.heard))
            self.tally.timings.append(link.timing)
            self.tally.connected += 1
            stack.callback(self._disconnected)
            self._told = None  # what was asked for then was for this one return
            self.reporter.connected(self.number, link)
            async for heard in everything:
                self._take(heard)

    def _disconnected(self) -> None:
        self.tally.connected -= 1

    def _move(self, away: bool) -> None:
        if self._reached:  # those that never came are counted by `reached`
            self.tally.away += away - self._away
            self._away = away

    def _take(self, heard: Heard) -> None:
        if heard.retry is not None:
            self._told = heard.retry
        if heard.what in (What.VERDICT, What.UPDATE):
            self.tally.reached += not self._reached
            self._reached = True
            self._move(away=False)
        self._welcome_back = heard.again
        goodbye = str(json_object(heard.text).get("reason")) if heard.what is What.GOODBYE else None
        self.tally.hear(heard, goodbye)
        self.reporter.heard(self.number, heard, self.tally.check(self.ledger, heard))

    def _over(self, failed: Failed | None, failures: int) -> bool:
        never_came = not self._reached and failures >= FIRST_TRIES
        hopeless = failed is not None and (failed.final or never_came)
        if self.plan.reconnect and self._welcome_back and not hopeless:
            return False
        self.tally.gave_up += failed is not None or not self._welcome_back
        return True


async def listen_all(clients: int, plan: Plan, tally: Tally, reporter: Reporter) -> None:
    """Run so many clients until all of them are over."""
    gate = asyncio.Semaphore(OPENINGS)
    async with asyncio.TaskGroup() as group:
        for number in range(1, clients + 1):
            group.create_task(Listener(number, plan, tally, reporter).run(gate))
