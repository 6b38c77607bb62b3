"""One dyno: a process type of the Procfile, in a copy of the slug, with Heroku's environment, signals and limits."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from tests.live.server import KEPT, die_with_parent, free_port
from tests.services.process import accepts, in_session

Log = Callable[[str, str], object]  # who says it, and what

MEMORY_MB = 512  # of a Basic and a Standard-1X dyno
EXIT_SECONDS = 30.0  # between SIGTERM and SIGKILL
BOOT_SECONDS = 60.0  # in which a web dyno has to listen on $PORT
SECOND_TERM_SECONDS = 0.5
MB = 1024 * 1024


class Memory(NamedTuple):
    """Of all processes of a dyno, in MB. `pss`: pages that several share counted once; `rss`: by each."""

    pss: float
    rss: float


class Dyno:
    """`command` runs in bash in `directory`, a copy of `slug` that is made at the start and removed at the end."""

    def __init__(
        self, name: str, command: str, slug: Path, *, directory: Path, config: Mapping[str, str], log: Log
    ) -> None:
        self.name = name
        self.port = free_port()
        self.directory = directory
        self.started = time.monotonic()
        self.stopping = False
        self.finished = False
        self._log = log
        self._listens = not name.startswith("web.")  # nothing else is asked to
        shutil.copytree(slug, directory)
        self.process = subprocess.Popen(
            [*die_with_parent(), "bash", "-c", command],
            cwd=directory,
            env={**self._environment(), **config},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is for the platform
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._say(f"Starting process with command `{command}`")

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "DYNO": self.name,
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "true",
            "WEB_CONCURRENCY": "2",
            "WEB_CONCURRENCY_SET_BY": "heroku/python",
            "FORWARDED_ALLOW_IPS": "*",
        }

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self._log(f"app[{self.name}]", line.decode(errors="replace").rstrip("\n"))

    def _say(self, what: str) -> None:
        self._log(f"heroku[{self.name}]", what)

    # ---- what it does

    @property
    def state(self) -> str:
        """Return starting, up, stopping, or crashed (complete, when it ended with status 0)."""
        if self.process.poll() is not None:
            return "crashed" if self.process.returncode else "complete"
        if self.stopping:
            return "stopping"
        self._listens = self._listens or accepts(self.port)
        return "up" if self._listens else "starting"

    def processes(self) -> list[psutil.Process]:
        """List all that run in it: a dyno is one session."""
        return in_session(self.process.pid)

    def memory(self) -> Memory:
        pss = rss = 0
        for process in self.processes():
            with suppress(psutil.Error):
                used = process.memory_full_info()
                pss, rss = pss + used.pss, rss + used.rss
        return Memory(pss / MB, rss / MB)

    # ---- start and stop

    def wait_until_up(self, limit: float = BOOT_SECONDS) -> bool:
        """Wait until somebody listens on its port. Kills one that takes longer than it may."""
        deadline = time.monotonic() + limit
        while (state := self.state) == "starting" and time.monotonic() < deadline:
            time.sleep(0.05)
        if state == "starting":
            self._say(
                f"Error R10 (Boot timeout) -> Web process failed to bind to $PORT within {limit:g} seconds"
            )
            self.kill()
        self._say(f"State changed from starting to {self.state}")
        return self.state == "up"

    def terminate(self) -> None:
        """Send SIGTERM to all of its processes at once; `wait` sends the second one."""
        self._say("Stopping all processes with SIGTERM")
        self.stopping = True
        self._signal(signal.SIGTERM)

    def wait(self, limit: float = EXIT_SECONDS) -> int:
        """Wait for the end behind `terminate`, and kill what has not ended by then; the exit status."""
        if not self._ends_in(SECOND_TERM_SECONDS):
            self._signal(signal.SIGTERM)
        if not self._ends_in(limit - SECOND_TERM_SECONDS):
            self._say(
                f"Error R12 (Exit timeout) -> Processes failed to exit within {limit:g} seconds of SIGTERM"
            )
            self._say("Stopping remaining processes with SIGKILL")
            self.kill()
        return self._finish()

    def _ends_in(self, seconds: float) -> bool:
        """Whether nothing of it runs any more in that time."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None or self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _finish(self) -> int:
        status = self.process.wait()
        self._reader.join()
        self.finished = True
        self._say(f"Process exited with status {status}")
        shutil.rmtree(self.directory, ignore_errors=True)
        return status

    def run(self) -> int:
        """Wait for a command that ends by itself, such as that of `release`; its exit status."""
        self.process.wait()
        return self._finish()

    def kill(self) -> None:
        """End all of it at once, as a machine does that fails."""
        while not self._ends_in(0):
            self._signal(signal.SIGKILL)
        self._reader.join()

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
