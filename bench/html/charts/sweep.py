"""The hockey stick: latency over the offered rate, with the demand (SLO), the knee, and what ended the sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.figures import FIGURES, number
from bench.html import scale, svg, words
from bench.html.charts.marks import WIDE_FROM, marked, sayings
from bench.html.knee import Knee, knee, rates
from bench.html.looks import Legend
from bench.html.markup import Markup, joined
from bench.html.picture import Picture
from bench.html.scale import Scale
from bench.html.svg import LINE
from bench.html.table import Entry, Table
from bench.measure import slo
from bench.result import Result, Run
from bench.statistics import stats

PANELS = ("p99_ms", "p50_ms")
SHOWN = ("p50_ms", "p99_ms", "delivered_share", "server_share", "client_share")
HEIGHT, LEFT, TOP, GAP = 230.0, 74.0, 28.0, 34.0


class Panel(NamedTuple):
    """One figure's part of the picture: its rates' scale and where it begins."""

    figure: str
    x: Scale
    top: float


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of a result whose runs have a point."""
    knees = [found for row in result.keys if (found := knee(result, row)) is not None]
    if not knees:
        return None
    demands = str(result.plan.get("slo") or "")
    caption = (
        "Latency against the rate that was offered, both by magnitude. Each mark is a run, the line goes through the "
        "geometric means. A ring is the knee: the last rate up to which every run was good"
        f"{f' ({demands})' if demands else ''}. A cross is a run that does not count."
    )
    return Picture(
        "How far it goes",
        caption,
        lambda width: _draw(result, knees, legend, width),
        _table(result),
    )


def _table(result: Result) -> Table:
    head = ("row", "offered", *(FIGURES[name].title for name in SHOWN), "limiter")
    entries = [_entry(run) for row in result.keys for run in _runs(result, row)]
    return Table(head, tuple(entries), frozenset({0, len(head) - 1}))


def _entry(run: Run) -> Entry:
    known = [FIGURES[name].text(run.figures[name]) if name in run.figures else words.DASH for name in SHOWN]
    cells = (run.row, f"{number(run.point or 0)}/s", *known, run.limiter or "none")
    return Entry(cells, words.faults(run))


def _runs(result: Result, row: str) -> list[Run]:
    return [run for rate in rates(result, row) for run in result.of(row, rate)]


def _draw(result: Result, knees: Sequence[Knee], legend: Legend, width: float) -> Markup:
    """The knees in words, then one panel per percentile under one another, each with an axis of its own."""
    parts = sayings([(one.row, _saying(one, width)) for one in knees], legend, width)
    top = TOP + 8 + LINE * len(knees)
    x = scale.by_magnitude([run.point or 0 for run in result.runs], LEFT, width - 26)
    for figure in PANELS:
        parts.append(_panel(result, knees, legend, Panel(figure, x, top)))
        top += HEIGHT + GAP
    return svg.picture(
        width, top - TOP + 8, "Latency over the offered rate, with the knee of each row", parts
    )


def _saying(found: Knee, width: float) -> str:
    return found.text if width >= WIDE_FROM else found.short


def _panel(result: Result, knees: Sequence[Knee], legend: Legend, panel: Panel) -> Markup:
    figure, x, top = panel
    limits = _limits(result, figure)
    values = [run.figures[figure] for run in result.runs if figure in run.figures]
    y = scale.by_magnitude([*values, *limits], top + HEIGHT - 40, top)
    axes = svg.level(x, "/s", "updates offered"), svg.upright(y, "ms", FIGURES[figure].title)
    parts = [svg.frame(*axes), *(_limit(limit, x, y) for limit in limits)]
    for found in knees:
        parts += _row(result, found, legend, figure, (x, y))
    return joined(parts)


def _limits(result: Result, figure: str) -> list[float]:
    demands = slo.parse(str(result.plan.get("slo") or ""))
    return [demand.value for demand in demands if demand.figure == figure and demand.value > 0]


def _limit(limit: float, x: Scale, y: Scale) -> Markup:
    at = y.at(limit)
    label = svg.text(x.start + 6, at - 6, f"demanded: {number(limit)} ms", "note")
    return joined((svg.line((x.start, at), (x.end, at), "limit"), label))


def _row(
    result: Result, found: Knee, legend: Legend, figure: str, scales: tuple[Scale, Scale]
) -> Iterator[Markup]:
    x, y = scales
    runs = [run for run in _runs(result, found.row) if run.figures.get(figure, 0) > 0]
    middles = list(_middles(runs, figure))
    yield svg.path(
        [(x.at(rate), y.at(value)) for rate, value in middles], f"curve {legend[found.row].classes}"
    )
    for run in runs:
        at = x.at(run.point or 0), y.at(run.figures[figure])
        title = f"{run.row} at {number(run.point or 0)}/s: {FIGURES[figure].text(run.figures[figure])}"
        yield marked(run, at, legend, title)
    for rate, value in middles:
        if rate == found.last:
            yield svg.ring((x.at(rate), y.at(value)), f"{found.row}: {found.text}")


def _middles(runs: Sequence[Run], figure: str) -> Iterator[tuple[float, float]]:
    for rate in sorted({run.point for run in runs if run.point is not None and run.valid}):
        logs = [math.log(run.figures[figure]) for run in runs if run.point == rate and run.valid]
        yield rate, math.exp(stats.mean(logs))
