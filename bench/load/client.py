"""The load client: a process of its own that holds many connections of one transport and checks each delivery.

Started by load.py; pipe.py reads its commands. Run by hand: `python -m bench.load.client`, then type
`{"wire":{...},"sources":["127.0.0.2"],"core":1,"first":1}`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bench.errors import Environment
from bench.load import pipe, source
from bench.load.comeback import Comeback
from bench.load.connection import Connection, connection
from bench.load.group import Group
from bench.load.keeper import Keeper, Terms
from bench.load.receiver import Receiver
from bench.load.rush import Rush
from bench.load.stuck import Stuck
from bench.load.subscriber import Subscriber
from bench.load.wire import WireError

CONNECT_SECONDS = 5.0


class LoadClient(Group):
    """All connections of this process. `setup` also has "sources": the addresses that it connects from."""

    def __init__(self, setup: dict[str, Any]) -> None:
        super().__init__(setup)
        self.sources: list[str] = setup["sources"]
        self.dropped_ns = 0
        self.keeper: Keeper | None = None
        self.rush: Rush | None = None
        self.receiver = Receiver()
        self.stuck = Stuck()
        self.orders |= {
            "close": self.close,
            "storm": self.storm,
            "drop": self.drop,
            "come_back": self.come_back,
            "disperse": self.disperse,
        }
        self.orders |= {"keep": self.keep, "stick": self.stick, "unstick": self.unstick}

    def tick(self) -> None:
        """The group's, and a look at the clock of the stamps."""
        super().tick()
        self.receiver.check_clock()

    # ---- one connection

    async def attempt(
        self, subscriber: Subscriber, resume: bool, on_update: Callable[[int], None] | None = None
    ) -> Connection:
        """A new connection, once it is ready or has ended. Raises OSError and TimeoutError."""
        made = subscriber.connection = connection(self.wire, subscriber, resume)
        made.on_update, made.on_end = on_update, self._ended
        loop = asyncio.get_running_loop()
        sock = source.bound(source.of(subscriber.index, self.sources))
        try:
            if not source.begin(sock, self.wire.host, self.wire.port):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await loop.sock_connect(sock, (self.wire.host, self.wire.port))
            self.receiver.attach(sock, made)
            await made.settled
        except BaseException:
            made.close()
            sock.close()
            raise
        return made

    async def reach(
        self, subscriber: Subscriber, resume: bool = False, on_update: Callable[[int], None] | None = None
    ) -> Connection | None:
        """The same; None when it failed, with the reason among the errors."""
        try:
            made = await self.attempt(subscriber, resume, on_update)
        except (OSError, TimeoutError) as error:
            self.tally.errors[f"connect: {error or 'no answer'}"] += 1
            return None
        if not made.ready_ns:
            self.tally.errors["a connection ended before it was ready"] += 1
            return None
        return made

    async def enter(self, subscriber: Subscriber) -> int | None:
        started = time.monotonic_ns()
        made = await self.reach(subscriber)
        return made.ready_ns - started if made is not None else None

    def _ended(self, made: Connection) -> None:
        """The server has ended a connection."""
        if not made.ready_ns:
            return
        if self.keeper is not None:
            self.keeper.ended(made)
            return
        made.tally.closed += 1
        if made.goodbye is not None:
            made.tally.errors[made.goodbye.text] += 1

    # ---- commands

    async def close(self) -> dict[str, Any]:
        """Forget all clients and wait until their sockets are gone."""
        self._leave()
        self.subscribers = []
        self.tally.closed = 0
        await asyncio.sleep(0.05)
        return {"clients": 0}

    def _leave(self) -> None:
        self.stuck.end()
        if self.keeper is not None:
            self.keeper.end()
        for subscriber in self.subscribers:
            if subscriber.connection is not None:
                subscriber.connection.close()

    async def drop(self) -> dict[str, Any]:
        """Abort all connections at once; what the clients have and where they are is kept."""
        self.dropped_ns, alive = time.monotonic_ns(), self.alive
        self._leave()
        return {"dropped": alive}

    async def come_back(
        self, spread_s: float, offline_s: float, resume: bool, timeout: float
    ) -> dict[str, Any]:
        """After `drop`: all clients connect again."""
        if not self.dropped_ns:
            raise Environment("come_back without drop: drop the clients first")
        comeback = Comeback(self.reach, self.dropped_ns, self.chance)
        return await comeback.run(self.subscribers, spread_s, offline_s, resume, timeout)

    async def keep(self, told: bool, min_ms: float, max_ms: float, resume: bool = True) -> dict[str, Any]:
        """From now on a connection that the server ends comes back by itself."""
        self.keeper = Keeper(Terms(told, min_ms, max_ms, resume), self.attempt, self.chance)
        return {}

    async def stick(self, count: int) -> dict[str, Any]:
        """The first `count` clients stop reading, and leave the books."""
        self.stuck.stop(self.subscribers[:count])
        return {"stuck": self.stuck.report()}

    async def unstick(self) -> dict[str, Any]:
        """They read again."""
        self.stuck.release()
        return {"stuck": self.stuck.report()}

    async def storm(self, count: int, in_flight: int, until: str = "update") -> dict[str, Any]:
        """A connect storm; the loop stands still meanwhile, nothing else goes on in a storm. Its clients stay until
        `disperse`."""
        try:
            self.rush = Rush(self.wire, self.sources, count, in_flight, until)
            return self.rush.run()
        except (Environment, WireError, OSError) as error:
            return {"failed": f"connect storm: {error}"}

    async def disperse(self) -> dict[str, Any]:
        """The clients of the storm leave."""
        if self.rush is not None:
            self.rush.drop()
            self.rush = None
        return {}

    def books(self, last: int) -> dict[str, Any]:
        """Also who stuck, who came back by itself, and how often the wall clock jumped."""
        kept = self.keeper.report() if self.keeper is not None else None
        more = {"stuck": self.stuck.report(), "kept": kept, "clock_steps": self.receiver.steps}
        more["unstamped"] = self.receiver.unstamped
        return {**super().books(last), **more}


if __name__ == "__main__":
    pipe.main(LoadClient)  # no collector: the only cycles are between a client and its present connection
