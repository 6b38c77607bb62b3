"""bench/report.py: ratios pair by pair, void pairs left out and said so."""

from __future__ import annotations

import pytest

from bench import report
from bench.run import Run
from bench.validity import Flag

VOID = [Flag("void", "neighbour", "others used 50% of the server core")]


def made(target: str, pair: int, cost: float, flags: list[Flag] | None = None, transport: str = "sse") -> Run:
    account = {"lost": 0, "doubled": 0, "disordered": 0}
    return Run(
        target, transport, pair, {"us_per_delivery": cost}, flags or [], {"load": {"account": account}}
    )


def test_pairs_are_matched_by_number() -> None:
    runs = [made("app", 1, 4), made("floor", 0, 1), made("floor", 1, 2), made("app", 0, 2), made("app", 2, 9)]
    found = report.ratio(runs, "sse", "us_per_delivery")
    assert found is not None
    assert found.value == pytest.approx(2)
    assert found.pairs == 2


def test_void_pairs_are_left_out_and_counted() -> None:
    runs = [made("app", 0, 2), made("floor", 0, 1), made("app", 1, 9, VOID), made("floor", 1, 1)]
    (line,) = report.comparisons(runs, goal=2.5)
    assert "2.00 x" in line
    assert "1 void pairs left out" in line
    assert "reached" in line


def test_nothing_is_hidden_when_all_is_void() -> None:
    runs = [made("app", 0, 2, VOID), made("floor", 0, 1)]
    (line,) = report.comparisons(runs, goal=1.15)
    assert "VOID, every pair" in line
    assert "not judged" in line
    assert report.flags(runs) == ["VOID  pair 0 sse app: others used 50% of the server core"]


def test_no_ratio_without_the_floor() -> None:
    assert report.comparisons([made("app", 0, 2)], goal=1.15) == []


def test_the_overview_has_a_row_for_each_cell() -> None:
    runs = [made("floor", 0, 1), made("app", 0, 2), made("app", 0, 3, transport="cable")]
    head, *rows = report.overview(runs)
    assert [row.split()[:3] for row in rows] == [
        ["sse", "app", "2.00"],
        ["sse", "floor", "1.00"],
        ["cable", "app", "3.00"],
    ]
    assert "us/delivery" in head
