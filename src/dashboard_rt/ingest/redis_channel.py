"""One channel of a Redis, listened to for as long as somebody wants, as the broker does it (broker/backend.py).

A subscription tells nothing of a server that is frozen, and redis-py subscribes again in silence after a connection
was lost. Here each subscription is told: what was published before it is lost.
"""

from __future__ import annotations

from collections.abc import Callable

from ..broker.backend import Fault, Outage, ReconnectingListener
from ..broker.redis import RedisSubscriber, explain, service_name

OnPayload = Callable[[bytes], None]


class RedisChannel(ReconnectingListener):
    """The channel `name` of the Redis at `url`. `connected`: whether a subscription is confirmed."""

    def __init__(self, url: str, name: str, *, verify_tls: bool = True) -> None:
        super().__init__(f"INGEST_CHANNEL ({service_name(url)})")
        self._name = name
        self._subscriber = RedisSubscriber(url, verify_tls=verify_tls)
        self._outage = Outage(self.service, "What is published on it meanwhile is lost.")
        self._on_payload: OnPayload
        self._tell_subscribed: Callable[[], None]
        self.connected = False

    async def listen(self, on_payload: OnPayload, on_subscribed: Callable[[], None]) -> None:
        """Give every message to `on_payload`, until this is cancelled. Neither callback may block or raise.

        `on_subscribed` is called after each confirmed subscription, before the first of its messages.
        """
        self._on_payload, self._tell_subscribed = on_payload, on_subscribed
        await self.listen_to(self._name)

    async def open(self, channel: str) -> None:
        await self._subscriber.open(channel)

    async def read(self) -> None:
        await self._subscriber.read(self._on_message, self.alive)

    def _on_message(self, data: bytes) -> None:
        self.alive()
        self._on_payload(data)

    async def probe(self) -> None:
        await self._subscriber.probe()

    async def close(self) -> None:
        await self._subscriber.close()

    def explain(self, error: Exception) -> Fault:
        return explain(error)

    def on_subscribed(self) -> None:
        self.connected = True
        self._outage.end()
        self._tell_subscribed()

    def on_lost(self) -> None:
        self.connected = False

    def on_fault(self, fault: Fault) -> None:
        self._outage.note(fault)
