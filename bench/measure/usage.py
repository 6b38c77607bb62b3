"""What a server used between two moments, and who else used its core and the load's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from bench.measure import procfs
from bench.measure.cores import Cores


class Moment(NamedTuple):
    """All CPU counters at one time; `services` in ns by name."""

    server: procfs.Usage
    bench_ns: int
    cores: dict[str, procfs.CoreTime]
    services: dict[str, int]


class Used(NamedTuple):
    """The difference of two moments. `foreign`, `softirq_ns` and `steal_ns` are by core (`server`, `client`);
    `foreign` is the share of a pinned core that neither the server nor the bench and its services used. `services` is
    the CPU of the target's services, by name, in ns: they run on the client's core, and are no part of the server."""

    server: procfs.Usage
    foreign: dict[str, float]
    softirq_ns: dict[str, int]
    steal_ns: dict[str, int]
    bench_ns: int = 0
    services: Mapping[str, int] = MappingProxyType({})

    @property
    def bench_share(self) -> float:
        """The CPU of the bench and its load clients, as a share of one core."""
        return self.bench_ns / max(1, self.server.wall_ns)

    @property
    def share(self) -> float:
        """The server's CPU, as a share of one core."""
        return self.server.cpu_ns / max(1, self.server.wall_ns)

    def to_json(self) -> dict[str, Any]:
        """For the result file."""
        plain = {"server": self.server._asdict(), "services": dict(self.services), "share": self.share}
        return {**self._asdict(), **plain}

    def per(self, count: float) -> dict[str, float]:
        """Microseconds for each of `count`: all of it, and split; the kernel's ticks only say how to split. What the
        services used is beside it, `redis_us` and the like."""
        whole = self.server.cpu_ns / max(1.0, count) / 1000
        ticks = max(1, self.server.user_ns + self.server.system_ns)
        return {
            "us": whole,
            "user_us": whole * self.server.user_ns / ticks,
            "system_us": whole * self.server.system_ns / ticks,
            "softirq_us": self.softirq_ns.get("server", 0) / max(1.0, count) / 1000,
            **{f"{name}_us": ns / max(1.0, count) / 1000 for name, ns in self.services.items()},
        }


def moment(server: int, bench: Iterable[int], cores: Cores, services: Mapping[str, int]) -> Moment:
    """Read them: of the server's process tree, of the bench's processes (and this one), of the cores, of the process
    trees of the services (name to pid; 0 for one that is not running)."""
    return Moment(
        procfs.usage(server),
        sum(procfs.cpu_ns(pid) for pid in (*bench, os.getpid())),
        {name: procfs.core_time(core) for name, core in cores._asdict().items() if core is not None},
        {name: procfs.usage(pid).cpu_ns if pid else 0 for name, pid in services.items()},
    )


def between(first: Moment, last: Moment) -> Used:
    """What was used."""
    server = last.server.since(first.server)
    bench = last.bench_ns - first.bench_ns
    # One that was started again has begun at 0: what it used before is not known.
    services = {name: max(0, ns - first.services.get(name, 0)) for name, ns in last.services.items()}
    ours = {"server": server.cpu_ns, "client": bench + sum(services.values())}
    cores = {name: last.cores[name].since(first.cores[name]) for name in first.cores}
    return Used(
        server,
        {
            name: max(0.0, (core.charged_ns - ours[name]) / max(1, server.wall_ns))
            for name, core in cores.items()
        },
        {name: core.softirq_ns for name, core in cores.items()},
        {name: core.steal_ns for name, core in cores.items()},
        bench,
        services,
    )


def worst_foreign(used: Iterable[Used]) -> Mapping[str, float]:
    """The greatest foreign share by core over several windows: a neighbour in one of them spoils their mean."""
    worst: dict[str, float] = {}
    for one in used:
        for name, share in one.foreign.items():
            worst[name] = max(share, worst.get(name, 0.0))
    return worst
