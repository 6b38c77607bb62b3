"""The clients of one process: their commands, their loop's lag, their books. Raw and library clients are both one."""

from __future__ import annotations

import asyncio
import os
import random
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from bench.load.awake import Awake
from bench.load.beacon import Beacon
from bench.load.ledger import total
from bench.load.subscriber import Subscriber
from bench.load.tally import Tally
from bench.load.wire import Wire
from bench.statistics import histogram

LAG_SECONDS = 0.05
TRAILING_SECONDS = 0.1  # how long to listen for doubles after the last update

Order = Callable[..., Awaitable[dict[str, Any]]]


class Group(ABC):
    """`setup`: {"wire": fields of Wire, "first": number of the first update that counts, "seed": of its chance,
    "status": path of a unix datagram socket or None}. A subclass says what a client is and how it connects."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.wire = Wire.of(setup["wire"])
        self.first = int(setup["first"])
        self.chance = random.Random(setup.get("seed", 0))
        self.tally = Tally()
        self.tally.on_measured = self._mark
        self.awake = Awake(self.tally)
        self.subscribers: list[Subscriber] = []
        self.lags = array("q")
        self.lag_peak = self.told_cpu_ns = 0
        self.told_ns = time.monotonic_ns()
        self.cpu_ns = self.wall_ns = 0
        self.beacon = Beacon(setup["status"], self.status) if setup.get("status") else None
        self.tasks: list[asyncio.Task[None]] = []
        self.orders: dict[str, Order] = {"open": self.open, "measure": self.measure, "finish": self.finish}
        self.orders["peek"] = self.peek

    def subscriber(self, index: int) -> Subscriber:
        """A new client, not connected yet."""
        return Subscriber(index, self.tally, self.first)

    @abstractmethod
    async def enter(self, subscriber: Subscriber) -> int | None:
        """Connect it for the first time: how long it took until it was ready, in ns; None when it failed, with the
        reason among the errors."""

    def start(self) -> None:
        """Begin what goes on beside the load."""
        self.tasks.append(asyncio.create_task(self._watch()))
        if self.beacon is not None:
            self.tasks.append(asyncio.create_task(self.beacon.run()))

    def stop(self) -> None:
        """End it."""
        self.awake.end()
        for task in self.tasks:
            task.cancel()
        if self.beacon is not None:
            self.beacon.close()

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one command."""
        name = command.pop("do")
        order = self.orders.get(name)
        if order is None:
            return {"failed": f"unknown command {name!r}; there are {', '.join(self.orders)}"}
        return await order(**command)

    def _mark(self) -> None:
        """The measured window begins: what was spent before does not count."""
        self.cpu_ns, self.wall_ns = self._busy_ns(), time.monotonic_ns()
        self.lags = array("q")

    def _busy_ns(self) -> int:
        """What this process has used of its core; awake, what it had to do."""
        return self.awake.busy_ns if self.awake.turning else time.process_time_ns()

    async def _watch(self) -> None:
        """How late this loop runs its timers, as long as it lives; and a slice of counting each time."""
        while True:
            due = time.monotonic_ns() + int(LAG_SECONDS * 1e9)
            await asyncio.sleep(LAG_SECONDS)
            lag = max(0, time.monotonic_ns() - due)
            self.lags.append(lag)
            self.lag_peak = max(self.lag_peak, lag)
            self.tick()

    def tick(self) -> None:
        """Twenty times a second, with nothing else due."""
        self.tally.fold()

    @property
    def alive(self) -> int:
        """Clients that can miss nothing at present."""
        return sum(one.alive for one in self.subscribers)

    @property
    def counted(self) -> list[Subscriber]:
        """Clients that are in the books."""
        return [one for one in self.subscribers if not one.aside]

    async def open(self, count: int, in_flight: int, timeout: float) -> dict[str, Any]:
        """Add clients until there are `count`, `in_flight` at a time; each gets one attempt."""
        new = [self.subscriber(index) for index in range(len(self.subscribers), count)]
        self.subscribers += new
        todo, times = iter(new), array("q")
        started, cpu = time.monotonic_ns(), time.process_time_ns()
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(self._open_some(todo, times))
        except TimeoutError:
            self.tally.errors[f"connects not done after {timeout} s"] += 1
        seconds, spent = (time.monotonic_ns() - started) / 1e9, time.process_time_ns() - cpu
        return {
            "clients": len(self.subscribers),
            "alive": self.alive,
            "missing": sum(not one.alive for one in new),
            "seconds": seconds,
            "connect": histogram.of(times).summary(),
            "cpu_share": spent / 1e9 / max(seconds, 1e-9),
            "extensions": sorted(self.tally.extensions),
            "errors": dict(self.tally.errors),
        }

    async def _open_some(self, todo: Iterator[Subscriber], times: array[int]) -> None:
        for subscriber in todo:
            took = await self.enter(subscriber)
            if took is not None:
                times.append(took)

    async def measure(self, first: int, awake: bool = False, timeline: bool = False) -> dict[str, Any]:
        """A new window: latencies, bytes and the CPU share count from update `first` on. `awake`: from now on this
        process never sleeps. `timeline`: latencies are kept by time, too."""
        self.tally.measure(first, timeline)
        if awake:
            self.awake.begin()
        return {}

    async def finish(self, last: int, timeout: float, begin_ns: int = 0) -> dict[str, Any]:
        """Wait until every client has `last`, listen a moment for doubles, and close the books. `pings` are those
        that arrived since `begin_ns` (CLOCK_MONOTONIC), but not before `measure`."""
        cpu, wall = self._busy_ns() - self.cpu_ns, time.monotonic_ns() - self.wall_ns
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not self._all_have(last):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # asking 50 times a second is cheaper than telling on each update
        await asyncio.sleep(TRAILING_SECONDS)
        share = cpu / wall if self.wall_ns else 0.0
        return {**self.books(last), "pings": self.tally.pings_since(begin_ns), "cpu_share": share}

    def _all_have(self, last: int) -> bool:
        """True once no client waits for an update up to `last`."""
        return all(one.ledger.next > last and not one.ledger.missing for one in self.counted)

    def books(self, last: int) -> dict[str, Any]:
        """Everything that was seen."""
        tally = self.tally
        return {
            "clients": len(self.subscribers),
            "alive": self.alive,
            "account": total(one.ledger.account(last) for one in self.counted)._asdict(),
            "broken_promises": self._broken_promises(last),
            "closed": tally.closed,
            "measured": len(tally.latency),
            "bytes": tally.bytes,
            "reads": tally.reads,
            "updates": tally.updates,
            "memo_hits": tally.memo.hits,
            "latency": tally.latency.histogram().summary(),
            "uncorrected": tally.uncorrected.histogram().summary(),
            "loop_lag": histogram.of(self.lags).summary(),
            "extensions": sorted(tally.extensions),
            "controls": dict(tally.controls),
            "errors": dict(tally.errors),
            "first_ns": tally.first_ns,
            "last_ns": tally.last_ns,
            "gap_ns": tally.gap_ns,
            "unstamped": 0,
            "timeline": tally.timeline.report() if tally.timeline is not None else {},
            "status_unheard": self.beacon.unheard if self.beacon else 0,
        }

    def _broken_promises(self, last: int) -> int:
        """Updates that connected clients miss who were told that they have everything."""
        return sum(one.ledger.account(last).lost for one in self.counted if one.alive and one.promised)

    def status(self) -> dict[str, Any]:
        """Counts so far; percentiles (of a sample), CPU share and the worst lag since the last time."""
        tally, counted = self.tally, self.counted
        lag, self.lag_peak = self.lag_peak, 0
        return {
            "from": "client",
            "pid": os.getpid(),
            "alive": self.alive,
            "received": tally.updates,
            "measured": len(tally.latency),
            "closed": tally.closed,
            "doubled": sum(one.ledger.doubled for one in counted),
            "disordered": sum(one.ledger.disordered for one in counted),
            **tally.latency.recent(self.chance)._asdict(),
            "cpu_share": self._share_since_told(),
            "loop_lag_ms": lag / 1e6,
        }

    def _share_since_told(self) -> float:
        cpu, now = self._busy_ns(), time.monotonic_ns()
        share = (cpu - self.told_cpu_ns) / max(1, now - self.told_ns)
        self.told_cpu_ns, self.told_ns = cpu, now
        return share

    async def peek(self) -> dict[str, Any]:
        """The same as a command."""
        return self.status()
