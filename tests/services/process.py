"""A service of the tests: a process of its own on a free port, killed with the test run that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from tests.live.server import die_with_parent, free_port
from tests.live.wire import until
from tests.patience import HANG_LIMIT


def accepts(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def in_session(leader: int) -> list[psutil.Process]:
    """List what runs in the session of a process, also those whose parent has ended."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@contextmanager
def service_directory() -> Iterator[Path]:
    """Make a folder that other users can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="service-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


class Service:
    """One process. Subclasses say what it is (`command`) and when it answers (`answers`).

    `user`, `group`: whom it runs as, where the tests are root and it refuses to be.
    """

    name = "service"

    def __init__(self, directory: Path, user: int | None = None, group: int | None = None) -> None:
        self.directory = directory
        self.port = free_port()
        self._ids: dict[str, Any] = {} if user is None else {"user": user, "group": group, "extra_groups": ()}
        self._log = directory / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def accepts(self) -> bool:
        return accepts(self.port)

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*die_with_parent(), *self.command()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for the tests
                **self._ids,
            )
        try:
            until(self._up, f"{self.name} answers", HANG_LIMIT)
        except BaseException:
            self.kill()
            raise

    def _up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        return self.answers()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to all of its processes: those of PostgreSQL each have a session of their own."""
        parent = psutil.Process(self.pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def freeze(self) -> None:
        """Stop it without its connections noticing (SIGSTOP); `thaw` lets it go on."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would, with all of its processes. Does nothing when it does not run."""
        if self._process is None:
            return
        if self.running:
            parent = psutil.Process(self.pid)
            parent.suspend()  # or it starts one more behind our back, which holds what the next start needs
            children = parent.children(recursive=True)
            for process in [parent, *children]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(children, timeout=HANG_LIMIT)
        self._process.wait()
        self._process = None
