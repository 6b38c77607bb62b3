"""The C tool as the tests run it: built once, its options, and what it printed."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

import orjson

from tests.bench.small_targets import ROOT
from tests.needs import missing

SOURCE = ROOT / "bench" / "crosscheck"
TRANSPORTS = ("sse", "cable")
CLIENTS = 20


class Outcome(NamedTuple):
    """How the tool ended; `found` is empty when it measured nothing."""

    status: int
    found: dict[str, float]
    said: str


def build(folder: Path, *words: str) -> Path:
    """`folder`, with what `make` with these words leaves there."""
    if shutil.which("cc") is None or shutil.which("make") is None:
        missing("A C COMPILER (cc AND make)", "On Debian: apt install gcc libc6-dev make.")
    command = ["make", "-s", "-C", str(SOURCE), f"BUILD={folder}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def measure(
    program: Path, port: int, pid: int, transport: str, *more: str, clients: int = CLIENTS
) -> Outcome:
    """20 updates to warm up, 20 that are measured; `more` options win."""
    words = ["--port", str(port), "--pid", str(pid), "--transport", transport, "--clients", str(clients)]
    command = [str(program), *words, "--rate", "20", "--seconds", "1", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Outcome(done.returncode, orjson.loads(done.stdout) if done.stdout else {}, done.stderr)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def books(outcome: Outcome) -> tuple[float, ...]:
    return tuple(outcome.found[name] for name in ("lost", "doubled", "disordered", "closed"))
