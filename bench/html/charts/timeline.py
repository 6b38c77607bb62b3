"""Memory over the seconds of a run, from its samples: does it level off, or does it grow for ever?"""

from __future__ import annotations

from collections.abc import Sequence

from bench.html import scale, svg, words
from bench.html.charts.marks import MOST_POINTS, rows_of, stroke, thinned
from bench.html.looks import Legend
from bench.html.markup import Markup
from bench.html.picture import Picture
from bench.html.svg import Point
from bench.html.table import Entry, Table
from bench.result import Result, Run

SCENARIOS = ("slow", "soak", "outage", "drain")  # elsewhere memory has a picture that says more
TIME, MEMORY = "t_s", "pss_kb"
KB_PER_MB = 1024.0
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
LEFT, TOP, HEIGHT = 74.0, 28.0, 270.0
Lines = Sequence[tuple[Run, list[Point]]]


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of a result of one of the scenarios above whose samples hold memory."""
    wanted = result.runs if result.scenario in SCENARIOS else []
    lines = [(run, points) for run in wanted if (points := _points(run))]
    if not lines:
        return None
    caption = (
        "Proportional set size (PSS) of the server's processes over the seconds of each run. It is not read while "
        f"latencies are measured. Of long runs the highest of every stretch is shown, {MOST_POINTS} at most."
    )
    return Picture(
        "Memory over time",
        caption,
        lambda width: _draw(lines, legend, width),
        _table(lines),
        rows_of(result, [run for run, _ in lines]),
    )


def _points(run: Run) -> list[Point]:
    """(seconds, MiB), where memory was read."""
    columns = list(run.samples["columns"]) if run.samples else []
    if run.samples is None or not {TIME, MEMORY} <= set(columns):
        return []
    seconds, memory = columns.index(TIME), columns.index(MEMORY)
    return [(row[seconds], row[memory] / KB_PER_MB) for row in run.samples["rows"] if row[memory] is not None]


def _table(lines: Lines) -> Table:
    """Memory along each run: at its quarters, and the most."""
    entries = [
        Entry(
            (
                run.row,
                str(run.pair),
                *(_said(points[round(part * (len(points) - 1))][1]) for part in QUARTERS),
                _said(max(memory for _, memory in points)),
            ),
            words.faults(run),
        )
        for run, points in lines
    ]
    head = (
        "row",
        "pair",
        "at the start",
        *(f"at {part:.0%}" for part in QUARTERS[1:-1]),
        "at the end",
        "most",
    )
    return Table(head, tuple(entries))


def _said(memory: float) -> str:
    return f"{memory:,.1f} MiB"


def _highest(stretch: Sequence[Point]) -> Point:
    """So that no peak is thinned away."""
    return max(stretch, key=lambda point: point[1])


def _draw(lines: Lines, legend: Legend, width: float) -> Markup:
    x = scale.from_zero([seconds for _, points in lines for seconds, _ in points], LEFT, width - 26)
    y = scale.from_zero([memory for _, points in lines for _, memory in points], HEIGHT - 44, TOP)
    parts = [svg.frame(svg.level(x, "s", "of the run"), svg.upright(y, "MiB", "PSS"))]
    for run, points in lines:
        drawn = [(x.at(seconds), y.at(memory)) for seconds, memory in thinned(points, _highest)]
        parts.append(svg.path(drawn, stroke(run, legend)))
        if run.valid:
            title = f"{run.row}, pair {run.pair}: {_said(points[-1][1])} at the end"
            parts.append(svg.mark(drawn[-1], legend[run.row], title))
    return svg.picture(width, HEIGHT, "Memory of the server over the seconds of each run", parts)
