"""The run-order strip: all runs in the order of time, so that interleaving shows and drift has nowhere to hide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.comparison import measured
from bench.figures import Figure, number
from bench.html import scale, svg, words
from bench.html.charts.marks import marked, rows_of
from bench.html.looks import Legend
from bench.html.markup import Markup
from bench.html.picture import Picture
from bench.html.scale import Scale, Tick
from bench.html.table import Entry, Table
from bench.result import Result, Run
from bench.statistics import stats

# The figure that speaks for a run: the first of these that the result has.
SPEAKERS = (
    *("us_per_delivery", "kb_per_connection", "us_per_connect", "return_p50_ms", "healthy_p99_ms"),
    *("stalled_seconds", "exit_seconds", "us_per_publish", "us_per_subscription"),
)
LEAST = (0.8, 1.25)
LEFT, TOP, HEIGHT = 74.0, 28.0, 250.0
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Placed(NamedTuple):
    """A run, which number it was, and its figure as a multiple of the mean of its row."""

    number: int
    run: Run
    value: float
    multiple: float


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of any result with more than one run that has the same figure above 0."""
    figure = speaker(result)
    placed = list(_placed(result, figure)) if figure else []
    if figure is None or len(placed) < 2:
        return None
    caption = (
        f"Every run as a multiple of the mean of its row ({figure.title}), in the order of time. Rows must alternate "
        "and no trend must show; vertical lines part the pairs."
    )
    return Picture(
        "Runs in the order of time",
        caption,
        lambda width: _draw(placed, figure, legend, width),
        _table(placed, figure),
        rows_of(result, [one.run for one in placed]),
    )


def speaker(result: Result) -> Figure | None:
    """The figure that the strip is about."""
    known = [figure for figure in measured(result) if _values(result.runs, figure)]
    rank = {name: at for at, name in enumerate(SPEAKERS)}
    return min(known, key=lambda figure: rank.get(figure.name, len(rank)), default=None)


def in_order(result: Result) -> list[Run]:
    """All runs as they were made."""
    return sorted(result.runs, key=lambda run: (run.started_at, run.order))


def _values(runs: Sequence[Run], figure: Figure) -> list[float]:
    return [run.figures[figure.name] for run in runs if run.figures.get(figure.name, 0) > 0]


def _placed(result: Result, figure: Figure) -> Iterator[Placed]:
    for at, run in enumerate(in_order(result), 1):
        value = run.figures.get(figure.name, 0)
        alike = result.of(run.row, run.point)
        if value > 0:
            clean = [one for one in alike if one.valid]
            yield Placed(at, run, value, value / stats.mean(_values(clean, figure) or _values(alike, figure)))


def _table(placed: Sequence[Placed], figure: Figure) -> Table:
    entries = [
        Entry(
            (
                str(one.number),
                one.run.row,
                str(one.run.pair),
                words.moment(one.run.started_at),
                figure.text(one.value),
                f"{number(one.multiple)} {words.TIMES}",
            ),
            words.faults(one.run),
        )
        for one in placed
    ]
    head = ("run", "row", "pair", "started", figure.title, "of its row's mean")
    return Table(head, tuple(entries), frozenset({1, 3}))


def _draw(placed: Sequence[Placed], figure: Figure, legend: Legend, width: float) -> Markup:
    x = Scale(0.3, placed[-1].number + 0.7, LEFT, width - 14)
    multiples = [one.multiple for one in placed]
    y = Scale(min(*multiples, *LEAST) / 1.05, max(*multiples, *LEAST) * 1.05, HEIGHT - 44, TOP, log=True)
    ticks = y.ticks(lambda value: f"{scale.plain(value)} {words.TIMES}", lambda _: svg.TEXT)
    axes = svg.Axis(x, _counted(x), "run"), svg.Axis(y, ticks, f"{figure.title}, of the row's mean")
    parts = [svg.frame(*axes), svg.line((x.start, y.at(1)), (x.end, y.at(1)), "unity")]
    for before, one in zip([placed[0], *placed], placed, strict=False):
        if one.run.pair != before.run.pair:
            parts.append(svg.line((x.at(one.number - 0.5), TOP), (x.at(one.number - 0.5), y.start), "apart"))
        title = f"run {one.number}, {one.run.row}, pair {one.run.pair}: {figure.text(one.value)}"
        parts.append(marked(one.run, (x.at(one.number), y.at(one.multiple)), legend, title))
    return svg.picture(width, HEIGHT, "All runs in the order of time", parts)


def _counted(x: Scale) -> list[Tick]:
    last = int(x.high)
    step = next((step for step in STEPS if last / step <= 8), last)
    return [Tick(x.at(at), f"{at:,}") for at in range(step, last + 1, step)]
