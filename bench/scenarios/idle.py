"""idle: what a connection costs that nothing is said on: memory as a slope, and the CPU of its heartbeats."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import Environment
from bench.measure import usage, validity
from bench.result import Run
from bench.scenarios.plan import LONGEST, Plan, param
from bench.stage import Setup, Stage, Weight
from bench.statistics import stats

SLOPE_FROM = 1000  # below, what the first clients make a server load once would tilt the line


@dataclass(frozen=True)
class Idle(Plan):
    """Memory is read at each of `counts`; with all connected the server is left alone for `seconds`."""

    counts: tuple[int, ...] = param((0, 1000, 2000, 5000, 10000), "Connections to weigh at.", low=0)
    seconds: float = param(15.0, "How long the CPU of an idle server is watched.", low=0.1, high=LONGEST)

    def check(self) -> None:
        """A slope needs two points."""
        if len(set(self.counts)) < 2:
            raise Environment(
                f"memory per connection is a slope over two counts at least, not {self.counts}: say 0,1000"
            )


def measure(plan: Idle, setup: Setup) -> list[Run]:
    """One server, more and more clients."""
    with Stage(setup, max(plan.counts)) as stage:
        weights = stage.weigh(sorted(plan.counts))
        stage.sampler.tell("window")
        alone = stage.moment()
        time.sleep(plan.seconds)
        nobody = usage.between(alone, stage.moment())
        alive = stage.load.open(max(plan.counts))["alive"]
        stage.load.close()
    found = slopes(weights)
    if weights[-1].connections:
        found["idle_us_per_connection_second"] = (
            nobody.server.cpu_ns / 1000 / (nobody.server.wall_ns / 1e9) / weights[-1].connections
        )
    flags = [
        *validity.neighbours(nobody.foreign),
        *validity.of_server(stage.server.stopped_by_force),
        *validity.of_spread(setup.target.processes, stage.spread),
        *validity.left(max(plan.counts) - alive),
    ]
    fit = stats.line(_upper(weights))
    facts = {**stage.facts(), "memory": weights, "fit": fit._asdict(), "usage": nobody.to_json()}
    run = Run(setup.target.name, setup.transport, setup.pair, found, flags, facts)
    run.samples = stage.sampler.samples()
    return [run]


def slopes(weights: Sequence[Weight]) -> dict[str, float]:
    """KiB per connection: of the server (PSS, USS), and of the kernel for one of the two ends on this machine."""
    upper = _upper(weights)
    return {
        "kb_per_connection": stats.line(upper).slope,
        "uss_kb_per_connection": stats.line(_points(weights, "uss_kb")).slope,
        "kernel_kb_per_connection": stats.line(_points(weights, "kernel_kb")).slope / 2,
        "base_kb": float(weights[0].pss_kb),
    }


def _upper(weights: Sequence[Weight]) -> list[tuple[float, float]]:
    return _points(weights, "pss_kb")


def _points(weights: Sequence[Weight], name: str) -> list[tuple[float, float]]:
    chosen = [weight for weight in weights if weight.connections >= SLOPE_FROM]
    used = chosen if len(chosen) > 1 else weights
    return [(weight.connections, getattr(weight, name)) for weight in used]
