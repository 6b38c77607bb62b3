"""What the kernel says about a process and all its children: CPU, memory, context switches. Linux only."""

from __future__ import annotations

import gzip
import os
import platform
import re
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class Usage(NamedTuple):
    """Counters of a process tree at one moment; subtract two of them.

    `cpu_ns` is exact; `user_ns` and `system_ns` come in ticks (10 ms) and split it; switches are context switches.
    """

    wall_ns: int
    cpu_ns: int
    user_ns: int
    system_ns: int
    voluntary: int
    involuntary: int

    def since(self, earlier: Usage) -> Usage:
        """What was used between `earlier` and this."""
        return Usage(*(now - then for now, then in zip(self, earlier, strict=True)))


class CoreTime(NamedTuple):
    """Nanoseconds that one core spent so far: in what is charged to processes, in soft interrupts, and stolen by
    the hypervisor. Unless the kernel keeps them apart, the processes' share includes the interrupts."""

    charged_ns: int
    softirq_ns: int
    steal_ns: int

    def since(self, earlier: CoreTime) -> CoreTime:
        """What was spent between `earlier` and this."""
        return CoreTime(*(now - then for now, then in zip(self, earlier, strict=True)))


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants that are alive."""
    found, waiting = [], [pid]
    while waiting:
        process = waiting.pop()
        found.append(process)
        for task in _listed(f"/proc/{process}/task"):
            children = _text(Path(f"/proc/{process}/task/{task}/children"))
            waiting.extend(int(child) for child in children.split())
    return found


def usage(pid: int) -> Usage:
    """The tree's counters now. CPU of children that ended before is in their parents' ticks, not in `cpu_ns`."""
    wall = time.monotonic_ns()
    return Usage(wall, *(sum(column) for column in zip(*map(_usage, tree(pid)), strict=True)))


def _usage(pid: int) -> tuple[int, int, int, int, int]:
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if len(fields) < 13:
        return 0, 0, 0, 0, 0
    user, system = int(fields[11]) * TICK_NS, int(fields[12]) * TICK_NS
    status = _table(_text(Path(f"/proc/{pid}/status")))
    switches = (status.get("voluntary_ctxt_switches", 0), status.get("nonvoluntary_ctxt_switches", 0))
    return cpu_ns(pid, user + system), user, system, *switches


def cpu_ns(pid: int, otherwise: int = 0) -> int:
    """CPU time of a process with all its threads, in ns, from its CPU clock (clock_getcpuclockid(3))."""
    try:
        return time.clock_gettime_ns(~pid << 3 | 2)
    except OSError:
        return otherwise


def pss_kb(pid: int) -> int:
    """Proportional set size of the tree in KiB: shared pages are split, so several processes add up."""
    return memory(pid).pss_kb


class Memory(NamedTuple):
    """Of a process tree in KiB: proportional (shared pages split), unique (what ends with it)."""

    pss_kb: int
    uss_kb: int


class Census(NamedTuple):
    """What a process tree holds that is cheap to ask for."""

    rss_kb: int
    threads: int
    fds: int


class KernelMemory(NamedTuple):
    """Of the whole machine in KiB: TCP buffers, and slab (sockets and files live there). On loopback both ends of
    every connection are in it."""

    tcp_kb: int
    slab_kb: int


def memory(pid: int) -> Memory:
    """Walks the page tables of the tree: milliseconds, in which the server may have to wait."""
    tables = [_table(_text(Path(f"/proc/{process}/smaps_rollup"))) for process in tree(pid)]
    unique = sum(table.get("Private_Clean", 0) + table.get("Private_Dirty", 0) for table in tables)
    return Memory(sum(table.get("Pss", 0) for table in tables), unique)


def census(pid: int) -> Census:
    """Costs some 0.1 ms a process, a little more where many files are open."""
    pids = tree(pid)
    tables = [_table(_text(Path(f"/proc/{process}/status"))) for process in pids]
    return Census(
        sum(table.get("VmRSS", 0) for table in tables),
        sum(table.get("Threads", 0) for table in tables),
        sum(len(_listed(f"/proc/{process}/fd")) for process in pids),
    )


def kernel_memory() -> KernelMemory:
    """Of the machine, now."""
    pages = re.search(r"^TCP:.* mem (\d+)", _text(Path("/proc/net/sockstat")), re.MULTILINE)
    slab = _table(_text(Path("/proc/meminfo"))).get("Slab", 0)
    return KernelMemory(int(pages[1]) * PAGE_KB if pages else 0, slab)


def runnable() -> int:
    """How many processes of the machine run or want to, this one among them (proc_loadavg(5), fourth field)."""
    return int(_text(Path("/proc/loadavg")).split()[3].partition("/")[0])


def core_time(core: int) -> CoreTime:
    """What `core` did since boot."""
    for row in _text(Path("/proc/stat")).splitlines():
        name, *values = row.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, irq, softirq, steal, *_ = (int(value) * TICK_NS for value in values)
            interrupts = 0 if interrupts_apart() else irq + softirq
            return CoreTime(user + nice + system + interrupts, softirq, steal)
    return CoreTime(0, 0, 0)


@cache
def interrupts_apart() -> bool | None:
    """Whether interrupt time is left out of the CPU time of the process that it interrupted
    (CONFIG_IRQ_TIME_ACCOUNTING). On loopback a send runs the receive side in a soft interrupt, so this decides
    whether CPU per delivery holds it. None when the kernel's configuration cannot be read."""
    packed, plain = Path("/proc/config.gz"), Path(f"/boot/config-{platform.release()}")
    try:
        text = gzip.decompress(packed.read_bytes()).decode() if packed.exists() else plain.read_text()
    except OSError:
        return None
    return "\nCONFIG_IRQ_TIME_ACCOUNTING=y" in text


def filesystem(path: Path) -> str:
    """The type of the filesystem that holds `path` (tmpfs makes every fsync free)."""
    best, kind = "", "unknown"
    for row in _text(Path("/proc/self/mounts")).splitlines():
        _, where, type_, *_ = row.split()
        if path.resolve().is_relative_to(where) and len(where) >= len(best):
            best, kind = where, type_
    return kind


def _table(text: str) -> dict[str, int]:
    """`name: number [unit]` rows; others are left out."""
    found = {}
    for row in text.splitlines():
        name, _, value = row.partition(":")
        number, *_ = value.split() or [""]
        if number.isdigit():
            found[name] = int(number)
    return found


def _listed(path: str) -> list[str]:
    """The names in a directory of /proc; none when its process has ended."""
    try:
        return os.listdir(path)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def _text(path: Path) -> str:
    """A process may end while its files are read: then there is nothing to say about it."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
