"""The load client: a process of its own that holds many connections of one transport and checks each delivery.

Started by load.py. Commands come as JSON lines on stdin, one answer line each on stdout; it ends when stdin does,
so it cannot outlive the bench. Run by hand: `python -m bench.client`, then type
`{"do":"setup","wire":{...},"sources":["127.0.0.2"],"core":1}`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from array import array
from collections.abc import Iterator
from typing import Any

import uvloop

from bench import histogram, source
from bench.connection import Connection, Tally, Wire, connection
from bench.errors import Environment
from bench.ledger import total
from bench.rush import Rush
from bench.wire import WireError

LAG_SECONDS = 0.05
TRAILING_SECONDS = 0.1  # how long to listen for doubles after the last update


class LoadClient:
    """All connections of this process."""

    def __init__(self, wire: Wire, sources: list[str], first: int) -> None:
        self.wire = wire
        self.sources = sources
        self.first = first
        self.tally = Tally()
        self.tally.on_measured = self.mark
        self.connections: list[Connection] = []
        self.lags = array("q")
        self.cpu_ns = self.wall_ns = 0

    def mark(self) -> None:
        """The measured window begins: what was spent before does not count."""
        self.cpu_ns, self.wall_ns = time.process_time_ns(), time.monotonic_ns()
        self.lags = array("q")

    async def watch_lag(self) -> None:
        """How late this loop runs its timers, as long as it lives."""
        while True:
            due = time.monotonic_ns() + int(LAG_SECONDS * 1e9)
            await asyncio.sleep(LAG_SECONDS)
            self.lags.append(max(0, time.monotonic_ns() - due))

    async def connect(self, index: int) -> int:
        """Open client `index`; answers how long it took, in ns, until it was ready."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        client = connection(self.wire, self.tally, self.first)

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        client.on_ready = client.on_lost = finish
        started = time.monotonic_ns()
        sock = source.connected(self.wire.host, self.wire.port, source.of(index, self.sources))
        await asyncio.get_running_loop().create_connection(lambda: client, sock=sock)
        await done
        self.connections.append(client)
        return time.monotonic_ns() - started

    async def open(self, count: int, in_flight: int, timeout: float) -> dict[str, Any]:
        """Add clients until there are `count`; a client that was closed again counts as not alive."""
        todo = iter(range(len(self.connections), count))
        times = array("q")
        started = time.monotonic_ns()
        cpu = time.process_time_ns()
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(self._open_some(todo, times))
        except TimeoutError:
            self.tally.errors[f"connects not done after {timeout} s"] += 1
        seconds, spent = (time.monotonic_ns() - started) / 1e9, time.process_time_ns() - cpu
        return {
            "clients": len(self.connections),
            "alive": len(self.connections) - self.tally.closed,
            "seconds": seconds,
            "connect": histogram.of(times).summary(),
            "cpu_share": spent / 1e9 / max(seconds, 1e-9),
            "errors": dict(self.tally.errors),
        }

    async def _open_some(self, todo: Iterator[int], times: array[int]) -> None:
        for index in todo:
            try:
                times.append(await self.connect(index))
            except OSError as error:
                self.tally.errors[f"connect: {error}"] += 1

    async def close(self) -> dict[str, Any]:
        """Drop all clients and wait until their sockets are gone."""
        for client in self.connections:
            client.close()
        self.connections = []
        self.tally.closed = 0
        await asyncio.sleep(0.05)
        return {"clients": 0}

    def storm(self, count: int, in_flight: int) -> dict[str, Any]:
        """A connect storm; the loop stands still meanwhile, nothing else goes on in a storm."""
        try:
            return Rush(self.wire, self.sources, count, in_flight).run()
        except (Environment, WireError, OSError) as error:
            return {"failed": f"connect storm: {error}"}

    async def finish(self, last: int, timeout: float) -> dict[str, Any]:
        """Wait until every client has `last`, listen a moment for doubles, and close the books."""
        cpu, wall = time.process_time_ns() - self.cpu_ns, time.monotonic_ns() - self.wall_ns
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not self.all_have(last):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # asking 50 times a second is cheaper than telling on each update
        await asyncio.sleep(TRAILING_SECONDS)
        return {**self.books(last), "cpu_share": cpu / wall if self.wall_ns else 0.0}

    def all_have(self, last: int) -> bool:
        """True once no client waits for an update up to `last`."""
        return all(client.ledger.next > last and not client.ledger.missing for client in self.connections)

    def books(self, last: int) -> dict[str, Any]:
        """Everything that was seen."""
        tally = self.tally
        return {
            "clients": len(self.connections),
            "account": total(client.ledger.account(last) for client in self.connections)._asdict(),
            "closed": tally.closed,
            "measured": len(tally.latencies),
            "bytes": tally.bytes,
            "latency": histogram.of(tally.latencies).summary(),
            "uncorrected": histogram.of(tally.uncorrected).summary(),
            "loop_lag": histogram.of(self.lags).summary(),
            "controls": dict(tally.controls),
            "errors": dict(tally.errors),
            "first_ns": tally.first_ns,
            "last_ns": tally.last_ns,
        }

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one command line."""
        match command.pop("do"):
            case "open":
                return await self.open(**command)
            case "close":
                return await self.close()
            case "storm":
                return self.storm(**command)
            case "measure":
                self.tally.measured_from = command["first"]
                return {}
            case "finish":
                return await self.finish(**command)
            case other:
                return {"failed": f"unknown command {other!r}"}


async def commands() -> asyncio.StreamReader:
    """Stdin as a stream."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def answer(fields: dict[str, Any]) -> None:
    """One line to the bench."""
    print(json.dumps(fields), flush=True)


async def run() -> None:
    """Read the setup, then obey until stdin ends."""
    reader = await commands()
    setup = json.loads(await reader.readline())
    if setup["core"] is not None:
        os.sched_setaffinity(0, {setup["core"]})
    client = LoadClient(Wire(**setup["wire"]), setup["sources"], setup["first"])
    lag = asyncio.create_task(client.watch_lag())
    answer({"pid": os.getpid()})
    while line := await reader.readline():
        answer(await client.obey(json.loads(line)))
    lag.cancel()


def main() -> None:
    """The process: no collector pauses (nothing here makes cycles), as many files as allowed."""
    gc.disable()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(run())


if __name__ == "__main__":
    main()
