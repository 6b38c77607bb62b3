"""Publishes one update after the other from a thread, whatever happens to the server meanwhile."""

from __future__ import annotations

import http.client
import threading
from typing import Self

from tests.live.server import Server
from tests.live.wire import until

PACE = 0.02  # seconds between two updates: a replay stays below MAX_REPLAY


class SteadyWriter:
    """Publishes `{"n": 0}`, `{"n": 1}` and on to a stream. Each is repeated with one key until acknowledged."""

    def __init__(self, server: Server, stream: str) -> None:
        self._server = server
        self._stream = stream
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.written = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def wait_for_more(self, count: int = 5) -> None:
        """Wait until so many more are acknowledged."""
        goal = self.written + count
        until(lambda: self.written >= goal, f"{goal} updates are published")

    def end(self) -> list[int]:
        """Stop; the numbers of all updates that were published."""
        self._ended.set()
        self._thread.join()
        return list(range(self.written))

    def _write(self) -> None:
        api = self._server.api()
        while not self._ended.wait(PACE):
            try:
                api.publish(self._stream, {"n": self.written}, key=f"steady-{id(self)}-{self.written}")
            except (OSError, http.client.HTTPException, AssertionError):
                continue  # the server is away, or was while it answered: the same one again
            self.written += 1
