"""What the app counts, for Prometheus. One registry per app: several apps in one process do not mix.

The attributes are meters (counters and gauges) and prometheus_client's histograms. Whoever counts often binds its
labels once (`sent = telemetry.deliveries.labels("sse")`) and counts per batch, never per client. Every label
whose values are known starts at 0 on /metrics, so that a rate over it exists before the first event.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from .errors import DashboardError
from .meter import Meter
from .types import Transport, Verdict

PREFIX = "dashboard_rt"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TRANSPORTS = tuple(Transport)
FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds

logger = logging.getLogger(__name__)


class Telemetry:
    """Every counter and gauge of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._about_connections()
        self._about_updates()
        self._about_the_rest()

    def _about_connections(self) -> None:
        self.connections = self._gauge("connections", "Open connections.", "transport")
        self.lagging = self._gauge(
            "lagging", "Connections whose buffer is full, reading on later.", "transport"
        )
        self.opened = self._counter("opened", "Connections opened, by verdict.", "transport", "verdict")
        self.closed = self._counter("closed", "Connections closed, by reason.", "transport", "reason")
        self.aborted = self._counter("aborted", "Connections cut because they took nothing.", "transport")
        self.rejected = self._counter(
            "rejected", "Connections and subscriptions refused.", "transport", "reason"
        )
        self.gaps = self._counter("gaps", "Connections told that updates are missing.", "transport")
        self.deliveries = self._counter("deliveries", "Updates handed to a connection.", "transport")
        self.bytes_sent = self._counter("bytes_sent", "Bytes handed to connections.", "transport")
        self.commands = self._counter("commands", "Cable commands taken.", "command")
        self.ignored = self._counter("ignored", "Cable input that was ignored, by reason.", "reason")
        for transport in TRANSPORTS:
            for per_transport in (self.connections, self.lagging, self.aborted, self.gaps):
                per_transport.labels(transport)
            self.deliveries.labels(transport)
            self.bytes_sent.labels(transport)
        _start_at_zero(
            self.opened, *((transport, verdict) for transport in TRANSPORTS for verdict in Verdict)
        )

    def _about_updates(self) -> None:
        self.publishes = self._counter("publishes", "Publishes, by result.", "result")
        self.published_updates = self._counter("published_updates", "Updates written to the log.")
        self.publish_seconds = self._histogram("publish_seconds", "From publish() to its receipt.")
        self.commit_to_write_seconds = self._histogram(
            "commit_to_write_seconds", "From an update's commit to the write to its last current client."
        )
        self.rings = self._counter("rings", "Rings heard, and what became of them.", "result")
        self.log_reads = self._counter("log_reads", "Reads of the log, and what for.", "why")
        self.poll_errors = self._counter("poll_errors", "Looks at the log that failed.")
        self.broker_restarts = self._counter("broker_restarts", "Restarts of the broker's subscription.")
        _start_at_zero(self.publishes, *((result,) for result in ("ok", "repeated", "refused", "failed")))
        _start_at_zero(
            self.rings, *((result,) for result in ("taken", "stale", "ahead", "unreadable", "failed"))
        )

    def _about_the_rest(self) -> None:
        self.job_runs = self._counter("job_runs", "Runs of the collectors.", "job", "result")
        self.loop_lag_seconds = self._gauge("loop_lag_seconds", "How late the event loop woke last.")
        self.swallowed = self._counter("swallowed", "Errors that were survived, by place.", "where")

    def swallow(self, where: str, error: BaseException) -> None:
        """Count and log an error that stops here. `where` is a short fixed name, such as `jobs.metrics`."""
        self.swallowed.labels(where).inc()
        logger.warning(
            "%s: %s",
            where,
            str(error) or type(error).__name__,
            exc_info=error if _unexpected(error) else None,
        )

    def value(self, name: str, **labels: str) -> float:
        """A sample's value by attribute name and labels, 0 when it never counted; for stats and tests."""
        for suffix in ("", "_total", "_count"):
            found = self.registry.get_sample_value(f"{PREFIX}_{name}{suffix}", labels)
            if found is not None:
                return found
        return 0.0

    def render(self) -> bytes:
        """The Prometheus text form (content type `CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def _counter(self, name: str, says: str, *labels: str) -> Meter:
        return self._registered(Meter(CounterMetricFamily, f"{PREFIX}_{name}", says, labels))

    def _gauge(self, name: str, says: str, *labels: str) -> Meter:
        return self._registered(Meter(GaugeMetricFamily, f"{PREFIX}_{name}", says, labels))

    def _registered(self, meter: Meter) -> Meter:
        self.registry.register(meter)
        return meter

    def _histogram(self, name: str, says: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", says, buckets=FAST, registry=self.registry)


def _start_at_zero(counter: Meter, *labels: Sequence[str]) -> None:
    for values in labels:
        counter.labels(*values)


def _unexpected(error: BaseException) -> bool:
    """Whether the error deserves a traceback: what the network and the database do to us does not."""
    return not isinstance(error, (OSError, DashboardError))
