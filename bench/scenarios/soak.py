"""soak: a fan-out for long: does anything drift, in memory or in latency."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load.clients import LoadClients
from bench.load.payload import DEFAULT_SIZE, LEAST_SIZE, MOST_SIZE
from bench.measure import validity
from bench.result import Run
from bench.scenarios import fanout
from bench.scenarios import plan as plans
from bench.scenarios.fanout import Fanout
from bench.scenarios.plan import Plan, param
from bench.serving.target import Target
from bench.stage import Setup
from bench.statistics import stats
from bench.statistics.stats import Line

PEEK_SECONDS = 5.0
LONGEST_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class Soak(Plan):
    """One rate for long."""

    clients: int = param(1000, "Subscribers.", "subs", low=1)
    rate: float = plans.rate(10.0)
    minutes: float = param(10.0, "How long.", low=0.01, high=LONGEST_MINUTES)
    size: int = param(DEFAULT_SIZE, "Bytes of JSON in an update.", low=LEAST_SIZE, high=MOST_SIZE)
    kind: str = plans.kind()

    def check(self) -> None:
        """There is a publish in it, and not more of them than can be kept."""
        plans.check_schedule(self.rate, self.minutes * 60)


def prepared(plan: Soak, targets: Sequence[Target]) -> tuple[Soak, str]:
    """As of a fan-out."""
    return plan, fanout.beyond(plan.clients * plan.rate)


def measure(plan: Soak, setup: Setup) -> list[Run]:
    """A long fan-out, in which memory is read too and the latest latencies are asked for, and what drifts in it."""
    latest: list[tuple[float, float]] = []
    started = time.monotonic()

    def peek(load: LoadClients) -> None:
        latest.append(((time.monotonic() - started) / 60, load.peek()["p99_ms"] or 0.0))

    long = Fanout(
        clients=plan.clients,
        rates=(plan.rate,),
        seconds=plan.minutes * 60,
        size=plan.size,
        kind=plan.kind,
        weigh_in_window=True,
    )
    run = fanout.at(long, setup, plan.rate, max(1, round(PEEK_SECONDS * plan.rate)), peek)
    if run.samples is not None:
        run.flags += validity.whole(run.samples, plan.minutes * 60)
    fits = {
        "pss_kb_per_minute": drift(column(run.samples, "pss_kb")),
        "p99_drift_ms_per_minute": drift(latest),
    }
    run.figures |= {name: fit.slope for name, fit in fits.items() if fit is not None}
    run.facts |= {
        "drift": {name: fit._asdict() for name, fit in fits.items() if fit is not None},
        "p99_by_minute": latest,
    }
    return [run]


def column(samples: Mapping[str, Any] | None, name: str) -> list[tuple[float, float]]:
    """(minutes, value) of a column's samples, where there is one."""
    if samples is None:
        return []
    where = list(samples["columns"]).index(name)
    return [(row[0] / 60, row[where]) for row in samples["rows"] if row[where] is not None]


def drift(points: Sequence[tuple[float, float]]) -> Line | None:
    """The drift per minute behind the first tenth, in which a server still settles; None for too few points."""
    settled = points[len(points) // 10 :]
    return stats.drift(settled) if len({x for x, _ in settled}) > 2 else None
