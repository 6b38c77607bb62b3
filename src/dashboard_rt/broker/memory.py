"""`memory://`: notifications within one process. Other processes find new updates by reading the log."""

from __future__ import annotations

import asyncio

from ..telemetry import Telemetry
from ..types import Notification
from .base import Broker, OnGap, OnNotification


class MemoryBroker(Broker):
    """Calls the one listener of this process."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._on_notification: OnNotification | None = None

    async def start(self, on_notification: OnNotification, on_gap: OnGap) -> None:
        self._on_notification = on_notification
        self.connected = True

    async def notify(self, notification: Notification) -> None:
        # Not called directly: first those who have published get their answers, which are scheduled already.
        asyncio.get_running_loop().call_soon(self.deliver, notification)

    async def stop(self) -> None:
        self._on_notification = None
        self.connected = False

    def deliver(self, notification: Notification) -> None:
        """Call the listener now."""
        if self._on_notification is None:
            return
        try:
            self._on_notification(notification)
        except Exception as error:  # noqa: BLE001  the listener's fault must not end the event loop's callback unseen
            self._telemetry.swallow("broker.deliver", error)
