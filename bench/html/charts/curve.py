"""The reconnect curve: which share of the clients is back how many seconds after the drop."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import number, percent
from bench.html import scale, svg, words
from bench.html.charts.marks import rows_of, stroke, thinned
from bench.html.looks import Legend
from bench.html.markup import Markup
from bench.html.picture import Picture
from bench.html.svg import Point
from bench.html.table import Entry, Table
from bench.result import Result, Run

SHARES = (0.1, 0.5, 0.9, 0.99, 1.0)
LEFT, TOP, HEIGHT = 74.0, 28.0, 300.0
Curves = Sequence[tuple[Run, list[Point]]]


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of a result whose runs hold a curve."""
    curves = [(run, points) for run in result.runs if (points := _points(run))]
    if not curves:
        return None
    caption = (
        "Share of all clients that were connected and caught up again, in seconds since all were dropped at once. Each "
        "line is a run; it ends at its last return. A line that does not reach 100 % lost clients for good."
    )
    return Picture(
        "Who is back, and when",
        caption,
        lambda width: _draw(curves, legend, width),
        _table(curves),
        rows_of(result, [run for run, _ in curves]),
    )


def _points(run: Run) -> list[Point]:
    return [(float(seconds), float(share)) for seconds, share in run.facts.get("curve", ())]


def _table(curves: Curves) -> Table:
    """When each share was back, run by run."""
    entries = [
        Entry(
            (
                run.row,
                str(run.pair),
                *(_when(points, share) for share in SHARES),
                percent(points[-1][1], 4),
            ),
            words.faults(run),
        )
        for run, points in curves
    ]
    return Table(
        ("row", "pair", *(f"{percent(share)} back" for share in SHARES), "back at last"), tuple(entries)
    )


def _when(points: Sequence[Point], share: float) -> str:
    found = next((seconds for seconds, back in points if back >= share), None)
    return "never" if found is None else f"{number(found)} s"


def _draw(curves: Curves, legend: Legend, width: float) -> Markup:
    x = scale.from_zero([seconds for _, points in curves for seconds, _ in points], LEFT, width - 26)
    y = scale.from_zero([1.0], HEIGHT - 44, TOP)
    parts = [svg.frame(svg.level(x, "s", "since the drop"), svg.upright(y, "%", "clients back"))]
    for run, points in curves:
        drawn = [
            (x.at(seconds), y.at(share))
            for seconds, share in _steps(thinned(points, lambda stretch: stretch[-1]))
        ]
        parts.append(svg.path(drawn, stroke(run, legend)))
        if run.valid:
            title = f"{run.row}, pair {run.pair}: {percent(points[-1][1], 4)} after {number(points[-1][0])} s"
            parts.append(svg.mark(drawn[-1], legend[run.row], title))
    return svg.picture(width, HEIGHT, "Share of the clients that are back over the seconds", parts)


def _steps(points: Sequence[Point]) -> list[Point]:
    """A share holds until the next client is back."""
    found, share = [(0.0, 0.0)], 0.0
    for seconds, after in points:
        found += [(seconds, share), (seconds, after)]
        share = after
    return found
