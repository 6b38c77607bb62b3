"""drain: SIGTERM under load, then the next start: who was told, over what time, who came back, what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.measure import validity
from bench.result import Run
from bench.scenarios.interruption import Interrupted, interrupted, run_of
from bench.scenarios.plan import param
from bench.stage import Setup, Stage

FIRST_RETRY_MS, LAST_RETRY_MS = 500, 2000  # of a client that was told nothing


@dataclass(frozen=True)
class Drain:
    """A deploy: the server is asked to end while updates go out, and started again on the same port and directory."""

    clients: int = param(1000, "Subscribers.", "subs")
    rate: float = param(10.0, "Publishes a second.")
    seconds: float = param(14.0, "How long updates go out.")
    grace: float = param(20.0, "Seconds after SIGTERM before the server is killed.")
    size: int = param(350, "Bytes of JSON in an update.")
    kind: str = param("log", "Kind of the stream: log or state.")


def measure(plan: Drain, setup: Setup) -> list[Run]:
    """One deploy."""
    with Stage(setup, plan.clients, plan.kind) as stage:
        stage.load.open(plan.clients)
        stage.load.keep(told=True, min_ms=FIRST_RETRY_MS, max_ms=LAST_RETRY_MS)

        def deploy() -> Mapping[str, Any]:
            stopped = stage.server.restart(plan.grace)
            stage.sampler.tell(f"pid {stage.server.pid}")
            return stopped._asdict()

        found = interrupted(stage, plan.rate, plan.seconds, plan.size, deploy)
        stage.load.close()
    run = run_of(stage, found, figures(plan, found))
    run.flags += validity.of_server(bool(found.did["forced"]))
    run.facts |= stage.facts()
    run.samples = stage.sampler.samples()
    return [run]


def figures(plan: Drain, found: Interrupted) -> dict[str, float]:
    """Seconds to the end of the process and over which goodbyes were said; shares of the clients."""
    kept = found.report["kept"] or {}
    told = sorted(kept.get("goodbye_s", []))
    return {
        "exit_seconds": found.did["seconds"],
        "exit_status": float(found.did["status"]),
        "goodbye_share": kept.get("goodbyes", 0) / plan.clients,
        "goodbye_spread_seconds": told[-1] - told[0] if told else 0.0,
        "returned_share": found.report["alive"] / plan.clients,
    }
