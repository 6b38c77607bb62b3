"""What the app counts, for Prometheus and for /dashboard/stats. One registry per app: two apps do not mix.

Whoever counts often binds its labels once (`sent = telemetry.deliveries.labels("sse")`) and counts per batch,
never per client. Every label whose values are known starts at 0, so that a rate exists before the first event.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as PlainMetric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .errors import DashboardError
from .types import Verdict

PREFIX = "dashboard_rt"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LINES = 5  # of one place in a period
PERIOD_SECONDS = 60.0
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds

# What becomes of a message of INGEST_CHANNEL. `dropped`: there was no room, or the lease was lost. `unsure`: its
# transaction was not answered, and then the lease was lost or the process ended.
MESSAGE_RESULTS = ("written", "too_large", "not_utf8", "not_json", "dropped", "unsure")
# Why messages may have been missed: a leader fell silent, gave the lease up, or lost its connection to Redis.
GAP_CAUSES = ("takeover", "handover", "reconnect")

logger = logging.getLogger(__name__)


class Value:
    """One number of a metric."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        self.value -= amount

    def set(self, value: float) -> None:
        self.value = value


class Metric(Collector):
    """A counter or gauge: one number for each combination of label values. For the event loop's thread only.

    Not prometheus_client's own: those take a lock and five calls to add one, a tenth of the cost of a connect.
    """

    def __init__(
        self,
        family: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        description: str,
        labels: tuple[str, ...] = (),
    ) -> None:
        self._family = family
        self._name = name
        self._description = description
        self._labels = labels
        self._values: dict[tuple[str, ...], Value] = {}
        if not labels:
            only = self.labels()
            self.inc, self.set = only.inc, only.set

    def labels(self, *values: str) -> Value:
        """Return the number of these label values, given in the order of the label names."""
        number = self._values.get(values)
        if number is None:
            if len(values) != len(self._labels):
                raise ValueError(f"{self._name} has the labels {self._labels}, not {values}")
            number = self._values[values] = Value()
        return number

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Give the numbers to the registry, which asks when somebody reads /metrics."""
        family = self._family(self._name, self._description, labels=self._labels)
        for values, number in self._values.items():
            family.add_metric([str(value) for value in values], number.value)
        yield family


class Distribution(Collector):
    """A histogram of seconds, without labels. For the event loop's thread only, like Metric and for its reason."""

    def __init__(self, name: str, description: str) -> None:
        self._name = name
        self._description = description
        self._counts = [0] * (len(BUCKETS) + 1)  # by bucket; the last one is what lies above all of them
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give the numbers to the registry: each bucket holds those below it too (Prometheus text format)."""
        bounds = [*map(floatToGoString, BUCKETS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family = HistogramMetricFamily(self._name, self._description)
        family.add_metric([], buckets, self._sum)
        yield family


class RecentProcess(ProcessCollector):
    """The figures of the process, looked up at most once a second: it lists all open files, 20 ms of 10,000."""

    _families: Sequence[PlainMetric] = ()
    _until = 0.0  # on the monotonic clock

    def collect(self) -> Sequence[PlainMetric]:
        now = time.monotonic()
        if now >= self._until:
            self._families, self._until = list(super().collect()), now + 1
        return self._families


class RecentLines:
    """Log lines about one place: the first few of a period are written, the others only counted."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._written = 0
        self._left_out = 0  # since the last line that was written

    def allow(self, now: float) -> bool:
        """Tell whether a line may be written at `now`, in seconds of a monotonic clock, and count it."""
        if now >= self._began + PERIOD_SECONDS:
            self._began, self._written = now, 0
        if self._written >= LINES:
            self._left_out += 1
            return False
        self._written += 1
        return True

    def note(self) -> str:
        """Say how many were left out before this line, and start counting anew; nothing when none were."""
        left_out, self._left_out = self._left_out, 0
        return f" ({left_out} more since the last line)" if left_out else ""


