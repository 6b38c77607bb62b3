"""A running target: started pinned to a core in a directory of its own, waited for, and ended whatever happens."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from bench.errors import Environment
from bench.target import Target

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 5.0
LEASH = Path(__file__).with_name("leash.py")


class Server:
    """`with Server(target, kind="log", core=0) as server:`; `pid` is the root of its process tree."""

    def __init__(
        self, target: Target, kind: str = "log", core: int | None = None, base: Path | None = None
    ) -> None:
        self.target = target
        self.kind = kind
        self.core = core
        self.base = base
        self.host, self.port, self.pid = HOST, 0, 0
        self.stopped_by_force = False

    def __enter__(self) -> Server:
        self.directory = Path(tempfile.mkdtemp(prefix="bench-", dir=self.base))
        self.output = self.directory / "output"
        try:
            self._start()
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        self.port = free_port()
        command, variables = self.target.filled(
            port=str(self.port), directory=str(self.directory), kind=self.kind
        )
        leash = [sys.executable, "-S", "-E", str(LEASH), "-" if self.core is None else str(self.core)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*leash, str(os.getpid()), *command],
                env={**inherited(), **variables},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None:
                raise Environment(
                    f"{self.target.name} ended at its start ({self.process.returncode}): {self.said()}"
                )
            if time.monotonic() > deadline:
                what = f"{self.target.name} did not answer {self.target.ready_path} in {START_SECONDS:.0f} s"
                raise Environment(f"{what}: {self.said()}")
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        asking = http.client.HTTPConnection(self.host, self.port, timeout=1)
        try:
            asking.request("GET", self.target.ready_path)
            return asking.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()

    def said(self) -> str:
        """The end of what the server printed."""
        lines = self.output.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-5:]) or "it printed nothing"

    def _stop(self) -> None:
        process = getattr(self, "process", None)
        if process is not None:
            self._end(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM, a deadline, SIGKILL; always for the whole group, workers included."""
        try:
            if process.poll() is None:
                process.terminate()
                process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.stopped_by_force = True
        finally:
            kill_group(process.pid)
            process.wait()


def kill_group(pid: int) -> None:
    """End what is left of a process group that we started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def inherited() -> dict[str, str]:
    """The environment without variables that would change a server behind the bench's back."""
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH")
    return {name: os.environ[name] for name in keep if name in os.environ}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])
