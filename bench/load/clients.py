"""The load client processes together: start, command, collect, merge, end."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

from bench.errors import Environment
from bench.load import merge
from bench.load.client_process import ClientProcess
from bench.load.wire import Wire

CLIENTS_PER_PROCESS = 18_000  # under the usual hard limit of 20,000 files
SOURCES_PER_PROCESS = 5
MODULES = {"raw": "bench.load.client", "library": "bench.load.library_client"}
LIBRARY_CLIENTS = 100  # real libraries take a core for what the raw client does with a hundredth of it

Command = dict[str, Any]


class LoadClients:
    """`with LoadClients(wire, count, core) as load:`; `count` is the most that will be opened.

    `first`: number of the first update that counts. `kind`: "raw", or "library" for httpx and websockets as a check
    on the raw client. `status`: path of a unix datagram socket that each process tells once a second what `peek`
    answers; empty for none.
    `seed`: of the moments at which clients come back. Every method raises Environment when a process fails.
    """

    def __init__(
        self,
        wire: Wire,
        count: int,
        core: int | None,
        first: int = 1,
        *,
        kind: str = "raw",
        status: str = "",
        seed: int = 0,
    ) -> None:
        if kind == "library" and count > LIBRARY_CLIENTS:
            raise Environment(f"library clients are for at most {LIBRARY_CLIENTS} connections, not {count}")
        self.wire = wire
        self.module = MODULES[kind]
        self.common = {"wire": wire._asdict(), "core": core, "first": first}
        self.status = status
        self.seed = seed
        self.processes: list[ClientProcess] = []
        self.wanted = -(-max(count, 1) // CLIENTS_PER_PROCESS)
        self.shares: list[int] = []

    def __enter__(self) -> LoadClients:
        try:
            for number in range(self.wanted):
                self.processes.append(ClientProcess(self.module, self._setup(number)))
            for process in self.processes:
                process.answer(10)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    def _setup(self, number: int) -> Command:
        first = 2 + number * SOURCES_PER_PROCESS
        sources = [f"127.0.0.{host}" for host in range(first, first + SOURCES_PER_PROCESS)]
        return {**self.common, "sources": sources, "status": self.status, "seed": self.seed + number}

    def _end(self) -> None:
        for process in self.processes:
            process.end()

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.popen.pid for process in self.processes]

    def open(self, count: int, in_flight: int = 64, timeout: float = 60) -> dict[str, Any]:
        """Bring the clients up to `count`, shared out evenly; raises Environment when some cannot connect. `alive` in
        the answer also tells of those that had connected before."""
        self.shares = [count // len(self.processes)] * len(self.processes)
        self.shares[0] += count - sum(self.shares)
        self._tell(
            {"do": "open", "count": share, "in_flight": in_flight, "timeout": timeout}
            for share in self.shares
        )
        answers = self._answers(timeout + 10)
        missing = sum(answer["missing"] for answer in answers)
        if missing:
            errors = [error for answer in answers for error in answer["errors"]]
            raise Environment(
                f"{missing} of {count} clients could not connect: {errors[:3] or 'closed again'}"
            )
        return merge.opened(answers)

    def close(self) -> None:
        """Drop all clients and what they know, keep the processes."""
        self._all({"do": "close"}, 30)

    def storm(self, count: int, in_flight: int, until: str = "update") -> dict[str, Any]:
        """Connect `count` at once, each until its first "update" or until it is "ready"; they stay until `disperse`
        (first process only)."""
        self.processes[0].tell({"do": "storm", "count": count, "in_flight": in_flight, "until": until})
        answer = self.processes[0].answer(120)
        return {**answer, "extensions": merge.extensions([answer])}

    def disperse(self) -> None:
        """The clients of a storm leave."""
        self.processes[0].tell({"do": "disperse"})
        self.processes[0].answer(30)

    def measure(self, first: int, awake: bool = False, timeline: bool = False) -> None:
        """A new window: latencies, bytes and the client's CPU share count from update `first` on. The account is
        always of everything. `awake`: the processes never sleep from now on, and their share is what they had to do.
        `timeline`: the books have latencies by time, too."""
        self._all({"do": "measure", "first": first, "awake": awake, "timeline": timeline}, 10)

    def finish(self, last: int, timeout: float, begin_ns: int = 0) -> dict[str, Any]:
        """The books of all clients together, once all have update `last` or `timeout` s went by. `pings` in them
        counts pings and heartbeats that arrived since `begin_ns` (CLOCK_MONOTONIC; 0: since `measure`)."""
        command = {"do": "finish", "last": last, "timeout": timeout, "begin_ns": begin_ns}
        return merge.books(self._all(command, timeout + 60))

    def peek(self) -> dict[str, Any]:
        """Counts so far, and percentiles of what came since the last peek."""
        return merge.status(self._all({"do": "peek"}, 10))

    def drop(self) -> int:
        """Abort all connections at once; clients keep what they received. Answers how many were connected."""
        return sum(answer["dropped"] for answer in self._all({"do": "drop"}, 30))

    def begin_come_back(
        self, spread_s: float, offline_s: float = 0.0, resume: bool = True, timeout: float = 30
    ) -> None:
        """After `drop`: each client waits `offline_s` and its own share of `spread_s`, and connects again, with
        `resume` from its position. Returns at once; no other command until `came_back`."""
        waits = {"spread_s": spread_s, "offline_s": offline_s}
        self._tell([{"do": "come_back", **waits, "resume": resume, "timeout": timeout}] * len(self.processes))
        self.patience = timeout + 10

    def came_back(self) -> dict[str, Any]:
        """What came of it, once all had caught up or the timeout was over: `returned` of `clients`, `ready`
        (histogram, connect to ready), `caught_up` (histogram, connect to the first update behind ready, or to ready
        when nothing is replayed), `verdicts`, `curve` ([seconds since the drop, share of the clients back])."""
        return merge.come_back(self._answers(self.patience))

    def come_back(
        self, spread_s: float, offline_s: float = 0.0, resume: bool = True, timeout: float = 30
    ) -> dict[str, Any]:
        """Both in one; it blocks, and so does a publisher in the same thread."""
        self.begin_come_back(spread_s, offline_s, resume, timeout)
        return self.came_back()

    def keep(self, told: bool, min_ms: float, max_ms: float, resume: bool = True) -> None:
        """From now on a connection that the server ends comes back by itself: after the time that it was told, if
        `told`, else after `min_ms` to `max_ms`. What came of it is in the books under `kept`."""
        self._all({"do": "keep", "told": told, "min_ms": min_ms, "max_ms": max_ms, "resume": resume}, 10)

    def stick(self, count: int) -> list[dict[str, Any]]:
        """The first `count` clients stop reading and leave the books for good; `stuck` in the books and the answer
        of `unstick` say after how many `seconds` the server cut each `client` (None: it has not)."""
        counts: list[int] = []
        for share in self.shares:
            counts.append(min(share, count - sum(counts)))
        self._tell({"do": "stick", "count": one} for one in counts)
        return merge.stuck(self._answers(10))

    def unstick(self) -> list[dict[str, Any]]:
        """They read again."""
        return merge.stuck(self._all({"do": "unstick"}, 10))

    def _all(self, command: Command, timeout: float) -> list[dict[str, Any]]:
        self._tell([command] * len(self.processes))
        return self._answers(timeout)

    def _tell(self, commands: Iterable[Command]) -> None:
        for process, command in zip(self.processes, commands, strict=True):
            process.tell(command)

    def _answers(self, timeout: float) -> list[dict[str, Any]]:
        return [process.answer(timeout) for process in self.processes]
