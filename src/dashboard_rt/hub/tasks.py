"""Background tasks: kept from the garbage collector, their failures counted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ..telemetry import Telemetry


class BackgroundTasks:
    """Runs coroutines beside their owner. asyncio itself keeps no reference to a task, and loses its failure."""

    def __init__(self, telemetry: Telemetry, where: str) -> None:
        """Count failures as swallowed at `where`."""
        self._telemetry = telemetry
        self._where = where
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._telemetry.swallow(self._where, error)
