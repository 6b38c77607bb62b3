"""storm: clients a second that a server takes in, each from connect(2) to its first update on a state stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import Environment
from bench.load import payload
from bench.measure import procfs, usage, validity
from bench.measure.limiter import limiter
from bench.measure.usage import Used
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios.plan import param
from bench.stage import Setup, Stage
from bench.statistics import histogram, stats

LEAVING_SECONDS = 10.0
SPARE_FILES = 16


@dataclass(frozen=True)
class Storm:
    """`rounds` storms of `clients` on one server, after one to warm up."""

    clients: int = param(4000, "Clients in a storm.", "subs")
    rounds: int = param(3, "Storms on one server, after one to warm up.")
    in_flight: int = param(64, "Clients without their first update at a time; 0: all at once.")


def measure(plan: Storm, setup: Setup) -> list[Run]:
    """A fresh server with one update in its stream, and the storms."""
    made: list[dict[str, Any]] = []
    used: list[Used] = []
    if not setup.target.keeps_state:
        name = setup.target.name
        raise Environment(
            f"{name} greets nobody with the newest update (keeps_state), so storm has no end there"
        )
    with Stage(setup, plan.clients, "state") as stage:
        publish_one(stage)
        stage.sampler.tell("window")
        files = procfs.census(stage.server.pid).fds
        for _ in range(plan.rounds + 1):
            before = stage.moment()
            made.append(stage.load.storm(plan.clients, plan.in_flight or plan.clients))
            used.append(usage.between(before, stage.moment()))
            stage.load.disperse()
            emptied(stage.server.pid, files)
    rounds, windows = made[1:], used[1:]
    found = figures(plan, rounds, windows)
    flags = [
        *validity.neighbours(usage.worst_foreign(windows)),
        *_of_client(rounds),
        *validity.of_server(stage.server.stopped_by_force),
        *validity.closed_loop(_rate(plan, rounds), _mean_ms(rounds) / 1000, plan.in_flight),
    ]
    facts = {
        **stage.facts(),
        "rounds": [_plain(one) for one in rounds],
        "usage": [u.to_json() for u in windows],
    }
    run = Run(setup.target.name, setup.transport, setup.pair, found, flags, facts)
    run.series = {name: merged(rounds, name) for name in ("accepted", "first_byte", "first_update")}
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
    costs = {
        "us_per_connect": stats.mean([one.server.cpu_ns / plan.clients / 1000 for one in used]),
        "client_share": stats.mean([one["cpu_share"] for one in rounds]),
        "server_share": stats.mean([one.share for one in used]),
    }
    if _of_client(rounds):
        return costs
    first, byte = merged(rounds, "first_update"), merged(rounds, "first_byte")
    return {
        **costs,
        "connects_per_second": _rate(plan, rounds),
        "first_byte_p50_ms": byte["p50"],
        "first_byte_p99_ms": byte["p99"],
        "p50_ms": first["p50"],
        "p99_ms": first["p99"],
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


def _mean_ms(rounds: Sequence[Mapping[str, Any]]) -> float:
    return float(merged(rounds, "first_update")["mean"])


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
