"""What would spoil a measurement on this machine, and what to do about it. Findings are pure; asking is not."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from bench.measure import noise, procfs
from bench.measure.cores import choose

FILES_WANTED = 18_000
BACKLOG_WANTED = 1024
PORTS_WANTED = 20_000
BUSY_PERCENT = 5.0
LOOK_SECONDS = 1.0


class Finding(NamedTuple):
    """`grade`: ok, warn (numbers may be wrong) or fail (cannot measure). `remedy` says what to do."""

    grade: str
    what: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Everything, in the order of how much it matters; takes about three seconds."""
    if platform.system() != "Linux":
        yield Finding("fail", "this is not Linux", "the bench reads /proc: run it on Linux")
        return
    yield of_cores(len(os.sched_getaffinity(0)))
    yield of_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    yield of_ports(_text("/proc/sys/net/ipv4/ip_local_port_range"))
    yield of_backlog(int(_text("/proc/sys/net/core/somaxconn") or 0))
    yield of_governor(_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    yield of_disk(procfs.filesystem(Path(tempfile.gettempdir())))
    yield of_interrupts(procfs.interrupts_apart())
    yield from of_neighbours(_busy())
    yield of_noise(noise.gate(choose()))


def of_cores(count: int) -> Finding:
    """Server and load must not share one."""
    if count < 2:
        return Finding("fail", "one core", "server and load would share it: allow this process two cores")
    return Finding("ok", f"{count} cores: one for the server, one for the load")


def of_files(limit: int) -> Finding:
    """Each connection is a file on both sides."""
    if limit < FILES_WANTED:
        return Finding("warn", f"at most {limit} open files", "10,000 clients need more: raise `ulimit -Hn`")
    return Finding("ok", f"{limit} open files a process")


def of_ports(text: str) -> Finding:
    """One source address has so many connections to one server."""
    low, high = (int(word) for word in text.split()) if text else (0, 0)
    if high - low < PORTS_WANTED:
        return Finding(
            "warn", f"{high - low} local ports", "sysctl net.ipv4.ip_local_port_range='10000 65000'"
        )
    return Finding("ok", f"{high - low} local ports for each of several loopback addresses")


def of_backlog(somaxconn: int) -> Finding:
    """A connect storm that overflows it measures SYN retries."""
    if somaxconn < BACKLOG_WANTED:
        return Finding("warn", f"a listen backlog of {somaxconn}", "sysctl net.core.somaxconn=4096")
    return Finding("ok", f"a listen backlog of {somaxconn}")


def of_governor(name: str) -> Finding:
    """A core that changes its clock with the load makes CPU per delivery fall as the rate rises."""
    if name and name != "performance":
        return Finding("warn", f"the CPU governor is {name}", "cpupower frequency-set -g performance")
    return Finding("ok", f"the CPU governor is {name or 'not ours to set (a virtual machine)'}")


def of_disk(kind: str) -> Finding:
    """Durable means on a disk."""
    if kind in ("tmpfs", "ramfs"):
        return Finding(
            "warn", f"databases go to a {kind}", "there an fsync is free: set TMPDIR to a folder on a disk"
        )
    return Finding("ok", f"databases go to {kind}, where an fsync is one")


def of_interrupts(apart: bool | None) -> Finding:
    """Who pays for the receiving side of loopback."""
    if apart is None:
        return Finding(
            "warn", "how interrupt time is accounted is unknown", "results from elsewhere may differ by it"
        )
    words = (
        "kept apart"
        if apart
        else "charged to whom it interrupts: a server's CPU holds the receiving side too"
    )
    return Finding("ok", f"interrupt time is {words}")


def of_neighbours(busy: list[tuple[str, int, float]]) -> Iterator[Finding]:
    """Programs (name, pid, per cent of a core) that would be measured too."""
    for name, pid, percent in busy:
        yield Finding(
            "warn", f"{name} (pid {pid}) uses {percent:.0f} % of a core", "stop it while you measure"
        )
    if not busy:
        yield Finding("ok", "no other program is busy")


def of_noise(found: noise.Noise) -> Finding:
    """The gate that every measurement passes."""
    if found.verdict == "quiet":
        return Finding("ok", "the machine is quiet")
    return Finding(
        "warn", f"the machine is {found.verdict}: {'; '.join(found.reasons)}", "run more pairs, or later"
    )


def _busy() -> list[tuple[str, int, float]]:
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    others = [one for one in psutil.process_iter() if one.pid not in own]
    found = []
    for one in others:
        _percent(one, None)
    _percent(psutil.Process(), LOOK_SECONDS)
    for one in others:
        percent = _percent(one, None)
        if percent > BUSY_PERCENT:
            found.append((_name(one), one.pid, percent))
    return sorted(found, key=lambda one: -one[2])[:5]


def _percent(process: psutil.Process, interval: float | None) -> float:
    try:
        return float(process.cpu_percent(interval))
    except psutil.Error:
        return 0.0


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "a program"


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
