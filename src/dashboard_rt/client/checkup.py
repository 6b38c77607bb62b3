"""Checkup: one connection per transport through a URL, watched for some seconds. What it means: findings.py."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, field

from ..types import Transport
from .failures import Failed, Head, Why
from .ledger import Ledger
from .listener import Plan, open_link
from .nouns import Heard, Link, Moment, Timing, What, Wish
from .sse import warm_up
from .tally import enter
from .target import Target

REFUSALS = frozenset({401, 403, 404})
RETRY_SECONDS = 5.0


@dataclass
class Checkup:
    """What was seen of one transport. `watched`: seconds from the head of the answer to the end of watching.

    `origin` was sent; `origin_refused`: the server refused it and answers as it should without one.
    `ended`: the server ended the connection, that many seconds after its head.
    """

    transport: Transport
    url: str
    seconds: float
    origin: str
    foreign: bool
    head: Head | None = None
    timing: Timing = field(default_factory=Timing)
    heard: list[Heard] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    failed: Failed | None = None
    origin_refused: bool = False
    ended: float | None = None
    watched: float = 0.0

    def all(self, what: What) -> list[Heard]:
        """Everything of one kind, in order."""
        return [heard for heard in self.heard if heard.what is what]

    @property
    def head_at(self) -> float:
        """When the head was there, in `time.monotonic`."""
        return self.timing.started + self.timing.marks.get(Moment.HEAD, 0.0)


async def check_both(target: Target, seconds: float, origin: str | None) -> tuple[Checkup, Checkup]:
    """Watch both transports at the same time, so that each is the other's clock. Raises nothing of its own."""
    await warm_up()
    sse, cable = await asyncio.gather(
        check(Transport.SSE, target, seconds, origin), check(Transport.CABLE, target, seconds, origin)
    )
    return sse, cable


async def check(transport: Transport, target: Target, seconds: float, origin: str | None) -> Checkup:
    """Watch one transport for so many seconds, connecting included."""
    sent = origin or target.origin
    checkup = Checkup(transport, target.url(transport), seconds, sent, foreign=sent != target.origin)
    plan = Plan(transport, target, timeout=seconds + 1)
    try:
        async with asyncio.timeout(seconds):
            await _watch(plan, checkup)
    except TimeoutError:
        pass  # the time that was asked for is over: the ordinary end
    except Failed as failed:
        checkup.failed = failed
    if checkup.head is not None:
        checkup.watched = time.monotonic() - checkup.head_at
    checkup.origin_refused = await _only_without_origin(plan, checkup.failed)
    return checkup


async def _watch(plan: Plan, checkup: Checkup) -> None:
    wish = Wish(plan.timeout, origin=checkup.origin, compression=True)
    async with open_link(plan, wish) as link, aclosing(link.heard) as everything:
        _opened(checkup, link)
        try:
            async for heard in everything:
                checkup.heard.append(heard)
                enter(checkup.ledger, heard)
            checkup.ended = time.monotonic() - checkup.head_at
        except Failed:
            checkup.ended = time.monotonic() - checkup.head_at
            raise


def _opened(checkup: Checkup, link: Link) -> None:
    checkup.head = link.head
    checkup.timing = link.timing


async def _only_without_origin(plan: Plan, failed: Failed | None) -> bool:
    if failed is None or failed.why is not Why.STATUS or failed.head is None:
        return False
    if failed.head.status not in REFUSALS:
        return False
    try:
        async with asyncio.timeout(RETRY_SECONDS), open_link(plan, Wish(RETRY_SECONDS)):
            return True
    except (Failed, TimeoutError):
        return False  # then it was not the origin, and what failed first is what gets told
