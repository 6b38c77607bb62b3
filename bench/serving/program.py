"""A program that the bench starts: pinned to a core, on a leash, its output kept, and ended whatever happens."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.errors import Environment
from bench.measure import procfs

STOP_SECONDS = 5.0
LEASH = Path(__file__).with_name("leash.py")
LAST_LINES = 5
MARK = "BENCH_PROGRAM"
# The leash pulls when the *thread* that started a program ends (prctl(2), PR_SET_PDEATHSIG), and a scenario restarts
# servers from threads of its own: this one lives as long as the bench.
LAUNCHER = ThreadPoolExecutor(1, "launcher")


class Stopped(NamedTuple):
    """How a program ended: exit status (negative: the signal that killed it), seconds from SIGTERM to its end, and
    whether it had to be killed."""

    status: int
    seconds: float
    forced: bool


class Program:
    """Started by its constructor; `core` None leaves it on the bench's own, and `user` None it is who the bench is.
    Raises Environment when there is none."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        output: Path,
        core: int | None = None,
        *,
        user: str | None = None,
    ) -> None:
        self._mark = f"{MARK}={secrets.token_hex(8)}"
        variables = {**inherited(), **environment, **dict([self._mark.split("=")])}
        if shutil.which(command[0], path=variables.get("PATH")) is None:
            raise Environment(f"there is no program {command[0]!r}: install it, or put its directory on PATH")
        where = ("-" if core is None else str(core), user or "-", str(os.getpid()))
        leash = [sys.executable, "-S", "-E", str(LEASH), *where]
        self.output = output
        with output.open("ab") as file:
            self._popen = LAUNCHER.submit(
                subprocess.Popen,
                [*leash, *command],
                env=variables,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ).result()
        self.pid = self._popen.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._popen.poll()

    def said(self) -> str:
        """The end of what it printed."""
        return last_words(self.output)

    def stop(self, grace: float = STOP_SECONDS, number: signal.Signals = signal.SIGTERM) -> Stopped:
        """SIGTERM or another signal, `grace` seconds, SIGKILL; behind it nothing is left of what it started."""
        started = time.monotonic()
        forced = True
        try:
            self._popen.send_signal(number)
            self._popen.wait(grace)
            forced = False
        except subprocess.TimeoutExpired:
            pass
        finally:
            seconds = time.monotonic() - started
            self._sweep()
        return Stopped(self._popen.wait(), seconds, forced)

    def kill(self) -> None:
        """SIGKILL, at once, as a crash would."""
        self._sweep()
        self._popen.wait()

    def _sweep(self) -> None:
        """End what is left: its group, its tree, and who left both. A child that outlived its parent in a session of
        its own is in no tree and no group any more, but it still has the environment that it was born with, unless it
        writes over that, as those of PostgreSQL do."""
        tree = procfs.tree(self.pid)[1:]  # without itself: when it has ended its number may be another's
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in (*tree, *marked(self._mark)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def last_words(output: Path) -> str:
    """The end of what a program printed, on one line."""
    lines = output.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-LAST_LINES:]) or "it printed nothing"


def marked(mark: str) -> list[int]:
    """The processes that have `mark`, a `NAME=value`, in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it ended just now, or is not ours to read
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def alive(pid: int) -> bool:
    """Whether there is such a process, and no mere zombie of one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def inherited() -> dict[str, str]:
    """The environment without variables that would change a server behind the bench's back."""
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH")
    return {name: os.environ[name] for name in keep if name in os.environ}


def until_ready(program: Program, is_ready: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait for a program that was just started; raises Environment, with its last words, when it ends or is late."""
    deadline = time.monotonic() + seconds
    while not is_ready():
        if program.status is not None:
            raise Environment(f"{what} ended at its start ({program.status}): {program.said()}")
        if time.monotonic() > deadline:
            raise Environment(f"{what} was not ready in {seconds:.0f} s: {program.said()}")
        time.sleep(0.02)
