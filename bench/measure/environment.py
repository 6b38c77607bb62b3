"""What a result was measured on, so that a reader can tell whether two of them may be compared."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import subprocess
from importlib import metadata
from pathlib import Path

from bench.errors import Environment
from bench.measure import procfs

PACKAGES = (
    *("uvicorn", "uvloop", "httptools", "websockets", "starlette", "broadcaster", "databases", "orjson"),
    *("asyncpg", "redis", "hiredis"),
)
SYSCTLS = (
    "net/core/somaxconn",
    "net/ipv4/tcp_mem",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_max_syn_backlog",
)
SPARE_FILES = 200
CODE = {".py", ".toml", ".go", ".rb", ".c", ".h"}


def fingerprint(directory: Path) -> dict[str, object]:
    """Machine, kernel, limits, versions; `directory` is where databases are put."""
    return {
        "cpu_model": _first("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        "kernel": platform.release(),
        "memory_kb": _first("/proc/meminfo", "MemTotal"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "sysctls": {name.replace("/", "."): _text(f"/proc/sys/{name}") for name in SYSCTLS},
        "nofile": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
        "interrupts_apart": procfs.interrupts_apart(),
        "filesystem": procfs.filesystem(directory),
        "loadavg": list(os.getloadavg()),
        "git": {"sha": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain"))},
    }


def code() -> str:
    """What tells whether the code that is measured, or measures, was changed."""
    root = Path(__file__).parents[2]
    files = [path for room in ("src", "bench") for path in (root / room).rglob("*") if path.suffix in CODE]
    stamps = [f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}" for path in sorted(files)]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


def check(clients: int) -> None:
    """Refuse what cannot work here; raises Environment."""
    if platform.system() != "Linux":
        raise Environment("the bench reads /proc: run it on Linux")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if clients > hard - SPARE_FILES:
        raise Environment(
            f"{clients} clients need {clients + SPARE_FILES} files, the limit is {hard}: "
            f"have 1 to {max(0, hard - SPARE_FILES):,}, or raise `ulimit -Hn`"
        )


def _first(path: str, name: str) -> str:
    for row in _text(path).splitlines():
        key, _, value = row.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _git(*words: str) -> str:
    root = Path(__file__).parents[2]
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
