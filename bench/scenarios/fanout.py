"""fanout and burst: every update to every client, on an open-loop schedule, at one rate or over a sweep to the knee."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from bench.errors import Environment
from bench.load.clients import LoadClients
from bench.load.payload import DEFAULT_SIZE, LEAST_SIZE, MOST_SIZE
from bench.measure import slo, usage, validity
from bench.measure.limiter import limiter
from bench.measure.usage import Moment, Used
from bench.result import Run
from bench.scenarios import plan as plans
from bench.scenarios.plan import LONGEST, Plan, param
from bench.serving.posting import Publish
from bench.serving.publisher import Published, Schedule, follow
from bench.serving.target import Target
from bench.stage import Setup, Stage
from bench.statistics import stats

HEAD_START_NS = 50_000_000
MOST_BATCH = 1_048_576  # bytes: docs/protocol.md section 5, NDJSON
HANDLED = 100_000  # deliveries a second: about what a load client reads and checks on its core
WEIGHED_FROM = 1000  # clients: with fewer, what a server loads once is more than what each of them takes


@dataclass(frozen=True)
class Fanout(Plan):
    """What is done to every row alike. More than one rate is a sweep, which ends at the first that breaks `slo`."""

    clients: int = param(1000, "Subscribers.", "subs", low=1)
    rates: tuple[float, ...] = plans.rate(
        (20.0,), "Publishes a second; 5..80 is a sweep that doubles.", "rate"
    )
    seconds: float = param(5.0, "Length of the measured window.", low=0.1, high=LONGEST)
    warmup: float = param(1.0, "Seconds before it.", low=0, high=LONGEST)
    batch: int = param(1, "Updates in one publish.", low=1, high=1000)
    size: int = param(DEFAULT_SIZE, "Bytes of JSON in an update.", low=LEAST_SIZE, high=MOST_SIZE)
    kind: str = plans.kind()
    slo: str = param("", "What is demanded, such as p99<100ms; ends a sweep, and the command with status 1.")
    finish_timeout: float = param(15.0, "Seconds that the last delivery may take.", low=0.1, high=3600)
    awake: bool = param(False, "Load clients never sleep, so the server wakes nobody.")
    weigh_in_window: bool = param(
        False, "Read memory in the window too, which costs the latency its cleanness."
    )

    def check(self) -> None:
        """Rates that rise, a window with a publish in it, publishes that a server may take, demands that can be met."""
        if any(after <= before for before, after in pairwise(self.rates)):
            rates = ", ".join(f"{rate:g}" for rate in self.rates)
            raise Environment(f"the rates {rates} do not rise: begin a sweep at the lowest")
        plans.check_schedule(self.rates[0], self.seconds)
        plans.check_schedule(self.rates[-1], self.warmup + self.seconds)
        if self.batch * self.size > MOST_BATCH:
            most = MOST_BATCH // self.size
            raise Environment(
                f"{self.batch} updates of {self.size} bytes are more than a publish may have ({MOST_BATCH:,} bytes): "
                f"say a batch of {most:,} at most, or a smaller size"
            )
        self._check_demands()

    def _check_demands(self) -> None:
        try:
            demands = slo.parse(self.slo)
        except ValueError as error:
            raise Environment(str(error)) from None
        for demand in demands:
            if demand.figure == "returned_share":
                raise Environment(f"{demand.text}: nobody leaves and returns here, so leave it out")
            if demand.figure == "kb_per_connection" and self.clients < WEIGHED_FROM:
                raise Environment(
                    f"{demand.text}: memory is told from {WEIGHED_FROM:,} clients on, so have more"
                )


@dataclass(frozen=True)
class Burst(Fanout):
    """The same with a hundred updates in each publish, at few of them."""

    rates: tuple[float, ...] = plans.rate((0.5,), name="rate")
    seconds: float = param(8.0, "Length of the measured window.", low=0.1, high=LONGEST)
    warmup: float = param(2.0, "Seconds before it.", low=0, high=LONGEST)
    batch: int = param(100, "Updates in one publish.", low=1, high=1000)


def prepared(plan: Fanout, targets: Sequence[Target]) -> tuple[Fanout, str]:
    """The plan as it is, and whether the load client will be the limit from its first rate on."""
    return plan, beyond(plan.clients * plan.rates[0] * plan.batch)


def beyond(deliveries: float) -> str:
    """A sentence about so many deliveries a second when a load client cannot handle them; empty else."""
    if deliveries <= 2 * HANDLED:
        return ""
    many = f"{deliveries:,.0f} deliveries a second"
    return (
        f"{many}: a load client handles about {HANDLED:,} on its core, so expect void runs, or ask for less"
    )


Hook = Callable[[LoadClients], None]


def measure(plan: Fanout, setup: Setup) -> list[Run]:
    """A run for each rate, each with a fresh server; of a sweep all up to the first that is too much."""
    made: list[Run] = []
    for rate in plan.rates:
        made.append(at(plan, setup, rate))
        if len(plan.rates) > 1 and too_much(made[-1], plan.slo):
            break
    return made


def too_much(run: Run, demands: str) -> bool:
    """Whether a sweep ends here."""
    if not validity.telling(run.flags):
        return False
    return run.limiter is not None or bool(slo.broken(slo.parse(demands), run.figures))


def at(plan: Fanout, setup: Setup, rate: float, every_slots: int = 0, hook: Hook | None = None) -> Run:
    """One run at one rate; `hook` is called with the load clients every so many publishes, half an interval ahead."""
    with Stage(setup, plan.clients, plan.kind) as stage, stage.poster() as poster:
        weights = stage.weigh(
            (plan.clients // 2, plan.clients) if plan.clients >= WEIGHED_FROM else (plan.clients,)
        )
        hooks = _hooks(plan, stage, rate, every_slots, hook)
        window = _window(plan, stage, poster, rate, hooks)
        stage.load.close()
    run = _run(plan, stage, rate, window)
    if weights[0].connections < weights[-1].connections:
        points = [(weight.connections, weight.pss_kb) for weight in weights]
        run.figures["kb_per_connection"] = stats.line(points).slope
    run.facts["memory"] = weights
    return run


Window = tuple[Published, Mapping[str, Any], Used]


Hooks = dict[int, Callable[[], None]]


def _hooks(plan: Fanout, stage: Stage, rate: float, every_slots: int, hook: Hook | None) -> Hooks:
    if hook is None:
        return {}
    warm, slots = _slots(plan, rate)
    return {index: partial(hook, stage.load) for index in range(warm + every_slots, slots, every_slots)}


def _slots(plan: Fanout, rate: float) -> tuple[int, int]:
    """How many publishes the warm-up has, and how many there are in all."""
    warm = max(1, round(plan.warmup * rate))
    return warm, warm + max(1, round(plan.seconds * rate))


def _window(plan: Fanout, stage: Stage, poster: Publish, rate: float, hooks: Hooks) -> Window:
    """Warm up, publish on schedule, wait for the last delivery; answers the publisher's books, the clients', and
    what the server used from half an interval before the first measured publish until the end."""
    warm, slots = _slots(plan, rate)
    stage.load.measure(warm * plan.batch + 1, plan.awake)
    schedule = Schedule(time.monotonic_ns() + HEAD_START_NS, rate, slots, plan.batch)
    marks: list[Moment] = []

    def begin() -> None:
        marks.append(stage.moment())

    if not plan.weigh_in_window:
        stage.sampler.tell("window")
    published = follow(schedule, poster, plan.size, {**hooks, warm: begin}, stage.setup.live.published)
    # Pings count from the moment from which the server's CPU counts: both are CLOCK_MONOTONIC of this host.
    report = stage.load.finish(schedule.last, plan.finish_timeout, marks[0].server.wall_ns)
    marks.append(stage.moment())
    stage.sampler.tell("free")
    return published, report, usage.between(*marks)


def _run(plan: Fanout, stage: Stage, rate: float, window: Window) -> Run:
    published, report, used = window
    setup = stage.setup
    found = figures(report, used, plan.clients * plan.batch * rate)
    if plan.batch == 1:  # a batch is one write of many deliveries
        found |= per_write(report, used)
    flags = [
        *validity.judge(report, published.summary(), used.foreign),
        *validity.of_server(stage.server.stopped_by_force),
        *validity.of_wire(setup.transport, report),
        *validity.of_spread(setup.target.processes, stage.spread),
        *(validity.of_stamps(report) if plan.batch == 1 else ()),
        *validity.of_series({"latency": report["latency"], "uncorrected": report["uncorrected"]}),
        *([] if plan.weigh_in_window else validity.steady(stage.sampler.samples())),
    ]
    facts = {
        **stage.facts(),
        "load": _without_series(report),
        "publisher": {"refused": published.refused},
        "usage": used.to_json(),
    }
    series = {name: report[name] for name in ("latency", "uncorrected", "loop_lag")} | {
        f"publish_{name}": value for name, value in published.series().items()
    }
    return Run(
        setup.target.name,
        setup.transport,
        setup.pair,
        found,
        flags,
        facts,
        point=rate * plan.batch if len(plan.rates) > 1 else None,
        series=series,
        account=report["account"],
        samples=stage.sampler.samples(),
        limiter=limiter(found, report["loop_lag"]["p99"], series["publish_own_delay"]["p99"]),
    )


def _without_series(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if not (isinstance(value, dict) and "hdr" in value)}


def figures(report: Mapping[str, Any], used: Used, offered: float) -> dict[str, float]:
    """The numbers that reports compare; `offered` is deliveries a second."""
    measured = max(1, report["measured"])
    costs = used.per(measured)
    latency = report["latency"]
    seconds = max(1e-9, (report["last_ns"] - report["first_ns"]) / 1e9)
    delivered = min(offered, measured / max(seconds, measured / offered))
    return {
        "us_per_delivery": costs.pop("us"),
        **costs,
        **{f"{name}_ms": latency[name] for name in ("p50", "p90", "p99", "p999", "max")},
        "bytes_per_delivery": report["bytes"] / measured,
        "offered_per_second": offered,
        "delivered_per_second": delivered,
        "delivered_share": delivered / offered,
        "server_share": used.share,
        "client_share": report["cpu_share"],
        "lost": float(report["account"]["lost"]),
    }


def per_write(report: Mapping[str, Any], used: Used) -> dict[str, float]:
    """CPU for each write, where a delivery is one. Pings and heartbeats are writes too: at 1.25 updates a second a
    cable client that is pinged every 3 s gets one ping for each 4 updates. Each counts as a write of its own."""
    measured, pings = max(1, report["measured"]), report["pings"]
    return {"us_per_write": used.per(measured + pings)["us"], "pings_per_delivery": pings / measured}
