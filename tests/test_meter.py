"""meter: numbers that prometheus_client shows as its own."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from dashboard_rt.meter import Meter
from dashboard_rt.types import Transport


def shown(*metrics: Meter) -> list[str]:
    registry = CollectorRegistry()
    for metric in metrics:
        registry.register(metric)
    return generate_latest(registry).decode().splitlines()


def test_a_counter_with_labels() -> None:
    sent = Meter(CounterMetricFamily, "sent", "Sent.", ("transport",))
    sse = sent.labels(Transport.SSE)
    sse.inc()
    sent.labels("sse").inc(2)
    assert sent.labels(Transport.SSE) is sse
    assert shown(sent) == [
        "# HELP sent_total Sent.",
        "# TYPE sent_total counter",
        'sent_total{transport="sse"} 3.0',
    ]


def test_a_gauge_goes_up_and_down() -> None:
    there = Meter(GaugeMetricFamily, "there", "There.", ("kind", "where"))
    one = there.labels("a", "b")
    one.set(7)
    one.dec()
    one.inc(0.5)
    assert shown(there)[-1] == 'there{kind="a",where="b"} 6.5'


def test_without_labels_it_counts_itself_and_starts_at_zero() -> None:
    counter, gauge = (
        Meter(CounterMetricFamily, "done", "Done."),
        Meter(GaugeMetricFamily, "late", "Late."),
    )
    assert [line for line in shown(counter, gauge) if line[0] != "#"] == ["done_total 0.0", "late 0.0"]
    counter.inc(4)
    gauge.set(1.5)
    assert [line for line in shown(counter, gauge) if line[0] != "#"] == ["done_total 4.0", "late 1.5"]


def test_as_many_values_as_labels() -> None:
    with pytest.raises(ValueError, match=r"sent has the labels \('transport',\)"):
        Meter(CounterMetricFamily, "sent", "Sent.", ("transport",)).labels("sse", "x")


def test_values_are_escaped() -> None:
    odd = Meter(CounterMetricFamily, "odd", "Odd.", ("name",))
    odd.labels('a"b\\\n').inc()
    assert shown(odd)[-1] == r'odd_total{name="a\"b\\\n"} 1.0'
