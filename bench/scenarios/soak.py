"""soak: a fan-out for long: does anything drift, in memory or in latency."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load.clients import LoadClients
from bench.result import Run
from bench.scenarios import fanout
from bench.scenarios.fanout import Fanout
from bench.scenarios.plan import param
from bench.stage import Setup
from bench.statistics import stats
from bench.statistics.stats import Line

PEEK_SECONDS = 5.0


@dataclass(frozen=True)
class Soak:
    """One rate for long."""

    clients: int = param(1000, "Subscribers.", "subs")
    rate: float = param(10.0, "Publishes a second.")
    minutes: float = param(10.0, "How long.")
    size: int = param(350, "Bytes of JSON in an update.")
    kind: str = param("log", "Kind of the stream: log or state.")


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
