"""outage: a service is killed under load and comes back: how long is nothing delivered, and what is lost for good."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import Environment
from bench.load import timeline
from bench.load.payload import DEFAULT_SIZE, LEAST_SIZE, MOST_SIZE
from bench.measure.readiness import Readiness
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios import plan as plans
from bench.scenarios.interruption import WARM_SECONDS, Interrupted, interrupted, run_of
from bench.scenarios.plan import LONGEST, Plan, param
from bench.serving.server import nothing_to_lose
from bench.serving.target import Target
from bench.stage import Setup, Stage


@dataclass(frozen=True)
class Outage(Plan):
    """For targets with services of their own: one is killed as by a crash, and started again; Redis comes back empty,
    PostgreSQL with what was committed. A publish that is not acknowledged meanwhile is tried again until it is."""

    clients: int = param(100, "Subscribers.", "subs", low=1)
    rate: float = plans.rate(20.0)
    service: str = param("redis", "Which of its services is killed.", words=("redis", "postgres"))
    away: float = param(3.0, "Seconds without the service.", low=0, high=3600)
    seconds: float = param(14.0, "How long updates go out.", low=1, high=LONGEST)
    size: int = param(DEFAULT_SIZE, "Bytes of JSON in an update.", low=LEAST_SIZE, high=MOST_SIZE)
    kind: str = plans.kind()

    def check(self) -> None:
        """The service is back while updates go out: what is delivered then is the finding."""
        plans.check_schedule(self.rate, self.seconds)
        if self.seconds <= WARM_SECONDS + self.away:
            raise Environment(
                f"the service is back {WARM_SECONDS + self.away:g} s into updates that go out for {self.seconds:g} s: "
                "let them go out for longer"
            )


def prepared(plan: Outage, targets: Sequence[Target]) -> tuple[Outage, str]:
    """The plan as it is. Raises Environment for a target that has no service to lose."""
    for target in targets:
        if plan.service not in target.services:
            raise Environment(nothing_to_lose(target.name, plan.service))
    return plan, ""


def measure(plan: Outage, setup: Setup) -> list[Run]:
    """One outage. Raises Environment for a target that has no service to lose."""
    with Stage(setup, plan.clients, plan.kind) as stage:
        stage.load.open(plan.clients)
        stage.load.keep(told=True, min_ms=500, max_ms=2000)

        def lose() -> Mapping[str, Any]:
            killed = time.monotonic_ns()
            stage.server.stop_service(plan.service)
            time.sleep(plan.away)
            stage.server.start_service(plan.service)
            return {"killed_ns": killed, "back_ns": time.monotonic_ns()}

        server = stage.server
        with Readiness(server.host, server.port, setup.target.ready_path) as readiness:
            found = interrupted(stage, plan.rate, plan.seconds, plan.size, lose, timeline=True)
        stage.load.close()
    kept = found.report["kept"] or {}
    seen = {"unready_seconds": readiness.unready_seconds(), "reconnects": float(kept.get("returns", 0))}
    run = run_of(stage, found, {**figures(found), **latencies(found), **seen})
    if not recovered(found):
        run.flags.append(Flag("loss", "silent", f"nothing was delivered after {plan.service} had come back"))
    killed = found.did["killed_ns"]
    run.facts |= {
        "timeline": timeline.table(found.report["timeline"], killed),
        "ready": readiness.table(killed),
        **stage.facts(),
    }
    run.samples = stage.sampler.samples()
    return [run]


def figures(found: Interrupted) -> dict[str, float]:
    """The longest time in which no client received anything, and how much of it was after the service's return, if
    that ended it."""
    away = (found.did["back_ns"] - found.did["killed_ns"]) / 1e9
    stalled = max(found.report["gap_ns"], found.silent_ns) / 1e9
    after = {"recovered_seconds": max(0.0, stalled - away)} if recovered(found) else {}
    return {"stalled_seconds": stalled, **after}


def latencies(found: Interrupted) -> dict[str, float]:
    """Median and worst latency of what should have been sent before the service was killed, while it was away, and
    after its return."""
    killed, back, slots = found.did["killed_ns"], found.did["back_ns"], found.report["timeline"]
    windows = {"before": (0, killed), "away": (killed, back), "after": (back, sys.maxsize)}
    found_in = {name: timeline.between(slots, *window) for name, window in windows.items()}
    return {
        f"{name}_{point}_ms": float(summary[point])
        for name, summary in found_in.items()
        if summary is not None
        for point in ("p50", "max")
    }


def recovered(found: Interrupted) -> bool:
    """Whether anything was delivered after the service had come back."""
    return bool(found.report["last_ns"] > found.did["back_ns"])
