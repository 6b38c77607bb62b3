"""The percentile plot: latency over 1/(1-p), both by magnitude, so that the tail gets as much room as the middle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.figures import FIGURES
from bench.html import scale, svg, words
from bench.html.looks import Legend
from bench.html.markup import Markup
from bench.html.picture import Picture
from bench.html.scale import Scale, Tick, apart
from bench.html.svg import Point
from bench.html.table import Entry, Table
from bench.result import Result, Run
from bench.statistics import histogram
from bench.statistics.histogram import Histogram

SERIES = "latency"
MARKED = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
STEPS_PER_DECADE = 10
HEIGHT, LEFT, TOP = 330.0, 74.0, 26.0
MS = FIGURES["p99_ms"]


class Curve(NamedTuple):
    """One row: the runs that count, merged, and the line through them; when none counts, all of them, and why."""

    row: str
    whole: Histogram
    points: tuple[Point, ...]
    runs: int
    left_out: int
    void: str


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of the runs at one rate; a sweep has a picture of its own."""
    curves = [curve for row in result.keys if (curve := _curve(result, row)) is not None]
    if not curves:
        return None
    caption = (
        "Latency from the intended moment of sending to the receipt, all clients and all runs that count merged. A "
        "line that turns up early has a heavy tail. To the right each step is ten times rarer."
    )
    return Picture(
        "Latency by percentile",
        caption,
        lambda width: _draw(curves, legend, width),
        _table(result, curves),
        tuple(curve.row for curve in curves),
    )


def _curve(result: Result, row: str) -> Curve | None:
    runs = [run for run in result.of(row) if run.point is None and SERIES in run.series]
    clean = [run for run in runs if run.valid]
    whole = _merged(clean or runs, SERIES)
    if whole is None or not whole.count:
        return None
    return Curve(
        row,
        whole,
        tuple(_points(whole)),
        len(clean or runs),
        len(runs) - len(clean),
        "" if clean else words.faults(runs[0]),
    )


def _merged(runs: Sequence[Run], series: str) -> Histogram | None:
    return histogram.merged(run.series[series] for run in runs) if runs else None


def _table(result: Result, curves: Sequence[Curve]) -> Table:
    head = (
        *("row", "p50", "p90", "p99", "p99.9", "max", "p99 from actual sending"),
        *("deliveries", "runs", "runs left out"),
    )
    return Table(head, tuple(_entry(result, curve) for curve in curves))


def _entry(result: Result, curve: Curve) -> Entry:
    uncorrected = _uncorrected(result, curve)
    cells = (
        curve.row,
        *(MS.text(curve.whole.at(percentile)) for percentile in (50, 90, 99, 99.9, 100)),
        MS.text(uncorrected.at(99)) if uncorrected else words.DASH,
        f"{curve.whole.count:,}",
        str(curve.runs),
        str(curve.left_out),
    )
    return Entry(cells, curve.void)


def _uncorrected(result: Result, curve: Curve) -> Histogram | None:
    """The twin that counts from the actual sending, and so forgives a server that holds the publisher up."""
    runs = [run for run in result.of(curve.row) if run.point is None and "uncorrected" in run.series]
    return _merged([run for run in runs if run.valid or curve.void], "uncorrected")


def _draw(curves: Sequence[Curve], legend: Legend, width: float) -> Markup:
    bottom, right = HEIGHT - 44, width - 26
    every = [point for curve in curves for point in curve.points]
    x = Scale(1, max(rarity for rarity, _ in every) * 1.1, LEFT, right, log=True)
    y = scale.by_magnitude([value for _, value in every], bottom, TOP)
    axes = svg.Axis(x, _ticks(x), "deliveries that took at most as long"), svg.upright(y, "ms", "latency")
    parts = [svg.frame(*axes)]
    for curve in curves:
        drawn = [(x.at(rarity), y.at(value)) for rarity, value in curve.points]
        look = legend[curve.row]
        parts.append(svg.path(drawn, f"curve {'void' if curve.void else look.classes}"))
        parts += [
            svg.mark((x.at(rarity), y.at(value)), look, f"{curve.row} p{percentile:g}: {MS.text(value)}")
            for percentile, rarity, value in _labelled(curve.whole)
            if not curve.void
        ]
    return svg.picture(width, HEIGHT, "Latency by percentile, one line a row", parts)


def _points(whole: Histogram) -> Iterator[Point]:
    """(1/(1-p), ms), as far as there are deliveries to tell."""
    rarity, last = 1.0, max(2.0, float(whole.count))
    while rarity < last:
        yield rarity, whole.at(100 * (1 - 1 / rarity)) or 0.001
        rarity *= 10 ** (1 / STEPS_PER_DECADE)
    yield last, whole.at(100)


def _labelled(whole: Histogram) -> Iterator[tuple[float, float, float]]:
    for percentile in MARKED:
        rarity = 100 / (100 - percentile)
        if rarity <= whole.count:
            yield percentile, rarity, whole.at(percentile)


def _ticks(x: Scale) -> list[Tick]:
    chosen: list[Tick] = []
    for percentile in MARKED:
        tick = Tick(x.at(100 / (100 - percentile)), f"{percentile:g} %")
        if tick.at <= x.end and apart([*chosen, tick], svg.room):
            chosen.append(tick)
    return chosen
