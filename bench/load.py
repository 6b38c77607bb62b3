"""The load client processes, as the bench sees them: start, command, collect, merge, end."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import histogram
from bench.connection import Wire
from bench.errors import Environment
from bench.ledger import Account, total

ROOT = Path(__file__).parent.parent
CLIENTS_PER_PROCESS = 18_000  # under the usual hard limit of 20,000 files
SOURCES_PER_PROCESS = 5


class LoadClients:
    """`with LoadClients(wire, count, core) as load:`; `count` is the most that will be opened."""

    def __init__(self, wire: Wire, count: int, core: int | None, first: int = 1) -> None:
        self.wire = wire
        self.core = core
        self.first = first
        self.processes: list[_Process] = []
        self.wanted = -(-max(count, 1) // CLIENTS_PER_PROCESS)

    def __enter__(self) -> LoadClients:
        try:
            for number in range(self.wanted):
                self.processes.append(_Process(self._setup(number)))
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

    def _setup(self, number: int) -> dict[str, Any]:
        first = 2 + number * SOURCES_PER_PROCESS
        sources = [f"127.0.0.{host}" for host in range(first, first + SOURCES_PER_PROCESS)]
        return {"wire": self.wire._asdict(), "sources": sources, "core": self.core, "first": self.first}

    def _end(self) -> None:
        for process in self.processes:
            process.end()

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.popen.pid for process in self.processes]

    def open(self, count: int, in_flight: int = 64, timeout: float = 60) -> dict[str, Any]:
        """Bring the clients up to `count`, shared out evenly; raises Environment when some cannot connect."""
        shares = [count // len(self.processes)] * len(self.processes)
        shares[0] += count - sum(shares)
        answers = self._all(
            [{"do": "open", "count": share, "in_flight": in_flight, "timeout": timeout} for share in shares],
            timeout + 10,
        )
        alive = sum(answer["alive"] for answer in answers)
        if alive != count:
            errors = [error for answer in answers for error in answer["errors"]]
            raise Environment(
                f"{count - alive} of {count} clients could not connect: {errors[:3] or 'closed again'}"
            )
        return {
            "seconds": max(answer["seconds"] for answer in answers),
            "cpu_share": max(answer["cpu_share"] for answer in answers),
            "connect": histogram.merged(answer["connect"] for answer in answers).summary(),
        }

    def close(self) -> None:
        """Drop all clients, keep the processes."""
        self._all([{"do": "close"}] * len(self.processes), 30)

    def storm(self, count: int, in_flight: int) -> dict[str, Any]:
        """Connect `count` at once, each until its first update, and drop them (first process only)."""
        self.processes[0].tell({"do": "storm", "count": count, "in_flight": in_flight})
        return self.processes[0].answer(120)

    def measure(self, first: int) -> None:
        """Latencies count from update `first` on."""
        self._all([{"do": "measure", "first": first}] * len(self.processes), 10)

    def finish(self, last: int, timeout: float) -> dict[str, Any]:
        """The books of all clients together, once all have update `last` or `timeout` s went by."""
        reports = self._all(
            [{"do": "finish", "last": last, "timeout": timeout}] * len(self.processes), timeout + 60
        )
        return merge(reports)

    def _all(self, commands: list[dict[str, Any]], timeout: float) -> list[dict[str, Any]]:
        for process, command in zip(self.processes, commands, strict=True):
            process.tell(command)
        return [process.answer(timeout) for process in self.processes]


def merge(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """One report out of several: counts add up, histograms merge, the busiest process speaks for the load."""
    return {
        "clients": sum(report["clients"] for report in reports),
        "account": total(Account(**report["account"]) for report in reports)._asdict(),
        "closed": sum(report["closed"] for report in reports),
        "measured": sum(report["measured"] for report in reports),
        "bytes": sum(report["bytes"] for report in reports),
        **{
            name: histogram.merged(report[name] for report in reports).summary()
            for name in ("latency", "uncorrected", "loop_lag")
        },
        "controls": _added(report["controls"] for report in reports),
        "errors": _added(report["errors"] for report in reports),
        "cpu_share": max(report["cpu_share"] for report in reports),
        "first_ns": min(report["first_ns"] for report in reports),
        "last_ns": max(report["last_ns"] for report in reports),
    }


def _added(counts: Any) -> dict[str, int]:
    whole: dict[str, int] = {}
    for count in counts:
        for name, value in count.items():
            whole[name] = whole.get(name, 0) + value
    return whole


class _Process:
    """One load client: JSON lines over its pipes."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "bench.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self.pending = b""
        self.tell(setup)

    def tell(self, command: dict[str, Any]) -> None:
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(json.dumps(command).encode() + b"\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            raise Environment("a load client died; its traceback is above") from None

    def answer(self, timeout: float) -> dict[str, Any]:
        """The next line; raises Environment when none comes in time."""
        assert self.popen.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.popen.stdout], [], [], left)[0]:
                raise Environment(f"a load client said nothing for {timeout:.0f} s")
            piece = os.read(self.popen.stdout.fileno(), 1 << 20)
            if not piece:
                raise Environment("a load client died; its traceback is above")
            self.pending += piece
        row, _, self.pending = self.pending.partition(b"\n")
        fields: dict[str, Any] = json.loads(row)
        if "failed" in fields:
            raise Environment(str(fields["failed"]))
        return fields

    def end(self) -> None:
        """Close its stdin, which ends it; kill it when it does not."""
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        try:
            self.popen.wait(3)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
