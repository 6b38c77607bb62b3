"""drain: SIGTERM under load, then the next start: who was told, over what time, who came back, what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import Environment
from bench.load.payload import DEFAULT_SIZE, LEAST_SIZE, MOST_SIZE
from bench.measure import validity
from bench.result import Run
from bench.scenarios import plan as plans
from bench.scenarios.interruption import WARM_SECONDS, Interrupted, interrupted, run_of
from bench.scenarios.plan import LONGEST, Plan, param
from bench.serving.target import Target
from bench.stage import Setup, Stage

FIRST_RETRY_MS, LAST_RETRY_MS = 500, 2000  # of a client that was told nothing


@dataclass(frozen=True)
class Drain(Plan):
    """A deploy: the server is asked to end while updates go out, and started again on the same port and directory."""

    clients: int = param(1000, "Subscribers.", "subs", low=1)
    rate: float = plans.rate(10.0)
    seconds: float = param(14.0, "How long updates go out.", low=1, high=LONGEST)
    grace: float = param(20.0, "Seconds after SIGTERM before the server is killed.", low=0.1, high=3600)
    size: int = param(DEFAULT_SIZE, "Bytes of JSON in an update.", low=LEAST_SIZE, high=MOST_SIZE)
    kind: str = plans.kind()

    def check(self) -> None:
        """The server is asked to end while updates go out."""
        plans.check_schedule(self.rate, self.seconds)
        if self.seconds <= WARM_SECONDS:
            raise Environment(
                f"the server is asked to end {WARM_SECONDS:g} s into updates that go out for {self.seconds:g} s: "
                "let them go out for longer"
            )


def prepared(plan: Drain, targets: Sequence[Target]) -> tuple[Drain, str]:
    """The plan as it is. Raises Environment for a server that is not the bench's to stop."""
    for target in targets:
        if target.outside is not None:
            raise Environment(
                f"{target.name} runs outside the bench, which cannot stop it: give it a start command"
            )
    return plan, ""


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
