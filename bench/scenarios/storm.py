"""storm: clients a second that a server takes in, each from connect(2) to its first update on a state stream.

A server that gives a new client nothing has no first update: then every row is measured to the confirmation of its
subscription, on a stream that holds nothing, and the figures have names of their own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.errors import Environment
from bench.load import payload
from bench.measure import procfs, usage, validity
from bench.measure.limiter import limiter
from bench.measure.usage import Used
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios.plan import Plan, param
from bench.serving.target import Target
from bench.stage import Setup, Stage
from bench.statistics import histogram, stats

AUTO, UPDATE, CONFIRMATION = "auto", "update", "confirmation"
# What is measured of each: the moment that a client has arrived at as the load clients call it, and figures of the row.
ARRIVALS = {
    UPDATE: ("update", "first_update", "us_per_connect", "connects_per_second", "p50_ms", "p99_ms"),
    CONFIRMATION: (
        *("ready", "ready", "us_per_subscription", "subscriptions_per_second"),
        *("confirmed_p50_ms", "confirmed_p99_ms"),
    ),
}
LEAVING_SECONDS = 10.0
SPARE_FILES = 16


@dataclass(frozen=True)
class Storm(Plan):
    """`rounds` storms of `clients` on one server, after one to warm up."""

    clients: int = param(4000, "Clients in a storm.", "subs", low=1)
    rounds: int = param(3, "Storms on one server, after one to warm up.", low=1, high=100)
    in_flight: int = param(64, "Clients on their way in at a time; 0: all at once.", low=0)
    until: str = param(
        AUTO,
        "What a client waits for; auto: its first update, where every target greets with one.",
        words=(AUTO, UPDATE, CONFIRMATION),
    )


def prepared(plan: Storm, targets: Sequence[Target]) -> tuple[Storm, str]:
    """The plan with what all clients wait for, and a sentence about it where that is not the first update. Raises
    Environment when a first update is asked for that a target does not give."""
    silent = [target.name for target in targets if not target.keeps_state]
    if plan.until == UPDATE and silent:
        raise Environment(
            f"{_greets_nobody(silent)}, so storm has no end there: say --until {CONFIRMATION}, or leave --until out"
        )
    if plan.until != AUTO:
        return plan, ""
    if not silent:
        return replace(plan, until=UPDATE), ""
    words = f"{_greets_nobody(silent)}: every row is measured to the confirmation of its subscription"
    return replace(plan, until=CONFIRMATION), words


def _greets_nobody(names: Sequence[str]) -> str:
    verb = "greets" if len(names) == 1 else "greet"
    return f"{', '.join(names)} {verb} nobody with the newest update (keeps_state)"


def measure(plan: Storm, setup: Setup) -> list[Run]:
    """A fresh server, with one update in its stream where that is waited for, and the storms."""
    made: list[dict[str, Any]] = []
    used: list[Used] = []
    plan, _ = prepared(plan if plan.until != AUTO else replace(plan, until=UPDATE), [setup.target])
    greeted = plan.until == UPDATE
    with Stage(setup, plan.clients, "state" if greeted else "log") as stage:
        if greeted:
            publish_one(stage)
        stage.sampler.tell("window")
        files = procfs.census(stage.server.pid).fds
        for _ in range(plan.rounds + 1):
            before = stage.moment()
            made.append(
                stage.load.storm(plan.clients, plan.in_flight or plan.clients, ARRIVALS[plan.until][0])
            )
            used.append(usage.between(before, stage.moment()))
            stage.load.disperse()
            emptied(stage.server.pid, files)
    rounds, windows = made[1:], used[1:]
    found = figures(plan, rounds, windows)
    flags = [
        *validity.neighbours(usage.worst_foreign(windows)),
        *_of_client(rounds),
        *validity.of_server(stage.server.stopped_by_force),
        *validity.closed_loop(_rate(plan, rounds), _mean_ms(plan, rounds) / 1000, plan.in_flight),
    ]
    facts = {
        **stage.facts(),
        "rounds": [_plain(one) for one in rounds],
        "usage": [u.to_json() for u in windows],
    }
    run = Run(setup.target.name, setup.transport, setup.pair, found, flags, facts)
    run.series = {name: merged(rounds, name) for name in ("accepted", "first_byte", ARRIVALS[plan.until][1])}
    run.samples, run.limiter = stage.sampler.samples(), limiter(found)
    return [run]


def emptied(pid: int, files: int) -> None:
    """Wait until a server has let the clients go; one that does not is measured with them."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while procfs.census(pid).fds > files + SPARE_FILES and time.monotonic() < deadline:
        time.sleep(0.05)


def figures(plan: Storm, rounds: Sequence[Mapping[str, Any]], used: Sequence[Used]) -> dict[str, float]:
    """Means over the rounds; percentiles over all their clients. What a connect costs the server is known whoever was
    the slower; rate and times are those of the server only where the load client had time to spare."""
    _, arrived, cost, per_second, p50, p99 = ARRIVALS[plan.until]
    costs = {
        cost: stats.mean([one.server.cpu_ns / plan.clients / 1000 for one in used]),
        "client_share": stats.mean([one["cpu_share"] for one in rounds]),
        "server_share": stats.mean([one.share for one in used]),
    }
    if _of_client(rounds):
        return costs
    end, byte = merged(rounds, arrived), merged(rounds, "first_byte")
    return {
        **costs,
        per_second: _rate(plan, rounds),
        "first_byte_p50_ms": byte["p50"],
        "first_byte_p99_ms": byte["p99"],
        p50: end["p50"],
        p99: end["p99"],
    }


def _rate(plan: Storm, rounds: Sequence[Mapping[str, Any]]) -> float:
    return stats.mean([plan.clients / one["seconds"] for one in rounds])


def _of_client(rounds: Sequence[Mapping[str, Any]]) -> list[Flag]:
    share = max(one["cpu_share"] for one in rounds)
    if share <= validity.CLIENT_FULL:
        return []
    words = f"the load client used {share:.0%} of its core: the server takes in more a second, its rate is not known"
    return [Flag("warn", "client", words)]


def merged(rounds: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """One histogram of all rounds."""
    return histogram.merged(one[name] for one in rounds).summary()


def _mean_ms(plan: Storm, rounds: Sequence[Mapping[str, Any]]) -> float:
    return float(merged(rounds, ARRIVALS[plan.until][1])["mean"])


def _plain(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if not isinstance(value, dict)}


def publish_one(stage: Stage) -> None:
    """Put the newest state into the stream."""
    now = time.monotonic_ns()
    with stage.poster() as poster:
        status = poster.post(payload.stamped(payload.update(1, now), now))
    if status != 201:
        target, server = stage.setup.target, stage.server
        raise Environment(f"{target.name} answered a publish with {status}: {server.said()}")
