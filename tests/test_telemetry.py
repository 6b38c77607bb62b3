"""Counters: one registry an app, what is known starts at zero, swallowed errors are counted and logged."""

from __future__ import annotations

import logging
import time

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.process_collector import ProcessCollector

from dashboard_rt.errors import LogUnavailable
from dashboard_rt.telemetry import BUCKETS, LINES, PERIOD_SECONDS, Distribution, Metric, Telemetry
from dashboard_rt.types import Verdict


def test_apps_do_not_share_counters() -> None:
    one, other = Telemetry(), Telemetry()
    one.deliveries.labels("sse").inc(3)
    assert one.value("deliveries", transport="sse") == 3
    assert other.value("deliveries", transport="sse") == 0


def test_value_reads_counters_gauges_and_histograms() -> None:
    telemetry = Telemetry()
    telemetry.published_updates.inc(2)
    telemetry.connections.labels("cable").set(7)
    telemetry.publish_seconds.observe(0.5)
    assert telemetry.value("published_updates") == 2
    assert telemetry.value("connections", transport="cable") == 7
    assert telemetry.value("publish_seconds") == 1
    assert telemetry.value("closed", transport="sse", reason="never") == 0


def test_rendered_with_zeros_for_what_may_come() -> None:
    telemetry = Telemetry(("sse", "cable"))
    families = {family.name: family for family in text_string_to_metric_families(telemetry.render().decode())}
    opened = {tuple(s.labels.values()) for s in families["dashboard_rt_opened"].samples if "total" in s.name}
    assert opened == {(transport, verdict) for transport in ("sse", "cable") for verdict in Verdict}
    assert "process_resident_memory_bytes" in families


def test_a_histogram_shows_what_prometheus_clients_own_would() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution("late", "Late.")
    ours.register(distribution)
    stock = Histogram("late", "Late.", buckets=BUCKETS, registry=theirs)
    for seconds in (0.0, 0.0005, 0.0006, 0.3, 5.0, 5.1, 100.0):
        distribution.observe(seconds)
        stock.observe(seconds)

    def shown(registry: CollectorRegistry) -> list[str]:
        return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]

    assert shown(ours) == shown(theirs)


def test_a_swallowed_error_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    with caplog.at_level(logging.WARNING):
        telemetry.swallow("place", LogUnavailable("away"))
        telemetry.swallow("place", ZeroDivisionError())
    assert telemetry.value("swallowed", where="place") == 2
    expected, unexpected = caplog.records
    assert expected.getMessage() == "place: away" and not expected.exc_info
    assert unexpected.getMessage() == "place: ZeroDivisionError" and unexpected.exc_info


def test_an_error_that_comes_again_and_again_is_counted_and_no_longer_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    telemetry = Telemetry(clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(LINES + 100):
            telemetry.swallow("place", LogUnavailable("away"))
        telemetry.swallow("other place", LogUnavailable("away"))
        now[0] = PERIOD_SECONDS
        telemetry.swallow("place", LogUnavailable("still away"))
        telemetry.swallow("place", LogUnavailable("still away"))
    assert telemetry.value("swallowed", where="place") == LINES + 102
    assert [record.getMessage() for record in caplog.records] == [
        *["place: away"] * LINES,
        "other place: away",
        "place: still away (100 more since the last line)",
        "place: still away",
    ]


# ---- one metric


def shown(*metrics: Metric) -> list[str]:
    registry = CollectorRegistry()
    for metric in metrics:
        registry.register(metric)
    return generate_latest(registry).decode().splitlines()


def test_a_counter_with_labels() -> None:
    sent = Metric(CounterMetricFamily, "sent", "Sent.", ("transport",))
    sse = sent.labels("sse")
    sse.inc()
    sent.labels("sse").inc(2)
    assert sent.labels("sse") is sse
    assert shown(sent) == [
        "# HELP sent_total Sent.",
        "# TYPE sent_total counter",
        'sent_total{transport="sse"} 3.0',
    ]


def test_a_gauge_goes_up_and_down() -> None:
    there = Metric(GaugeMetricFamily, "there", "There.", ("kind", "where"))
    one = there.labels("a", "b")
    one.set(7)
    one.dec()
    one.inc(0.5)
    assert shown(there)[-1] == 'there{kind="a",where="b"} 6.5'


def test_without_labels_it_counts_itself_and_starts_at_zero() -> None:
    counter, gauge = (
        Metric(CounterMetricFamily, "done", "Done."),
        Metric(GaugeMetricFamily, "late", "Late."),
    )
    assert [line for line in shown(counter, gauge) if line[0] != "#"] == ["done_total 0.0", "late 0.0"]
    counter.inc(4)
    gauge.set(1.5)
    assert [line for line in shown(counter, gauge) if line[0] != "#"] == ["done_total 4.0", "late 1.5"]


def test_as_many_values_as_labels() -> None:
    with pytest.raises(ValueError, match=r"sent has the labels \('transport',\)"):
        Metric(CounterMetricFamily, "sent", "Sent.", ("transport",)).labels("sse", "x")


def test_values_are_escaped() -> None:
    odd = Metric(CounterMetricFamily, "odd", "Odd.", ("name",))
    odd.labels('a"b\\\n').inc()
    assert shown(odd)[-1] == r'odd_total{name="a\"b\\\n"} 1.0'


def test_the_open_files_are_listed_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = [100.0], 0
    collect = ProcessCollector.collect

    def look(collector: ProcessCollector) -> object:
        nonlocal looks
        looks += 1
        return collect(collector)

    monkeypatch.setattr(ProcessCollector, "collect", look)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    telemetry = Telemetry()
    looks = 0
    for _ in range(3):
        assert b"process_cpu_seconds_total" in telemetry.render()
    assert looks == 1
    now[0] += 1
    telemetry.render()
    assert looks == 2
