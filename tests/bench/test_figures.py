"""bench/figures.py: every figure has a name, a unit and a direction, and its text neither hides nor invents digits."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import figures
from bench.figures import FIGURES
from tests.bench.documents import everything

# The figures that the design of the result document lists, by scenario.
LISTED = (
    *("us_per_delivery", "user_us", "system_us", "softirq_us", "p50_ms", "p90_ms", "p99_ms", "p999_ms"),
    *("max_ms", "bytes_per_delivery", "offered_per_second", "delivered_per_second", "delivered_share"),
    *("server_share", "client_share", "kb_per_connection", "uss_kb_per_connection"),
    *("kernel_kb_per_connection", "idle_us_per_connection_second", "base_kb", "connects_per_second"),
    *("us_per_connect", "first_byte_p50_ms", "first_byte_p99_ms", "returned_share", "return_p50_ms"),
    *("return_p99_ms", "recovered_share", "lost_per_client", "healthy_p99_ms", "healthy_p99_before_ms"),
    *("memory_growth_kb", "stuck_seconds", "stalled_seconds", "recovered_seconds", "exit_seconds"),
    *("exit_status", "goodbye_share", "goodbye_spread_seconds", "pss_kb_per_minute"),
    *("p99_drift_ms_per_minute", "fsync_p50_ms", "beyond_fsync_ms", "us_per_publish"),
    *("publishes_per_second", "us_per_write", "pings_per_delivery"),
)


def test_every_listed_figure_is_registered() -> None:
    assert {name: FIGURES[name].name for name in LISTED} == {name: name for name in LISTED}


def test_titles_fit_beside_a_picture_and_tell_figures_apart() -> None:
    titles = [figure.title for figure in FIGURES.values()]
    assert len(set(titles)) == len(titles)
    assert max(map(len, titles)) <= 36


def test_documents_for_tests_use_registered_figures_only() -> None:
    used = {name for found in everything(pairs=2) for run in found["runs"] for name in run["figures"]}
    assert used <= FIGURES.keys()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("us_per_delivery", 7.1234, "7.12 \N{MICRO SIGN}s"),
        ("us_per_publish", 1290.03, "1,290 \N{MICRO SIGN}s"),
        ("p50_ms", 0.01234, "0.0123 ms"),
        ("p50_ms", 9.999, "10.0 ms"),
        ("p50_ms", 0, "0 ms"),
        ("pss_kb_per_minute", -2.5, "-2.50 KiB/min"),
        ("connects_per_second", 21685.06, "21,685/s"),
        ("server_share", 0.1645, "16.4 %"),
        ("returned_share", 1, "100 %"),
        ("returned_share", 0.99987, "99.99 %"),
        ("returned_share", 0.999999, ">99.99 %"),
        ("server_share", 0.9999, ">99.9 %"),
        ("exit_status", 0, "0"),
        ("exit_status", 137, "137"),
        ("p99_ms", 1e-9, "1.00e-09 ms"),
        ("p99_ms", 12345678.9, "12,345,679 ms"),
        ("p99_ms", math.nan, "nan ms"),
    ],
)
def test_text(name: str, value: float, text: str) -> None:
    assert FIGURES[name].text(value) == text


@given(st.floats(min_value=1e-4, max_value=1e12), st.integers(2, 5))
def test_text_is_within_half_of_its_last_digit(value: float, digits: int) -> None:
    shown = float(figures.number(value, digits).replace(",", ""))
    assert shown == pytest.approx(value, rel=0.5001 * 10.0 ** (1 - digits))


@given(st.floats(min_value=0, max_value=1, exclude_max=True))
def test_what_is_short_of_everything_is_not_shown_as_everything(share: float) -> None:
    assert not re.match(r"100(\.0*)? %", figures.percent(share, 4))


def test_an_unknown_figure_shows_its_bare_name() -> None:
    assert figures.of("brand_new").title == "brand_new"
    assert figures.of("brand_new").text(1.5) == "1.50"
