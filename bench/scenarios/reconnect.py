"""reconnect: all clients lose their connection at once while updates go on; who comes back, when, with what lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bench.errors import Environment
from bench.load.clients import LoadClients
from bench.measure import usage, validity
from bench.result import Run
from bench.scenarios import plan as plans
from bench.scenarios.plan import LONGEST, Plan, param
from bench.serving.publisher import Schedule, follow
from bench.stage import Setup, Stage

WARM_SECONDS = 1.0
RETURN_SECONDS = 20.0  # for the last of them


@dataclass(frozen=True)
class Reconnect(Plan):
    """Everybody is away for `offline` seconds and then comes back within `spread` seconds, each at its own moment,
    on both transports alike (with unequal times away such figures turn round). Updates go out all the time."""

    clients: int = param(1000, "Subscribers.", "subs", low=1)
    rate: float = plans.rate(10.0)
    offline: float = param(2.0, "Seconds that everybody is away.", low=0, high=3600)
    spread: float = param(1.0, "Seconds over which they come back.", low=0, high=3600)
    seconds: float = param(8.0, "How long updates go out.", low=0.1, high=LONGEST)
    resume: bool = param(True, "Come back with a position, where the transport has one.")
    kind: str = plans.kind()

    def check(self) -> None:
        """Updates go out until everybody should be back."""
        plans.check_schedule(self.rate, self.seconds)
        back = WARM_SECONDS + self.offline + self.spread
        if self.seconds < back:
            raise Environment(
                f"clients come back up to {back:g} s into updates that go out for {self.seconds:g} s: "
                "let them go out for longer"
            )


def measure(plan: Reconnect, setup: Setup) -> list[Run]:
    """A schedule that goes on whatever happens; the break falls into it."""
    with Stage(setup, plan.clients, plan.kind) as stage, stage.poster() as poster:
        stage.load.open(plan.clients)
        stage.load.measure(1)
        start = time.monotonic_ns() + 50_000_000
        schedule = Schedule(start, plan.rate, max(1, round(plan.seconds * plan.rate)))
        before = stage.moment()
        with ThreadPoolExecutor(1) as beside:
            breaking = beside.submit(_break, plan, stage.load)
            published = follow(schedule, poster, 350, told=setup.live.published)
            back = breaking.result()
        report = stage.load.finish(schedule.last, 5)
        used = usage.between(before, stage.moment())
        stage.load.close()
    found = figures(plan, back, report, used)
    flags = [
        *validity.neighbours(used.foreign),
        *validity.of_server(stage.server.stopped_by_force),
        *validity.of_load(report, published.summary(), sequence=False),
        *validity.of_promises(report),
        *validity.of_returns(back["returned"], plan.clients),
        *validity.in_order(report["account"]),
    ]
    facts = {
        **stage.facts(),
        "verdicts": back["verdicts"],
        "curve": back["curve"],
        "usage": used.to_json(),
        "resumed": plan.resume,
    }
    run = Run(setup.target.name, setup.transport, setup.pair, found, flags, facts)
    run.series = {"ready": back["ready"], "caught_up": back["caught_up"]}
    run.account, run.samples = report["account"], stage.sampler.samples()
    return [run]


def _break(plan: Reconnect, load: LoadClients) -> dict[str, Any]:
    """The load client's part, beside the publisher's: it only waits for a pipe, so no publish waits for it."""
    time.sleep(WARM_SECONDS)
    load.drop()
    return load.come_back(
        offline_s=plan.offline,
        spread_s=plan.spread,
        resume=plan.resume,
        timeout=plan.offline + plan.spread + RETURN_SECONDS,
    )


def figures(
    plan: Reconnect, back: Mapping[str, Any], report: Mapping[str, Any], used: usage.Used
) -> dict[str, float]:
    """Shares of the clients, milliseconds from each client's own attempt (of all, or there are none), updates lost per
    client."""
    caught_up, complete = back["caught_up"], back["caught_up"]["count"] == plan.clients
    times = {"return_p50_ms": caught_up["p50"], "return_p99_ms": caught_up["p99"]} if complete else {}
    return {
        "returned_share": back["returned"] / plan.clients,
        "recovered_share": back["verdicts"].get("recovered", 0) / plan.clients,
        **times,
        "lost_per_client": report["account"]["lost"] / plan.clients,
        "server_share": used.share,
        "client_share": report["cpu_share"],
    }
