"""The stage of one run: a fresh server, fresh load clients, the sampler beside them; all of it is gone at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, NamedTuple

from bench.live import NOBODY, Live
from bench.load.clients import LoadClients
from bench.measure import procfs, spread, usage
from bench.measure.cores import Cores
from bench.measure.sampler import Sampler, Watched
from bench.measure.usage import Moment
from bench.serving.posting import Publish
from bench.serving.server import Server
from bench.serving.target import Target

SETTLE_SECONDS = 0.15
SETTLED_KB = 32
READINGS = 10


class Setup(NamedTuple):
    """Which row is measured, in which pair, on which cores, and who watches."""

    target: Target
    transport: str
    pair: int
    cores: Cores
    live: Live = NOBODY


class Weight(NamedTuple):
    """Memory with so many connections, in KiB; `kernel_kb` is the machine's, both ends of each connection."""

    connections: int
    pss_kb: int
    uss_kb: int
    kernel_kb: int


class Stage(AbstractContextManager["Stage"]):
    """`with Stage(setup, clients=1000, kind="log") as stage:`. `clients` is the most that will be opened."""

    def __init__(self, setup: Setup, clients: int, kind: str = "log", load: str = "raw") -> None:
        self.setup = setup
        self._clients = clients
        self._kind = kind
        self._load_kind = load
        self.spread: list[int] = []
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            target, cores = self.setup.target, self.setup.cores
            started = target.speaking(self.setup.transport)
            service_core = cores.client
            self.server = stack.enter_context(
                Server(started, self._kind, cores.server, service_core=service_core)
            )
            wire = target.wire(self.setup.transport, self.server.host, self.server.port)
            load = LoadClients(
                wire, self._clients, cores.client, kind=self._load_kind, status=self.setup.live.path
            )
            self.load = stack.enter_context(load)
            self.sampler = stack.enter_context(Sampler(self._watched()))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, at)

    def _watched(self) -> Watched:
        cores, server = self.setup.cores, self.server
        lag = self.setup.target.loop_lag_metric or ""
        metrics = f"{server.host}:{server.port}/metrics" if lag else ""
        return Watched(
            server.pid, cores.client, cores.server, metrics=metrics, lag=lag, status=self.setup.live.path
        )

    def poster(self) -> Publish:
        """A connection to publish over; a context manager."""
        return self.server.poster()

    def moment(self) -> Moment:
        """All CPU counters, now."""
        services = {name: service.pid for name, service in self.server.services.items()}
        return usage.moment(self.server.pid, self.load.pids, self.setup.cores, services)

    def weigh(self, counts: Sequence[int]) -> list[Weight]:
        """Open clients up to each count, and weigh the server there."""
        weights = []
        for count in counts:
            self.load.open(count)
            weights.append(self.weight(count))
        if self.setup.target.processes > 1:
            self.spread = sorted(spread.over_processes(self.server.pid, self.server.port).values())
        return weights

    def weight(self, connections: int) -> Weight:
        """Memory once two readings in a row agree; at most READINGS of them."""
        before = procfs.memory(self.server.pid)
        for _ in range(READINGS):
            time.sleep(SETTLE_SECONDS)
            now = procfs.memory(self.server.pid)
            if abs(now.pss_kb - before.pss_kb) <= SETTLED_KB:
                break
            before = now
        kernel = procfs.kernel_memory()
        return Weight(connections, *now, kernel.tcp_kb + kernel.slab_kb)

    def facts(self) -> dict[str, Any]:
        """What is known behind the block: how the server ended, what the sampler cost, the versions of services, and
        for a target of several processes how many connections each of them had (the publisher's among them)."""
        services = {name: service.version() for name, service in self.server.services.items()}
        return {
            "sampler": self.sampler.cost,
            "stopped_by_force": self.server.stopped_by_force,
            **({"services": services} if services else {}),
            **({"connections_by_process": self.spread} if self.spread else {}),
        }
