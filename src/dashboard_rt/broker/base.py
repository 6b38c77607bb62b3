"""What a broker is: it tells every process that a stream has grown. Knows neither the log nor who listens.

A notification may get lost, arrive twice, late or out of order: that costs latency, never an update, because the
follower (hub/follower.py) then reads the log. So a broker keeps nothing and promises nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from ..types import Notification

OnNotification = Callable[[Notification], None]
OnGap = Callable[[], None]


class Broker(ABC):
    """Carries notifications between the processes of one database. `connected`: whether it hears the others."""

    connected = False

    @abstractmethod
    async def start(self, on_notification: OnNotification, on_gap: OnGap) -> None:
        """Begin to listen. Does not wait for a service that is away.

        `on_notification` is called with every notification, this process's own included; `on_gap` when those of
        other processes may have been missed, which is so whenever a connection is made. Neither may block.
        """

    @abstractmethod
    async def notify(self, notification: Notification) -> None:
        """Tell every process. Never raises and never waits for the network: what cannot be sent is counted."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop listening. Does nothing when it was not started."""
