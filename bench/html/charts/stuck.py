"""The slow consumer: does a reader that is stuck move the p99 of the healthy ones? Before and beside it, run by run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.figures import FIGURES
from bench.html import scale, svg, words
from bench.html.charts.marks import GUTTER, WIDE_FROM, lanes, marked, rows_of
from bench.html.looks import Legend, Look
from bench.html.markup import Markup
from bench.html.picture import Picture
from bench.html.scale import Scale
from bench.html.table import Entry, Table
from bench.result import Result, Run

BEFORE, BESIDE = "healthy_p99_before_ms", "healthy_p99_ms"
SHOWN = (BEFORE, BESIDE, "memory_growth_kb", "stuck_seconds")
MS = FIGURES[BESIDE]
START = Look("circle", "start hollow")
STEP = 13.0


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of a result that has the p99 before and beside a stuck client."""
    runs = [run for row in result.keys for run in result.of(row) if _known(run)]
    if not runs:
        return None
    caption = (
        "p99 of the clients that read as they should: a grey ring before one was stuck, the row's mark beside it. Each "
        "line is a run; a short one means that nobody paid for the stuck client."
    )
    return Picture(
        "Healthy clients beside a stuck one",
        caption,
        lambda width: _draw(runs, legend, width),
        _table(runs),
        rows_of(result, runs),
    )


def _known(run: Run) -> bool:
    return min(run.figures.get(BEFORE, 0), run.figures.get(BESIDE, 0)) > 0


def _table(runs: Sequence[Run]) -> Table:
    entries = [
        Entry(
            (
                run.row,
                str(run.pair),
                *(
                    FIGURES[name].text(run.figures[name]) if name in run.figures else words.DASH
                    for name in SHOWN
                ),
            ),
            words.faults(run),
        )
        for run in runs
    ]
    return Table(("row", "pair", *(FIGURES[name].title for name in SHOWN)), tuple(entries))


def _draw(runs: Sequence[Run], legend: Legend, width: float) -> Markup:
    by_row: dict[str, list[Run]] = {}
    for run in runs:
        by_row.setdefault(run.row, []).append(run)
    heights = {key: STEP * len(own) for key, own in by_row.items()}
    tops, left, bottom = lanes(heights, width)
    x = scale.by_magnitude([run.figures[name] for run in runs for name in (BEFORE, BESIDE)], left, width - 26)
    parts = [svg.verticals(x, x.ticks(scale.with_unit("ms"), svg.room), 4, bottom)]
    for key, own in by_row.items():
        label, top = tops[key]
        parts.append(svg.text(0, label, svg.fitted(key, GUTTER if width >= WIDE_FROM else width), "label"))
        for at, run in enumerate(own):
            parts += _dumbbell(run, legend, x, top + at * STEP)
    return svg.picture(
        width, bottom + svg.LINE + 6, "p99 of healthy clients before and beside a stuck one", parts
    )


def _dumbbell(run: Run, legend: Legend, x: Scale, y: float) -> Iterator[Markup]:
    before, beside = x.at(run.figures[BEFORE]), x.at(run.figures[BESIDE])
    title = f"{run.row}, pair {run.pair}: {MS.text(run.figures[BEFORE])} before, {MS.text(run.figures[BESIDE])} beside"
    yield svg.line((before, y), (beside, y), f"whisker {legend[run.row].classes}")
    yield svg.mark((before, y), START, title)
    yield marked(run, (beside, y), legend, title)
