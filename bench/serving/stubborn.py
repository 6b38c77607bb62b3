"""Publishing through an outage: what is not acknowledged is published again until it is.

Each update keeps its intended moment, so the time that it had to wait is in its latency.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bench.errors import Environment
from bench.serving.broadcast import ACCEPTED
from bench.serving.posting import Publish

RETRY_SECONDS = 0.05


class Stubborn:
    """A poster over `connect()`, made anew whenever it breaks. Gives up `patience` seconds into one publish.

    A publish whose connection broke may have been taken all the same: `unsure` counts them, and the books of the
    clients say whether any came twice.
    """

    def __init__(self, connect: Callable[[], Publish], patience: float) -> None:
        self._connect = connect
        self._patience = patience
        self._poster: Publish | None = None
        self.retries = 0
        self.unsure = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._drop()

    def post(self, body: bytes, lines: bool = False) -> int:
        """Publish; answers the last refusal when patience ends."""
        deadline = time.monotonic() + self._patience
        while True:
            status = self._try(body, lines)
            if status == ACCEPTED or time.monotonic() > deadline:
                return status
            self.retries += 1
            time.sleep(RETRY_SECONDS)

    def _try(self, body: bytes, lines: bool) -> int:
        try:
            if self._poster is None:
                self._poster = self._connect()
                self._poster.__enter__()
        except (OSError, Environment):
            self._poster = None
            return 0
        try:
            return self._poster.post(body, lines)
        except (OSError, Environment):
            self.unsure += 1
            self._drop()
            return 0

    def _drop(self) -> None:
        poster, self._poster = self._poster, None
        if poster is not None:
            poster.__exit__(None, None, None)