class Labelled(Collector):
    """The samples of another collector, each with some labels more."""

    def __init__(self, collector: Collector, labels: Mapping[str, str]) -> None:
        self._collector = collector
        self._labels = labels

    def collect(self) -> Iterator[PlainMetric]:
        for family in self._collector.collect():
            copy = PlainMetric(family.name, family.documentation, family.type, family.unit)
            copy.samples = [
                sample._replace(labels={**sample.labels, **self._labels}) for sample in family.samples
            ]
            yield copy


class Telemetry:
    """Every counter and gauge of one app. `transports` are the labels whose counters start at 0."""

    def __init__(self, transports: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._lines: dict[str, RecentLines] = {}  # by place
        RecentProcess(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._define_connections(transports)
        self._define_updates()
        self._define_broker()
        self._define_ingest()
        self._define_process()

    def _define_connections(self, transports: Sequence[str]) -> None:
        self.connections = self._gauge("connections", "Open connections.", "transport")
        self.lagging = self._gauge("lagging", "Connections whose buffer is full.", "transport")
        self.opened = self._counter("opened", "Verdicts told to connecting clients.", "transport", "verdict")
        self.closed = self._counter("closed", "Connections closed, by reason.", "transport", "reason")
        self.aborted = self._counter("aborted", "Connections cut because they took nothing.", "transport")
        self.rejected = self._counter(
            "rejected", "Connections and subscriptions refused.", "transport", "reason"
        )
        self.ticket_refusals = self._counter("ticket_refusals", "Tickets refused, by reason.", "reason")
        self.server_refusals = self._counter(
            "server_refusals", "What the server refused or cut before any endpoint answered.", "reason"
        )
        self.gaps = self._counter("gaps", "Connections told that updates are missing.", "transport")
        self.deliveries = self._counter("deliveries", "Updates handed to a connection.", "transport")
        self.bytes_sent = self._counter("bytes_sent", "Bytes handed to connections.", "transport")
        self.commands = self._counter("commands", "Cable commands taken.", "command")
        self.ignored = self._counter("ignored", "Input that was ignored, by reason.", "reason")
        per_transport = (
            self.connections,
            self.lagging,
            self.aborted,
            self.gaps,
            self.deliveries,
            self.bytes_sent,
        )
        for transport in transports:
            for metric in per_transport:
                metric.labels(transport)
            for verdict in Verdict:
                self.opened.labels(transport, verdict)

    def _define_updates(self) -> None:
        self.publishes = self._counter("publishes", "Publishes, by result.", "result")
        self.published_updates = self._counter("published_updates", "Updates written to the log.")
        self.publish_seconds = self._histogram("publish_seconds", "From publish() to its receipt.")
        self.commit_to_write_seconds = self._histogram(
            "commit_to_write_seconds", "From an update's commit to the write to its last current client."
        )
        self.notifications = self._counter(
            "notifications", "Notifications received, and what became of them.", "result"
        )
        self.log_reads = self._counter("log_reads", "Reads of the log, and what for.", "why")
        self.log_holes = self._counter("log_holes", "Places where updates were found missing in the log.")
        self.database_reconnects = self._counter(
            "database_reconnects", "Times that a lost database was opened anew."
        )
        self.database_frozen = self._counter(
            "database_frozen", "Connections ended of processes that stood still and had locked the log."
        )
        self.poll_errors = self._counter("poll_errors", "Looks at the log that failed.")
        for result in ("ok", "repeated", "refused", "failed"):
            self.publishes.labels(result)
        for result in ("taken", "stale", "ahead", "foreign"):
            self.notifications.labels(result)

    def _define_broker(self) -> None:
        self.broker_connected = self._gauge("broker_connected", "Whether other processes are heard, 1 or 0.")
        self.broker_failures = self._counter(
            "broker_failures", "Connections to the broker's service that failed or were lost."
        )
        self.broker_reconnects = self._counter("broker_reconnects", "Times the service came back.")
        self.broker_overruns = self._counter(
            "broker_overruns",
            "Times messages came faster than they were taken, and the log was read instead.",
        )
        self.broker_dropped = self._counter(
            "broker_dropped", "Notifications that other processes were not sent, by reason.", "reason"
        )
        self.broker_poison = self._counter(
            "broker_poison", "Messages that could not be read, by reason.", "reason"
        )
        for reason in ("away", "queue", "failed"):
            self.broker_dropped.labels(reason)
        for reason in ("encoding", "size", "shape"):
            self.broker_poison.labels(reason)

    def _define_ingest(self) -> None:
        self.ingest_leader = self._gauge("ingest_leader", "1 in the process that reads INGEST_CHANNEL.")
        self.ingest_messages = self._counter(
            "ingest_messages", "Messages of INGEST_CHANNEL, and what became of them.", "result"
        )
        self.ingest_gaps = self._counter(
            "ingest_gaps", "Times in which messages of INGEST_CHANNEL may have been missed.", "why"
        )
        self.ingest_last_message = self._gauge(
            "ingest_last_message_timestamp_seconds", "Unix time of the last message of INGEST_CHANNEL."
        )
        for result in MESSAGE_RESULTS:
            self.ingest_messages.labels(result)
        for why in GAP_CAUSES:
            self.ingest_gaps.labels(why)

    def _define_process(self) -> None:
        self.job_runs = self._counter("job_runs", "Runs of the collectors.", "job", "result")
        self.loop_lag_seconds = self._gauge("loop_lag_seconds", "How late the event loop woke last.")
        self.refused = self._counter("refused", "Requests refused with a sentence, by its code.", "reason")
        self.swallowed = self._counter("swallowed", "Errors that were survived, by place.", "where")

    def swallow(self, where: str, error: BaseException) -> None:
        """Count an error that is not passed on, and log it. `where` is a short fixed name, such as `jobs.metrics`.

        Of one place at most LINES are logged in PERIOD_SECONDS: while a database is away each client may meet it.
        """
        self.swallowed.labels(where).inc()
        lines = self._lines.setdefault(where, RecentLines())
        now = self._clock()
        if not lines.allow(now):
            return
        logger.warning(
            "%s: %s%s",
            where,
            str(error) or type(error).__name__,
            lines.note(),
            exc_info=error if _deserves_traceback(error) else None,
        )

    def value(self, name: str, **labels: str) -> float:
        """Look a sample up by attribute name and labels, 0 when it never counted. Walks the registry: for tests.

        AttributeError when there is no such metric.
        """
        getattr(self, name)
        for suffix in ("", "_total", "_count"):
            found = self.registry.get_sample_value(f"{PREFIX}_{name}{suffix}", labels)
            if found is not None:
                return found
        return 0.0

    def render(self, **labels: str) -> bytes:
        """Return the Prometheus text format (content type `CONTENT_TYPE`), with these labels on every sample."""
        return generate_latest(Labelled(self.registry, labels) if labels else self.registry)

    def _counter(self, name: str, description: str, *labels: str) -> Metric:
        return self._registered(Metric(CounterMetricFamily, f"{PREFIX}_{name}", description, labels))

    def _gauge(self, name: str, description: str, *labels: str) -> Metric:
        return self._registered(Metric(GaugeMetricFamily, f"{PREFIX}_{name}", description, labels))

    def _registered(self, metric: Metric) -> Metric:
        self.registry.register(metric)
        return metric

    def _histogram(self, name: str, description: str) -> Distribution:
        distribution = Distribution(f"{PREFIX}_{name}", description)
        self.registry.register(distribution)
        return distribution


def _deserves_traceback(error: BaseException) -> bool:
    """Tell faults of ours from what networks and databases do to us."""
    return not isinstance(error, (OSError, DashboardError))
