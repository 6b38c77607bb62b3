"""Dot plots: every figure, every run a dot, the mean of those that count a bar. Small, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.comparison import measured
from bench.figures import Figure
from bench.html import scale, svg, words
from bench.html.charts.marks import marked
from bench.html.charts.order import in_order
from bench.html.looks import Legend
from bench.html.markup import Markup, joined, tag
from bench.html.picture import Picture
from bench.html.scale import Scale
from bench.html.svg import LINE
from bench.html.table import Entry, Table
from bench.result import Result, Run
from bench.statistics import stats

WIDTH = 340.0
LANE = 42.0
OFFSETS = (0.0, -4.0, 4.0)  # so that equal runs do not hide one another


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of any result but a sweep, whose runs are too unlike one another for it."""
    runs, shown = in_order(result), measured(result)
    if not shown or any(run.point is not None for run in runs):
        return None
    return Picture(
        "Every figure, every run",
        "Each mark is a run, the upright bar the mean of those that count. A cross is a run that does not count.",
        lambda _: joined(_small(result, figure, legend) for figure in shown),
        _table(runs, shown),
        tuple(result.keys),
        once=True,
    )


def _table(runs: Sequence[Run], shown: Sequence[Figure]) -> Table:
    entries = [
        Entry(
            (
                str(at),
                run.row,
                str(run.pair),
                *(
                    figure.text(run.figures[figure.name]) if figure.name in run.figures else words.DASH
                    for figure in shown
                ),
                words.books(run),
                words.warnings(run) or words.DASH,
            ),
            words.faults(run),
        )
        for at, run in enumerate(runs, 1)
    ]
    head = ("run", "row", "pair", *(figure.title for figure in shown), "lost/doubled/disordered", "warnings")
    return Table(head, tuple(entries), frozenset({1, len(head) - 1}))


def _small(result: Result, figure: Figure, legend: Legend) -> Markup:
    """One figure: a lane for each row, its label and mean above the marks."""
    runs = [run for run in result.runs if figure.name in run.figures]
    rows = [key for key in result.keys if any(run.row == key for run in runs)]
    bottom = LANE * len(rows) + 2
    values = [run.figures[figure.name] for run in runs]
    write = scale.with_unit(figure.unit)
    x = _axis(values, write)
    parts = [svg.verticals(x, x.ticks(write, svg.room), 0, bottom)]
    for at, key in enumerate(rows):
        parts += _lane([run for run in runs if run.row == key], figure, legend, x, at * LANE)
    drawn = svg.picture(WIDTH, bottom + LINE + 6, f"{figure.title}, every run", parts)
    direction = "more is better" if figure.better == "higher" else "less is better"
    return tag("div", tag("h5", figure.title, " ", tag("small", direction)), drawn)


def _axis(values: Sequence[float], write: Callable[[float], str]) -> Scale:
    """As wide as the labels at its ends allow."""
    ends = scale.fitting(values, 0, WIDTH)
    left, right = (max(12.0, svg.room(write(end)) / 2 + 2) for end in (ends.low, ends.high))
    return ends._replace(start=left, end=WIDTH - right)


def _lane(runs: Sequence[Run], figure: Figure, legend: Legend, x: Scale, y: float) -> Iterator[Markup]:
    clean = [run.figures[figure.name] for run in runs if run.valid]
    middle = y + LANE - 12
    yield svg.text(0, y + 15, svg.fitted(runs[0].row, WIDTH * 0.6), "label")
    if clean:
        mean = stats.mean(clean)
        yield svg.text(WIDTH, y + 15, figure.text(mean), "value", "end")
        yield svg.line((x.at(mean), middle - 10), (x.at(mean), middle + 10), "mean")
    for run in runs:
        value = run.figures[figure.name]
        at = x.at(value), middle + OFFSETS[run.pair % len(OFFSETS)]
        yield marked(run, at, legend, f"{run.row}, pair {run.pair}: {figure.text(value)}")
