"""Clients that come back by themselves when the server ends their connection, as browsers do."""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from bench.load.connection import Connection
from bench.load.subscriber import Subscriber
from bench.statistics import histogram

Attempt = Callable[[Subscriber, bool], Awaitable[Connection]]


class Terms(NamedTuple):
    """`told`: wait as long as the server said; else, or when it said nothing, `min_ms` to `max_ms`, uniformly.
    `resume`: from the position reached."""

    told: bool
    min_ms: float
    max_ms: float
    resume: bool = True


class Keeper:
    """`attempt` makes one connection and returns once it is ready or has ended; it raises OSError and TimeoutError."""

    def __init__(self, terms: Terms, attempt: Attempt, chance: random.Random) -> None:
        self.terms = terms
        self.attempt = attempt
        self.chance = chance
        self.tasks: set[asyncio.Task[None]] = set()
        self.goodbyes, self.ends, self.away = array("q"), array("q"), array("q")
        self.unannounced = self.refused = self.final = 0
        self.verdicts: Counter[str] = Counter()

    def ended(self, connection: Connection) -> None:
        """The server has ended a connection that was ready."""
        now = time.monotonic_ns()
        self.ends.append(now)
        if connection.goodbye is None:
            self.unannounced += 1
        else:
            self.goodbyes.append(connection.goodbye_ns)
        task = asyncio.create_task(self._bring_back(connection, now))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _bring_back(self, connection: Connection, ended: int) -> None:
        subscriber, wait = connection.subscriber, self.wait_ms(connection)
        while wait is not None:
            await asyncio.sleep(wait / 1000)
            try:
                made = await self.attempt(subscriber, self.terms.resume)
            except (OSError, TimeoutError):
                self.refused += 1
                wait = self._chosen_ms()
                continue
            if made.ready_ns:
                self.away.append(made.ready_ns - ended)
                word = made.verdict.word if made.verdict else ""
                subscriber.came_back(word)
                self.verdicts[word or "unknown"] += 1
                return
            self.refused += 1
            wait = self.wait_ms(made)
        self.final += 1

    def wait_ms(self, connection: Connection) -> float | None:
        """How long to wait after this connection; None when the server said not to come back."""
        goodbye, told = connection.goodbye, connection.retry_ms
        if goodbye is not None:
            if not goodbye.returns:
                return None
            told = told if goodbye.retry_ms is None else goodbye.retry_ms
        return told if self.terms.told and told is not None else self._chosen_ms()

    def _chosen_ms(self) -> float:
        return self.chance.uniform(self.terms.min_ms, self.terms.max_ms)

    def end(self) -> None:
        """Whoever is away stays away."""
        for task in self.tasks:
            task.cancel()

    def report(self) -> dict[str, Any]:
        """Counts, the moments of each goodbye and end (CLOCK_MONOTONIC, ns), and how long each was away."""
        return {
            "goodbyes": len(self.goodbyes),
            "unannounced": self.unannounced,
            "refused": self.refused,
            "returns": len(self.away),
            "final": self.final,
            "verdicts": dict(self.verdicts),
            "away": histogram.of(self.away).summary(),
            "goodbye_ns": self.goodbyes.tolist(),
            "end_ns": self.ends.tolist(),
        }
