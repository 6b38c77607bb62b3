"""outage: the broker is killed under load and comes back: how long is nothing delivered, and what is lost for good."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import Environment
from bench.load.payload import DEFAULT_SIZE, LEAST_SIZE, MOST_SIZE
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios import plan as plans
from bench.scenarios.interruption import WARM_SECONDS, Interrupted, interrupted, run_of
from bench.scenarios.plan import LONGEST, Plan, param
from bench.serving.target import Target
from bench.stage import Setup, Stage


@dataclass(frozen=True)
class Outage(Plan):
    """For targets with a service of their own (Redis): it is killed as by a crash, and started again, empty."""

    clients: int = param(100, "Subscribers.", "subs", low=1)
    rate: float = plans.rate(20.0)
    away: float = param(3.0, "Seconds without the broker.", low=0, high=3600)
    seconds: float = param(14.0, "How long updates go out.", low=1, high=LONGEST)
    size: int = param(DEFAULT_SIZE, "Bytes of JSON in an update.", low=LEAST_SIZE, high=MOST_SIZE)
    kind: str = plans.kind()

    def check(self) -> None:
        """The broker is back while updates go out: what is delivered then is the finding."""
        plans.check_schedule(self.rate, self.seconds)
        if self.seconds <= WARM_SECONDS + self.away:
            raise Environment(
                f"the broker is back {WARM_SECONDS + self.away:g} s into updates that go out for {self.seconds:g} s: "
                "let them go out for longer"
            )


def prepared(plan: Outage, targets: Sequence[Target]) -> tuple[Outage, str]:
    """The plan as it is. Raises Environment for a target that has no service to lose."""
    for target in targets:
        if "redis" not in target.services:
            raise Environment(
                f"{target.name} has no service 'redis' to lose: choose a target that has one, such as go-gorilla"
            )
    return plan, ""


def measure(plan: Outage, setup: Setup) -> list[Run]:
    """One outage. Raises Environment for a target that has no service to lose."""
    with Stage(setup, plan.clients, plan.kind) as stage:
        stage.load.open(plan.clients)
        stage.load.keep(told=True, min_ms=500, max_ms=2000)

        def lose() -> Mapping[str, Any]:
            killed = time.monotonic_ns()
            stage.server.stop_service()
            time.sleep(plan.away)
            stage.server.start_service()
            return {"killed_ns": killed, "back_ns": time.monotonic_ns()}

        found = interrupted(stage, plan.rate, plan.seconds, plan.size, lose)
        stage.load.close()
    run = run_of(stage, found, figures(found))
    if not recovered(found):
        run.flags.append(Flag("loss", "silent", "nothing was delivered after the broker had come back"))
    run.facts |= stage.facts()
    run.samples = stage.sampler.samples()
    return [run]


def figures(found: Interrupted) -> dict[str, float]:
    """The longest time in which no client received anything, and how much of it was after the broker's return, if
    that ended it."""
    away = (found.did["back_ns"] - found.did["killed_ns"]) / 1e9
    stalled = max(found.report["gap_ns"], found.silent_ns) / 1e9
    after = {"recovered_seconds": max(0.0, stalled - away)} if recovered(found) else {}
    return {"stalled_seconds": stalled, **after}


def recovered(found: Interrupted) -> bool:
    """Whether anything was delivered after the broker had come back."""
    return bool(found.report["last_ns"] > found.did["back_ns"])
