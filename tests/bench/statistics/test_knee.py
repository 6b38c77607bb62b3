"""bench/statistics/knee.py: the last good rate, the first bad one, and why."""

from __future__ import annotations

import math

import pytest

from bench.statistics.knee import Knee, Limits, Point, knee


def good(offered: float) -> Point:
    return Point(offered, delivered_share=1.0, p99_ms=10.0, server_share=0.5, client_share=0.3)


def sweep(last: Point) -> list[Point]:
    return [good(20), good(40), last._replace(offered=80)]


@pytest.mark.parametrize(
    ("changed", "limiter", "reason"),
    [
        ({"p99_ms": 183.4}, "latency", "p99 > 100 ms (183.4 ms)"),
        ({"delivered_share": 0.97}, "delivery", "delivered 0.97 of offered"),
        ({"delivered_share": 0.9896}, "delivery", "delivered 0.9896 of offered"),
        ({"server_share": 0.97}, "server CPU", "server CPU 97 %"),
        ({"client_share": 0.85}, "load client", "load client 85 % of its core (the server may do more)"),
    ],
)
def test_each_end_is_named(changed: dict[str, float], limiter: str, reason: str) -> None:
    assert knee(sweep(good(80)._replace(**changed))) == Knee(40, 80, limiter, (reason,))


def test_a_busy_load_client_is_suspected_before_the_server_and_all_reasons_are_kept() -> None:
    found = knee(sweep(Point(80, delivered_share=0.8, p99_ms=900, server_share=0.99, client_share=0.95)))
    assert found.limiter == "load client"
    assert [reason.split()[0] for reason in found.reasons] == ["load", "server", "delivered", "p99"]
    assert knee(sweep(Point(80, 0.8, 900, 0.99, 0.5))).limiter == "server CPU"


def test_a_knee_that_was_not_reached() -> None:
    reasons = ("not reached: highest rate tried still good",)
    assert knee(sweep(good(80))) == Knee(80, None, None, reasons)


def test_a_first_rate_that_is_bad_already() -> None:
    found = knee([good(20)._replace(p99_ms=101)])
    assert (found.last_good, found.first_bad, found.limiter) == (None, 20, "latency")


def test_at_the_limit_is_still_good() -> None:
    assert knee([Point(20, 0.99, 100.0, 0.95, 0.80)]).first_bad is None


def test_the_promise_is_the_users() -> None:
    points = [good(20), good(40)._replace(p99_ms=30)]
    assert knee(points).first_bad is None
    assert knee(points, Limits(p99_ms=25)).reasons == ("p99 > 25 ms (30 ms)",)


def test_a_good_rate_above_a_bad_one_is_told() -> None:
    found = knee([good(20), good(40)._replace(p99_ms=150), good(80), good(1600)])
    assert (found.last_good, found.first_bad) == (20, 40)
    assert found.reasons[-1] == "but 1,600/s was good again: repeat the sweep"


@pytest.mark.parametrize("figure", ["delivered_share", "p99_ms", "server_share", "client_share"])
def test_what_is_no_number_is_not_good(figure: str) -> None:
    assert knee(sweep(good(80)._replace(**{figure: math.nan}))).first_bad == 80


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        ([], "at least one rate"),
        ([good(40), good(20)], "20/s follows 40/s"),
        ([good(40), good(40)], "one sweep at a time"),
    ],
)
def test_what_is_no_sweep_is_refused(points: list[Point], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        knee(points)
