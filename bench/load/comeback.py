"""All clients come back after a drop: who, when, with which verdict, and when each had caught up."""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from bench.load.connection import Connection
from bench.load.subscriber import Subscriber
from bench.statistics import histogram

Told = Callable[[int], None]
Attempt = Callable[[Subscriber, bool, Told], Awaitable[Connection | None]]
CURVE_POINTS = 200


class Comeback:
    """`attempt` makes one connection, which is told of its first update, and answers None when it failed. Each client
    gets one: a server that turns it away has not got it back."""

    def __init__(self, attempt: Attempt, dropped_ns: int, chance: random.Random) -> None:
        self.attempt = attempt
        self.dropped_ns = dropped_ns
        self.chance = chance
        self.ready, self.back, self.caught_up = array("q"), array("q"), array("q")
        self.verdicts: Counter[str] = Counter()

    async def run(
        self,
        subscribers: Sequence[Subscriber],
        spread_s: float,
        offline_s: float,
        resume: bool,
        timeout: float,
    ) -> dict[str, Any]:
        """Bring them back, each `offline_s` and its share of `spread_s` from now, and wait `timeout` s at most for
        all to catch up."""
        waits = [offline_s + self.chance.uniform(0, spread_s) for _ in subscribers]
        pairs = zip(subscribers, waits, strict=True)
        tasks = [asyncio.create_task(self._one(one, wait, resume)) for one, wait in pairs]
        if tasks:
            done, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            await asyncio.gather(*done)  # raises what none of them may raise
        return self.report(len(subscribers))

    async def _one(self, subscriber: Subscriber, wait: float, resume: bool) -> None:
        updated: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def tell(now: int) -> None:
            if not updated.done():  # the time may be over
                updated.set_result(now)

        await asyncio.sleep(wait)
        started = time.monotonic_ns()
        connection = await self.attempt(subscriber, resume, tell)
        if connection is None:
            return
        self.ready.append(connection.ready_ns - started)
        self.back.append(connection.ready_ns - self.dropped_ns)
        verdict = connection.verdict
        subscriber.came_back(verdict.word if verdict else "")
        self.verdicts[verdict.word if verdict else "unknown"] += 1
        complete = verdict is not None and verdict.complete
        self.caught_up.append((connection.ready_ns if complete else await updated) - started)

    def report(self, clients: int) -> dict[str, Any]:
        """What came of it; `back_s` are the moments at which clients were back, in seconds since the drop."""
        return {
            "clients": clients,
            "returned": len(self.back),
            "ready": histogram.of(self.ready).summary(),
            "caught_up": histogram.of(self.caught_up).summary(),
            "verdicts": {"recovered": 0, "gap": 0, "fresh": 0, **self.verdicts},
            "back_s": [round(value / 1e9, 4) for value in self.back],
        }


def curve(back_s: Iterable[float], clients: int, points: int = CURVE_POINTS) -> list[list[float]]:
    """The share of clients that were back over the seconds since the drop, at most `points` of it. Pure."""
    moments = sorted(back_s)
    step = max(1, -(-len(moments) // points))
    ranks = [*range(step, len(moments), step), len(moments)] if moments else []
    return [[moments[rank - 1], rank / clients] for rank in ranks]
