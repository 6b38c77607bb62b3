"""Where the parts of the bench say how it goes, for whoever watches: datagrams on a socket in a folder of our own.

The view is a process of its own (view.py), because drawing in this one would make publishes late. Nobody watching
costs nothing; a view that is gone costs its picture only.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.serving.publisher import Slot

PUBLISHER_SECONDS = 0.5
START_SECONDS = 3.0  # what is said before the view hears is lost
ROOT = Path(__file__).parent.parent


class Live:
    """`with Live.shown() as live:`. Without a view (`NOBODY`) all of it does nothing."""

    def __init__(self, path: str = "") -> None:
        self.path = path
        self._out: socket.socket | None = None
        self._view: subprocess.Popen[bytes] | None = None
        self._told_ns = 0
        self._sent = 0

    @classmethod
    def shown(cls) -> Live:
        """A view on this terminal."""
        return cls(str(Path(tempfile.mkdtemp(prefix="bench-live-")) / "status"))

    def __enter__(self) -> Live:
        if self.path:
            self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._out.setblocking(False)
            self._view = subprocess.Popen(
                [sys.executable, "-m", "bench.view", self.path],
                stdin=subprocess.PIPE,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "PYTHONIOENCODING": f"{sys.stderr.encoding}:replace",
                },
                start_new_session=True,  # Ctrl-C is for the bench, which then ends the view
            )
            deadline = time.monotonic() + START_SECONDS
            while not Path(self.path).exists() and self._view.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._view is None or self._out is None:
            return
        self._out.close()
        try:
            self._view.communicate(timeout=3)  # the end of its stdin ends it
        except subprocess.TimeoutExpired:
            self._view.kill()
            self._view.wait()
        shutil.rmtree(Path(self.path).parent, ignore_errors=True)

    def tell(self, who: str, **what: Any) -> None:
        """One message. A full or absent view misses it."""
        if self._out is None:
            return
        try:
            self._out.sendto(json.dumps({"from": who, **what}).encode(), self.path)
        except OSError:
            return

    def say(self, words: str) -> None:
        """A line that stays, above the picture."""
        self.tell("line", words=words)

    def published(self, slot: Slot) -> None:
        """An update went out."""
        self._sent += slot.updates
        now = time.monotonic_ns()
        if self._out is not None and now - self._told_ns > PUBLISHER_SECONDS * 1e9:
            self._told_ns = now
            self.tell("publisher", sent=self._sent)


NOBODY = Live()
