"""A connect storm: clients per second, each from connect(2) to its first update on a state stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import payload, stats, validity
from bench.cores import Cores
from bench.errors import Environment
from bench.load import LoadClients
from bench.publisher import Poster
from bench.run import Run, moment, usage_between
from bench.server import Server
from bench.target import Target
from bench.validity import Flag

PAUSE_SECONDS = 0.3  # for the server to see the clients of the round before leave


@dataclass(frozen=True)
class Weather:
    """What every target goes through: `rounds` storms of `clients` on one server, after one to warm up."""

    clients: int
    rounds: int
    in_flight: int


def storm(target: Target, transport: str, weather: Weather, cores: Cores, pair: int = 0) -> Run:
    """A fresh server with one update in its stream, and the storms."""
    made, used = [], []
    with (
        Server(target, "state", cores.server) as server,
        LoadClients(target.wire(transport, server.host, server.port), weather.clients, cores.client) as load,
    ):
        publish_one(target, server)
        for _ in range(weather.rounds + 1):
            before = moment(server, load, cores)
            made.append(load.storm(weather.clients, weather.in_flight))
            used.append(usage_between(before, moment(server, load, cores)))
            time.sleep(PAUSE_SECONDS)
    spent = [one["server"]["cpu_ns"] / weather.clients / 1000 for one in used[1:]]
    found = {**_means(made[1:], weather.clients), "us_per_connect": stats.mean(spent)}
    return Run(target.name, transport, pair, found, _doubts(used[1:]), {"rounds": made, "usage": used})


def _doubts(used: Sequence[Mapping[str, Any]]) -> list[Flag]:
    """A neighbour in any of the rounds spoils the mean of all."""
    names = used[0]["foreign"]
    return list(validity.neighbours({name: max(one["foreign"][name] for one in used) for name in names}))


def _means(rounds: Sequence[Mapping[str, Any]], clients: int) -> dict[str, float]:
    return {
        "connects_per_second": stats.mean([clients / one["seconds"] for one in rounds]),
        "client_share": stats.mean([one["cpu_share"] for one in rounds]),
        "p50_ms": stats.mean([one["first_update"]["p50"] for one in rounds]),
        "p99_ms": max(one["first_update"]["p99"] for one in rounds),
    }


def publish_one(target: Target, server: Server) -> None:
    """Put the newest state into the stream."""
    now = time.monotonic_ns()
    with Poster(target.publish, server.host, server.port) as poster:
        status = poster.post(payload.stamped(payload.update(1, now), now))
    if status != 201:
        raise Environment(f"{target.name} answered a publish with {status}: {server.said()}")


def line(run: Run) -> str:
    """One run in words."""
    figures = run.figures
    bound = ", client-bound" if figures["client_share"] > 0.9 else ""
    return (
        f"{run.target:<6} {run.transport:<5} {figures['connects_per_second']:7.0f} connects/s"
        f"  {figures['us_per_connect']:6.1f} us server CPU each"
        f"  p50 {figures['p50_ms']:.1f}  p99 {figures['p99_ms']:.1f} ms"
        f"  (load client {figures['client_share']:.0%}{bound})"
    )
