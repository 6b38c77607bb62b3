"""The figures of one process, for /dashboard/stats, /dashboard/debug and /ready. Reads, changes nothing.

Everything is looked up where it is counted, never searched in the registry of Prometheus: that walks every metric,
for each figure, while no update is delivered. Nor is anything looked up for each connection.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping

from ..broker.base import Broker
from ..dashboard.system_metrics import resident_bytes
from ..hub.connections import Connections
from ..hub.follower import Follower
from ..hub.hub import Hub
from ..settings import Settings
from ..telemetry import Telemetry
from ..types import Verdict
from ..urls import is_postgres


def slow_settings(settings: Settings) -> str | None:
    """Return the sentence that says why updates of other processes are late by the settings; None when they are not.

    On SQLite they are not: its file is looked at ten times a second.
    """
    if settings.broker_url != "memory://" or not is_postgres(settings.database_url):
        return None
    return (
        f"Updates of other processes come within {settings.poll_seconds:g} s instead of at once, because BROKER_URL is "
        "memory:// and the database PostgreSQL: set REDIS_URL, or BROKER_URL=postgres."
    )


class Stats:
    """What one process lacks, and its figures. Its uptime counts from the making of this object.

    `ingest` returns the figures of what reads INGEST_CHANNEL, where that is set.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        connections: Connections,
        follower: Follower,
        broker: Broker,
        settings: Settings,
        telemetry: Telemetry,
        ingest: Callable[[], Mapping[str, object]] | None = None,
    ) -> None:
        self._hub = hub
        self._connections = connections
        self._follower = follower
        self._broker = broker
        self._poll_seconds = settings.poll_seconds
        self._processes = settings.web_concurrency
        self._slow = slow_settings(settings)
        self._telemetry = telemetry
        self._ingest = ingest
        self._started_at = time.monotonic()

    def degraded(self) -> list[str]:
        """Return a sentence for each thing that this process has to do without, and what that means. Asks nobody."""
        found = {
            "The log cannot be read: nothing can be published, and nothing new is sent. It is tried again every "
            "second, and clients stay connected.": not self._follower.following,
            "The broker is away: updates of other processes come within "
            f"{self._poll_seconds:g} s instead of at once. None is lost.": not self._broker.connected,
            "This process is stopping: clients are sent to another one.": self._connections.draining,
        }
        return [sentence for sentence, holds in found.items() if holds]

    @property
    def ingest_state(self) -> object:
        """`leading`, `disconnected` or `standby`; None where INGEST_CHANNEL is not set."""
        return self._ingest()["state"] if self._ingest is not None else None

    def by_settings(self) -> list[str]:
        """Return a sentence for each thing that the settings make this process do without. It is ready all the same."""
        # Where there is one process the others may be commands and workers, and the log has said it.
        return [self._slow] if self._slow and self._processes > 1 else []

    def snapshot(self) -> dict[str, object]:
        """Return the JSON of /dashboard/stats: figures of the process, of each transport and of each stream."""
        labels = self._connections.transports
        buffers = self._full_buffers()
        return {
            "process": self._process(),
            "verdicts": {label: self._verdicts(label) for label in labels},
            "transports": {label: self._transport(label, buffers[label]) for label in labels},
            "streams": {name: self._stream(name, behind) for name, behind in self._hub.lag().items()},
            "lag_ms": self._follower.lag_ms,
            **({"ingest": self._ingest()} if self._ingest is not None else {}),
        }

    def _process(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "processes": self._processes,
            "python": sys.version.split()[0],
            "uptime_seconds": round(time.monotonic() - self._started_at, 1),
            "rss_bytes": resident_bytes(),
        }

    def _verdicts(self, label: str) -> dict[str, int]:
        opened = self._telemetry.opened
        return {verdict.value: int(opened.labels(label, verdict).value) for verdict in Verdict}

    def _full_buffers(self) -> dict[str, list[int]]:
        """Return, for each transport, the bytes that wait for each connection whose buffer is full."""
        buffers: dict[str, list[int]] = {label: [] for label in self._connections.transports}
        for connection in self._hub.stalled:
            buffers[connection.transport].append(connection.sink.get_write_buffer_size())
        return buffers

    def _transport(self, label: str, buffers: list[int]) -> dict[str, object]:
        counts = self._telemetry
        return {
            "connections": int(counts.connections.labels(label).value),
            "lagging": int(counts.lagging.labels(label).value),
            "deliveries": int(counts.deliveries.labels(label).value),
            "bytes_sent": int(counts.bytes_sent.labels(label).value),
            "buffered_bytes": sum(buffers),
            "largest_buffer_bytes": max(buffers, default=0),
            "gaps": int(counts.gaps.labels(label).value),
            "aborted": int(counts.aborted.labels(label).value),
        }

    def _stream(self, name: str, behind: int) -> dict[str, object]:
        topic = self._hub.topics[name]
        return {
            "position": str(self._hub.position(name)),
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
