"""outage: the broker is killed under load and comes back: how long is nothing delivered, and what is lost for good."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios.interruption import Interrupted, interrupted, run_of
from bench.scenarios.plan import param
from bench.stage import Setup, Stage


@dataclass(frozen=True)
class Outage:
    """For targets with a service of their own (Redis): it is killed as by a crash, and started again, empty."""

    clients: int = param(100, "Subscribers.", "subs")
    rate: float = param(20.0, "Publishes a second.")
    away: float = param(3.0, "Seconds without the broker.")
    seconds: float = param(14.0, "How long updates go out.")
    size: int = param(350, "Bytes of JSON in an update.")
    kind: str = param("log", "Kind of the stream: log or state.")


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
