"""A load client that never sleeps: its loop turns without a pause, so that no send of the server has to wake it."""

from __future__ import annotations

import asyncio
import time

from bench.load.tally import Tally


class Awake:
    """`begin` inside the loop, `end` when it may sleep again. Its process uses its whole core then, so how busy it is
    cannot be seen from its CPU time: of all `turns`, `busy_ns` sums those in which something was read."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._turn: asyncio.Handle | None = None
        self._reads = self._turned_ns = self.busy_ns = self.turns = 0

    @property
    def turning(self) -> bool:
        """Whether it has begun and not ended."""
        return self._turn is not None

    def begin(self) -> None:
        """From now on; a second time changes nothing."""
        if self._turn is None:
            self._reads, self._turned_ns = self._tally.reads, time.monotonic_ns()
            self._again()

    def end(self) -> None:
        """The loop sleeps again when nothing is due."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _again(self) -> None:
        now, reads = time.monotonic_ns(), self._tally.reads
        if reads != self._reads:
            self.busy_ns += now - self._turned_ns
            self._reads = reads
        self._turned_ns, self.turns = now, self.turns + 1
        self._turn = asyncio.get_running_loop().call_soon(self._again)
