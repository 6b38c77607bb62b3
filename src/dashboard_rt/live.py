"""Live: what the endpoints may ask of the side that streams. Reads figures, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from .audience import Audience
from .broker import Broker
from .follower import Follower
from .hub import Hub
from .telemetry import Telemetry
from .types import Transport


class Live:
    """Heads, readiness and figures of one process."""

    def __init__(
        self, hub: Hub, audience: Audience, follower: Follower, broker: Broker, telemetry: Telemetry
    ) -> None:
        self._hub = hub
        self._audience = audience
        self._follower = follower
        self._broker = broker
        self._telemetry = telemetry
        self.newest = hub.newest
        self.position = hub.position

    @property
    def ready(self) -> bool:
        """Whether it follows the log and hears the broker, and is not about to stop."""
        return self._follower.following and self._broker.heard and not self._audience.draining

    def lag_ms(self) -> float | None:
        """The last commit-to-write lag in ms; None before the first update."""
        return self._follower.lag_ms

    def stats(self) -> Mapping[str, object]:
        """Connections, deliveries, lag and buffers per transport; head, Tail and furthest reader per stream."""
        return {
            "transports": {transport: self._transport(transport) for transport in Transport},
            "streams": {name: self._stream(name, behind) for name, behind in self._hub.lag().items()},
            "lag_ms": self._follower.lag_ms,
        }

    def _transport(self, transport: Transport) -> dict[str, object]:
        value, clients = self._telemetry.value, [c for c in self._audience if c.transport is transport]
        buffered = [client.sink.get_write_buffer_size() for client in clients]
        return {
            "connections": len(clients),
            "lagging": int(value("lagging", transport=transport)),
            "deliveries": int(value("deliveries", transport=transport)),
            "bytes_sent": int(value("bytes_sent", transport=transport)),
            "buffered_bytes": sum(buffered),
            "largest_buffer_bytes": max(buffered, default=0),
            "gaps": int(value("gaps", transport=transport)),
            "aborted": int(value("aborted", transport=transport)),
        }

    def _stream(self, name: str, behind: int) -> dict[str, object]:
        topic = self._hub.topics[name]
        return {
            "position": str(self.position(name)),
            "kind": topic.kind,
            "tail": {
                "first_id": topic.tail.first_id,
                "entries": len(topic.tail),
                "characters": topic.tail.size,
            },
            "current": sum(len(group.members) for group in topic.groups.values()),
            "lagging": len(topic.lagging),
            "furthest_behind": behind,
        }
