"""How many connections a start takes to PostgreSQL and to Redis, beside how many they permit.

Said in the log before the processes start. On the small plans of a platform the connections are what ends first, and
then the process that finds none says so minutes after the change that caused it. Nothing is refused for it: the
numbers are those of one moment, and of one start among several.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from .broker import postgres as postgres_broker
from .broker import redis
from .broker.backend import Fault
from .errors import LogUnavailable
from .eventlog import postgres
from .eventlog.database import Database
from .eventlog.postgres_limits import connection_limits
from .settings import Settings
from .types import ConnectionLimit
from .urls import is_postgres

OVERLAP = 2  # a deploy starts the new processes before the old ones have ended

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """The connections of `processes` to one service: so many for `each`, and `extra` for one of them, which it names.

    `consequence` says what becomes of a process that finds none free.
    """

    service: str
    processes: int
    each: int
    consequence: str
    extra: int = 0

    @property
    def takes(self) -> int:
        return self.processes * self.each + self.extra

    def __str__(self) -> str:
        among = "1 process" if self.processes == 1 else f"{self.processes} processes"
        parts = [f"{self.each} for each of {among}"] if self.each else []
        parts += [f"{self.extra} for INGEST_CHANNEL"] if self.extra else []
        return f"{self.takes} ({', '.join(parts)})"

    def warning(self, limits: Sequence[ConnectionLimit]) -> str | None:
        """Return the sentences that say what does not fit, and what to do; None when all does, also in a deploy."""
        return next(filter(None, map(self._problem, limits)), None)

    def _problem(self, limit: ConnectionLimit) -> str | None:
        permits = (
            f"{self.service} permits {limit.most} connections ({limit.name}), and this start takes {self}"
        )
        if self.takes > limit.most:
            return f"{permits}: {self.consequence}. {self._remedy(limit.most)}"
        free = limit.most - limit.taken
        if self.takes > free:
            now = f"others have {limit.taken} of them now"
            return (
                f"{permits}, but {now}: until those are given back, {self.consequence}. {self._remedy(free)}"
            )
        if self.takes * OVERLAP > limit.most:
            deploy = "A deploy that starts the new processes before the old ones have ended takes"
            return (
                f"{permits}. {deploy} {self.takes * OVERLAP}: until the old ones have ended, {self.consequence}. "
                f"{self._remedy(limit.most // OVERLAP)}"
            )
        return None

    def _remedy(self, free: int) -> str:
        fit = (free - self.extra) // self.each if self.each else 0
        fewer = f"Set WEB_CONCURRENCY to at most {fit}, or raise" if 0 < fit < self.processes else "Raise"
        return f"{fewer} the limit."

    def summary(self, limits: Sequence[ConnectionLimit]) -> str:
        """Return the sentence where all fits, with the tightest limit."""
        least = min(limits, key=lambda limit: limit.most)
        permitted = f"{least.most} are permitted ({least.name}), and others have {least.taken} of them now"
        return f"Connections to {self.service}: {self}, twice as many while a deploy overlaps; {permitted}."


def postgres_budget(settings: Settings, processes: int) -> Budget:
    notifying = postgres_broker.CONNECTIONS if settings.broker_url == "postgres" else 0
    return Budget("PostgreSQL", processes, postgres.CONNECTIONS + notifying, "some processes cannot start")


def redis_budgets(settings: Settings, processes: int) -> dict[str, Budget]:
    """Return the budgets by the URL of the Redis. That of INGEST_CHANNEL may be another one than the broker."""
    each = {settings.broker_url: redis.CONNECTIONS} if settings.broker_url.startswith("redis") else {}
    extra = {settings.redis_url: 1} if settings.ingest_channel and settings.redis_url else {}
    consequences = {
        f"some processes learn of the updates of others only every {settings.poll_seconds:g} s": each,
        "nobody reads INGEST_CHANNEL": extra,
    }
    return {
        url: Budget(
            redis.service_name(url),
            processes,
            each.get(url, 0),
            " or ".join(text for text, urls in consequences.items() if url in urls),
            extra.get(url, 0),
        )
        for url in {**each, **extra}
    }


async def log_budgets(settings: Settings, processes: int, db: Database) -> None:
    """Log a line for each service: a warning where it permits too few connections. `db` is open, nothing else is."""
    async for budget, answer in _answers(settings, processes, db):
        if isinstance(answer, str):
            logger.info(
                "Connections to %s: %s. How many it permits is not known: %s", budget.service, budget, answer
            )
        elif warning := budget.warning(answer):
            logger.warning("%s", warning)
        else:
            logger.info("%s", budget.summary(answer))


async def _answers(
    settings: Settings, processes: int, db: Database
) -> AsyncIterator[tuple[Budget, Sequence[ConnectionLimit] | str]]:
    """Yield each budget with the limits of its service, or with the reason why they are not known."""
    if is_postgres(settings.database_url):
        try:
            answer: Sequence[ConnectionLimit] | str = await connection_limits(db, postgres.CONNECTIONS)
        except LogUnavailable as error:
            answer = error.detail
        yield postgres_budget(settings, processes), answer
    for url, budget in redis_budgets(settings, processes).items():
        try:
            answer = [await redis.connection_limit(url, settings.redis_tls_verify)]
        except Fault as fault:
            answer = f"it {fault}"
        yield budget, answer
