"""Counters: one registry an app, what is known starts at zero, swallowed errors are counted and logged."""

from __future__ import annotations

import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dashboard_rt.errors import LogUnavailable
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Transport, Verdict


def test_apps_do_not_share_counters() -> None:
    one, other = Telemetry(), Telemetry()
    one.deliveries.labels(Transport.SSE).inc(3)
    assert one.value("deliveries", transport="sse") == 3
    assert other.value("deliveries", transport="sse") == 0


def test_value_reads_counters_gauges_and_histograms() -> None:
    telemetry = Telemetry()
    telemetry.published_updates.inc(2)
    telemetry.connections.labels(Transport.CABLE).set(7)
    telemetry.publish_seconds.observe(0.5)
    assert telemetry.value("published_updates") == 2
    assert telemetry.value("connections", transport="cable") == 7
    assert telemetry.value("publish_seconds") == 1
    assert telemetry.value("closed", transport="sse", reason="never") == 0


def test_rendered_with_zeros_for_what_may_come() -> None:
    telemetry = Telemetry()
    families = {family.name: family for family in text_string_to_metric_families(telemetry.render().decode())}
    opened = {tuple(s.labels.values()) for s in families["dashboard_rt_opened"].samples if "total" in s.name}
    assert opened == {(transport, verdict) for transport in Transport for verdict in Verdict}
    assert "process_resident_memory_bytes" in families


def test_a_swallowed_error_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    with caplog.at_level(logging.WARNING):
        telemetry.swallow("place", LogUnavailable("away"))
        telemetry.swallow("place", ZeroDivisionError())
    assert telemetry.value("swallowed", where="place") == 2
    expected, unexpected = caplog.records
    assert expected.getMessage() == "place: away" and not expected.exc_info
    assert unexpected.getMessage() == "place: ZeroDivisionError" and unexpected.exc_info
