"""Tasks that somebody must hold on to, and whose failures somebody must hear of."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from .telemetry import Telemetry


class Tasks:
    """Runs work beside its owner; a failure is counted as swallowed at `where`."""

    def __init__(self, telemetry: Telemetry, where: str) -> None:
        self._telemetry = telemetry
        self._where = where
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._telemetry.swallow(self._where, error)
