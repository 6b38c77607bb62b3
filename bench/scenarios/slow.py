"""slow: clients that stop reading among healthy ones: does the healthy latency move, and does memory plateau."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import Environment
from bench.load.payload import LEAST_SIZE, MOST_SIZE
from bench.measure import procfs, usage, validity
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios import plan as plans
from bench.scenarios.plan import LONGEST, Plan, param
from bench.serving.publisher import Schedule, follow
from bench.stage import Setup, Stage

# To a client that has stopped reading, more than the kernel and a server hold for it together: only then it is stuck.
FILL_BYTES = 2**20


@dataclass(frozen=True)
class Slow(Plan):
    """Some stop reading after a while. Sizes and rate have to fill their socket buffers, or nobody is stuck at all.

    While the buffers fill nothing is measured: a server has as much to do then as before.
    """

    clients: int = param(20, "Subscribers.", "subs", low=2)
    stuck: int = param(1, "Those of them that stop reading.", low=1)
    rate: float = plans.rate(100.0)
    size: int = param(4000, "Bytes of JSON in an update.", low=LEAST_SIZE, high=MOST_SIZE)
    before: float = param(4.0, "Seconds in which all read.", low=0.1, high=LONGEST)
    seconds: float = param(16.0, "Seconds in which some are stuck.", low=0.1, high=LONGEST)
    kind: str = plans.kind()

    def check(self) -> None:
        """Somebody has to go on reading."""
        if self.stuck >= self.clients:
            raise Environment(
                f"{self.stuck} of {self.clients} clients stop reading: let {self.clients - 1} do so at most, "
                "or have more clients"
            )
        for seconds in (self.before, self.seconds):
            plans.check_schedule(self.rate, seconds)

    @property
    def fill(self) -> float:
        """Seconds until the buffers of those who stopped reading are full; at most half of those that follow."""
        return min(self.seconds / 2, FILL_BYTES / (self.rate * self.size))


def measure(plan: Slow, setup: Setup) -> list[Run]:
    """Two windows on one server: all reading, then some stuck. `plan.fill` lies between the two."""
    with Stage(setup, plan.clients, plan.kind) as stage, stage.poster() as poster:
        stage.load.open(plan.clients)
        stage.sampler.tell("window")
        opening = stage.moment()
        first = _window(plan, stage, poster, 1, plan.before)
        calm = procfs.memory(stage.server.pid).pss_kb
        stage.load.stick(plan.stuck)
        mark = stage.moment()
        calm_used = usage.between(opening, mark)
        filled = _window(plan, stage, poster, first.last + 1, plan.fill)
        second = _window(plan, stage, poster, filled.last + 1, plan.seconds)
        used = usage.between(mark, stage.moment())
        grown = procfs.memory(stage.server.pid).pss_kb - calm
        stage.load.close()
    found = figures(plan, first, second, grown, stage.sampler.samples())
    flags = [
        *validity.neighbours(usage.worst_foreign([calm_used, used])),
        *_not_stuck(plan, found),
        *validity.of_server(stage.server.stopped_by_force),
        *validity.of_load(second.report, second.published),
        *validity.of_load(filled.report, filled.published),
        *validity.of_load(first.report, first.published),
    ]
    facts = {**stage.facts(), "usage": used.to_json(), "stuck": second.report.get("stuck", [])}
    run = Run(setup.target.name, setup.transport, setup.pair, found, flags, facts)
    run.series = {"latency": second.report["latency"], "latency_before": first.report["latency"]}
    run.account, run.samples = second.report["account"], stage.sampler.samples()
    return [run]


@dataclass(frozen=True)
class _Window:
    last: int
    report: Mapping[str, Any]
    published: Mapping[str, Any]


def _window(plan: Slow, stage: Stage, poster: Any, first: int, seconds: float) -> _Window:
    stage.load.measure(first)
    schedule = Schedule(
        time.monotonic_ns() + 50_000_000, plan.rate, max(1, round(seconds * plan.rate)), first=first
    )
    published = follow(schedule, poster, plan.size)
    return _Window(schedule.last, stage.load.finish(schedule.last, 10), published.summary())


def figures(
    plan: Slow, first: _Window, second: _Window, grown_kb: int, samples: Mapping[str, Any]
) -> dict[str, float]:
    """Milliseconds at the healthy clients in both windows, KiB that the server grew by, seconds to the cut."""
    found = {
        "healthy_p99_ms": second.report["latency"]["p99"],
        "healthy_p99_before_ms": first.report["latency"]["p99"],
        "memory_growth_kb": float(grown_kb),
        "memory_tail_kb": tail_growth(samples),
        "client_share": second.report["cpu_share"],
    }
    cut = [one["seconds"] for one in second.report.get("stuck", []) if one.get("seconds") is not None]
    return {**found, "stuck_seconds": max(cut)} if len(cut) == plan.stuck else found


def _not_stuck(plan: Slow, found: Mapping[str, float]) -> list[Flag]:
    """A client that was not cut, at a server that did not grow, may have had buffers enough for everything."""
    sent_kb = plan.size * plan.rate * plan.seconds / 1024 * plan.stuck
    if "stuck_seconds" in found or found["memory_growth_kb"] > sent_kb / 2:
        return []
    return [
        Flag("warn", "stuck", "nobody was cut and nothing piled up: the socket buffers may have held it all")
    ]


def tail_growth(samples: Mapping[str, Any]) -> float:
    """KiB that the server's resident memory grew by in the last third: about nothing when it has a plateau."""
    column = list(samples["columns"]).index("rss_kb")
    values: Sequence[float] = [row[column] for row in samples["rows"] if row[column] is not None]
    tail = values[-max(2, len(values) // 3) :]
    return float(tail[-1] - tail[0]) if len(tail) > 1 else 0.0
