"""One run: a fresh server, fresh clients, memory before load, a schedule, the books. Knows no statistics."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from bench import payload, procfs, stats, validity
from bench.cores import Cores
from bench.load import LoadClients
from bench.publisher import Poster, Schedule, follow
from bench.server import Server
from bench.target import Target
from bench.validity import Flag

HEAD_START_NS = 50_000_000
SETTLE_SECONDS = 0.15
SETTLED_KB = 32


@dataclass(frozen=True)
class Plan:
    """What is done to every target alike. `rate` is publishes a second, each of `batch` updates of `size` bytes;
    `counts` are the numbers of connections at which memory is read on the way to `clients`."""

    clients: int
    rate: float
    seconds: float
    warmup: float = 0.5
    batch: int = 1
    size: int = payload.DEFAULT_SIZE
    kind: str = "log"
    counts: tuple[int, ...] = ()
    finish_timeout: float = 15.0


@dataclass
class Run:
    """What one run gave. `figures` are the numbers that reports compare; the rest is what they come from."""

    target: str
    transport: str
    pair: int
    figures: dict[str, float]
    flags: list[Flag] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """True unless a flag voids the run or the server was wrong."""
        return not any(flag.severity in ("void", "loss") for flag in self.flags)

    def document(self) -> dict[str, Any]:
        """For the result file."""
        return {**asdict(self), "flags": [flag._asdict() for flag in self.flags]}


class Moment(NamedTuple):
    """All CPU counters at one time."""

    server: procfs.Usage
    bench_ns: int
    cores: dict[str, procfs.CoreTime]


def moment(server: Server, load: LoadClients, cores: Cores) -> Moment:
    """Read them."""
    return Moment(
        procfs.usage(server.pid),
        sum(procfs.cpu_ns(pid) for pid in (*load.pids, os.getpid())),
        {name: procfs.core_time(core) for name, core in cores._asdict().items() if core is not None},
    )


def run(plan: Plan, target: Target, transport: str, cores: Cores, pair: int = 0) -> Run:
    """Start, connect, weigh, publish, check, stop."""
    with (
        Server(target, plan.kind, cores.server) as server,
        LoadClients(target.wire(transport, server.host, server.port), plan.clients, cores.client) as load,
        Poster(target.publish, server.host, server.port) as poster,
    ):
        memory = weigh(server.pid, load, (*plan.counts, plan.clients))
        published, report, used = measure(plan, server, load, poster, cores)
        load.close()
    facts = {"plan": asdict(plan), "memory": memory, "load": report, "published": published, "usage": used}
    flags = validity.judge(report, published, used["foreign"])
    if server.stopped_by_force:
        flags.append(Flag("warn", "stop", "the server ignored SIGTERM and was killed"))
    return Run(target.name, transport, pair, figures(report, used, memory), flags, facts)


def measure(
    plan: Plan, server: Server, load: LoadClients, poster: Poster, cores: Cores
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Warm up, publish on schedule, wait for the last delivery; answers the publisher's books, the clients',
    and what the server used from half an interval before the first measured publish until the end."""
    warm = max(1, round(plan.warmup * plan.rate))
    slots = warm + max(1, round(plan.seconds * plan.rate))
    load.measure(warm * plan.batch + 1)
    schedule = Schedule(time.monotonic_ns() + HEAD_START_NS, plan.rate, slots, plan.batch)
    marks: list[Moment] = []
    published = follow(schedule, poster, plan.size, {warm: lambda: marks.append(moment(server, load, cores))})
    report = load.finish(schedule.last, plan.finish_timeout)
    marks.append(moment(server, load, cores))
    return published.summary(), report, usage_between(*marks)


def weigh(pid: int, load: LoadClients, counts: Sequence[int]) -> list[tuple[int, int]]:
    """Open clients up to each count; answers (connections, PSS in KiB) pairs."""
    points = []
    for count in counts:
        load.open(count)
        points.append((count, settled_pss_kb(pid)))
    return points


def settled_pss_kb(pid: int) -> int:
    """PSS once two readings in a row agree; at most ten readings."""
    before = procfs.pss_kb(pid)
    for _ in range(10):
        time.sleep(SETTLE_SECONDS)
        now = procfs.pss_kb(pid)
        if abs(now - before) <= SETTLED_KB:
            return now
        before = now
    return before


def usage_between(first: Moment, last: Moment) -> dict[str, Any]:
    """What the server used in the window, and who else used its core and the load's."""
    server = last.server.since(first.server)
    ours = {"server": server.cpu_ns, "client": last.bench_ns - first.bench_ns}
    cores = {name: last.cores[name].since(first.cores[name]) for name in first.cores}
    return {
        "server": server._asdict(),
        "server_share": server.cpu_ns / server.wall_ns,
        "foreign": {
            name: max(0.0, (time_.charged_ns - ours[name]) / server.wall_ns) for name, time_ in cores.items()
        },
        "softirq_ns": {name: time_.softirq_ns for name, time_ in cores.items()},
        "steal_ns": {name: time_.steal_ns for name, time_ in cores.items()},
    }


def figures(
    load: Mapping[str, Any], used: Mapping[str, Any], memory: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """The numbers that reports compare; microseconds of server CPU, milliseconds, KiB."""
    measured = max(1, load["measured"])
    server = used["server"]
    ticks = max(1, server["user_ns"] + server["system_ns"])
    found = {
        "us_per_delivery": server["cpu_ns"] / measured / 1000,
        "user_share": server["user_ns"] / ticks,
        "bytes_per_delivery": load["bytes"] / measured,
        "server_share": used["server_share"],
        "client_share": load["cpu_share"],
        "p50_ms": load["latency"]["p50"],
        "p99_ms": load["latency"]["p99"],
        "max_ms": load["latency"]["max"],
    }
    if len({count for count, _ in memory}) > 1:
        found["kb_per_connection"] = stats.line(memory).slope
    return found
