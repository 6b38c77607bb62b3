"""The sampler: a process of its own that looks at a server twice a second, and says what its looking cost.

A process, because a thread of the bench would hold the publisher's interpreter lock when a publish is due. It prints
one JSON line a sample and obeys words on stdin: `window` (the latency window is open: memory is not walked, because
that holds the server's page tables, and its metrics are not asked for, because answering is work), `free` (it is
over), `pid N` (the server was started again), `stop` (one last line with the cost).
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from bench.measure import procfs

COLUMNS = (
    *("t_s", "user_ms", "system_ms", "softirq_ms", "pss_kb", "rss_kb", "threads", "fds"),
    *("voluntary", "involuntary", "tcp_mem_kb", "loop_lag_ms"),
)
ROOT = Path(__file__).parents[2]
SCRAPE_SECONDS = 1.0


class Watched(NamedTuple):
    """What to look at. `metrics` is host:port/path and `lag` the gauge of the loop's lag there, empty for none;
    `status` a datagram socket that wants every sample too."""

    pid: int
    core: int | None
    server_core: int | None
    interval: float = 0.5
    metrics: str = ""
    lag: str = ""
    status: str = ""


# ---- in the bench


class Sampler:
    """`with Sampler(watched) as sampler:` ...; `samples()` and `cost` are there behind the block.

    What it prints goes to a file in memory and not into a pipe: a pipe that nobody reads is full after 64 KiB, some
    minutes, and then the sampler would wait and the rest of a long run be missing. A thread that reads would want the
    interpreter's lock whenever a sample comes, a publish being due or not.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._rows: list[list[float | None]] = []
        self.cost: dict[str, float] = {}

    def __enter__(self) -> Sampler:
        self._printed = os.fdopen(os.memfd_create("samples"), "w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.measure.sampler", json.dumps(self._watched)],
            stdin=subprocess.PIPE,
            stdout=self._printed,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            start_new_session=True,
        )
        return self

    def tell(self, words: str) -> None:
        """`window`, `free`, `pid N`."""
        assert self._process.stdin is not None
        try:
            print(words, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            self.cost["died"] = 1.0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            self._process.communicate("stop\n", timeout=5)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.communicate()
        with self._printed as printed:
            printed.seek(0)
            for line in printed:
                self._take(line)

    def _take(self, line: str) -> None:
        if not line.endswith("\n"):  # it was killed in the middle of it
            return
        fields = json.loads(line)
        if isinstance(fields, list):
            self._rows.append(fields)
        else:
            self.cost.update(fields)

    def samples(self) -> dict[str, Any]:
        """Columns and rows, for the result file."""
        return {"columns": list(COLUMNS), "rows": self._rows}


# ---- in its own process


class Looker:
    """Takes samples; remembers the counters of the one before."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self.window = False
        self._started = time.monotonic_ns()
        self.watch(watched.pid)
        self._softirq = self._softirq_ns()

    def watch(self, pid: int) -> None:
        """Look at this process from now on."""
        self._pid, self._before = pid, procfs.usage(pid)

    def look(self) -> list[float | None]:
        """One sample, in the order of COLUMNS."""
        now, softirq = procfs.usage(self._pid), self._softirq_ns()
        used, self._before = now.since(self._before), now
        interrupts, self._softirq = softirq - self._softirq, softirq
        census = procfs.census(self._pid)
        return [
            round((now.wall_ns - self._started) / 1e9, 3),
            used.user_ns / 1e6,
            used.system_ns / 1e6,
            interrupts / 1e6,
            None if self.window else procfs.memory(self._pid).pss_kb,
            census.rss_kb,
            census.threads,
            census.fds,
            used.voluntary,
            used.involuntary,
            procfs.kernel_memory().tcp_kb,
            self._lag_ms(),
        ]

    def _softirq_ns(self) -> int:
        core = self._watched.server_core
        return 0 if core is None else procfs.core_time(core).softirq_ns

    def _lag_ms(self) -> float | None:
        if self.window or not self._watched.lag:
            return None
        try:
            with urllib.request.urlopen(f"http://{self._watched.metrics}", timeout=SCRAPE_SECONDS) as answer:
                return gauge(answer.read().decode(), self._watched.lag)
        except OSError:
            return None


def gauge(text: str, name: str) -> float | None:
    """The greatest value of a gauge in seconds in Prometheus's text form, in ms."""
    found = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    return max(float(value) for value in found) * 1000 if found else None


def run(watched: Watched) -> None:
    """Sample until told to stop, or until the bench is gone."""
    if watched.core is not None:
        os.sched_setaffinity(0, {watched.core})
    looker = Looker(watched)
    count, due, buffered = 0, time.monotonic() + watched.interval, b""
    cpu = time.process_time_ns()
    while True:
        left = max(0.0, due - time.monotonic())
        if select.select([0], [], [], left)[0]:
            piece = os.read(0, 4096)
            *lines, buffered = (buffered + piece).split(b"\n")
            if not piece or not all(_obey(looker, line.decode()) for line in lines):
                break
            continue
        due += watched.interval
        row = looker.look()
        count += 1
        print(json.dumps(row), flush=True)
        _pass_on(watched.status, dict(zip(COLUMNS, row, strict=True)))
    spent = (time.process_time_ns() - cpu) / 1000
    print(json.dumps({"samples": count, "us_per_sample": spent / max(1, count)}), flush=True)


def _obey(looker: Looker, words: str) -> bool:
    """Whether to go on."""
    match words.split():
        case ["window"]:
            looker.window = True
        case ["free"]:
            looker.window = False
        case ["pid", number]:
            looker.watch(int(number))
        case ["stop"]:
            return False
    return True


def _pass_on(status: str, sample: Mapping[str, float | None]) -> None:
    """To the live view, if there is one; it may be gone, which costs nothing but its picture."""
    if not status:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.setblocking(False)
        try:
            out.sendto(json.dumps({"from": "sampler", **sample}).encode(), status)
        except OSError:
            return


if __name__ == "__main__":
    run(Watched(*json.loads(sys.argv[1])))
