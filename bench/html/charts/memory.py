"""Memory over connections: every point of every run, and the slope, which is what a connection costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.figures import number
from bench.html import scale, svg, words
from bench.html.charts.marks import WIDE_FROM, marked, sayings
from bench.html.looks import Legend
from bench.html.markup import Markup
from bench.html.picture import Picture
from bench.html.scale import Scale
from bench.html.svg import LINE
from bench.html.table import Entry, Table
from bench.result import Result, Run
from bench.statistics import stats
from bench.statistics.stats import Line

KB_PER_MB = 1024.0
LEFT, TOP, HEIGHT = 74.0, 28.0, 330.0
LEAST_POINTS = 3  # two points, as a fan-out run has them, are a figure and no picture


class Slope(NamedTuple):
    """What a connection of a row costs, KiB; the line of its picture, and where the interval comes from."""

    row: str
    line: Line
    origin: str

    @property
    def short(self) -> str:
        """In so few words that a phone has room."""
        found = f"{number(self.line.slope)} KiB each"
        if self.line.low is None or self.line.high is None:
            return found
        return f"{found} ({number(self.line.low)}{words.DASH}{number(self.line.high)})"

    @property
    def text(self) -> str:
        """ "1.5 KiB per connection (95 % interval 1.4-1.6)"."""
        found = f"{number(self.line.slope)} KiB per connection"
        if self.line.low is None or self.line.high is None:
            return f"{found} (no interval)"
        return f"{found} (95 % interval {number(self.line.low)}{words.DASH}{number(self.line.high)})"


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of a result whose runs were weighed at several numbers of connections."""
    runs = [run for run in result.runs if len(points(run)) >= LEAST_POINTS]
    if not runs:
        return None
    slopes = [slope(row, [run for run in runs if run.row == row]) for row in result.keys]
    known = [found for found in slopes if found is not None]
    caption = (
        "Proportional set size (PSS) of the server's processes, every run. The slope of a line is the cost of a "
        "connection, its height at the left is what the server needs for itself."
    )
    return Picture(
        "Memory over connections",
        caption,
        lambda width: _draw(runs, known, legend, width),
        _table(runs),
    )


def points(run: Run) -> list[tuple[float, float]]:
    """(connections, PSS in KiB) of one run."""
    return [(float(weight[0]), float(weight[1])) for weight in run.facts.get("memory", ())]


def slope(row: str, runs: Sequence[Run]) -> Slope | None:
    """The mean slope with an interval over runs; of one run its own line. None when no run counts."""
    lines = [fit(run) for run in runs if run.valid]
    if not lines:
        return None
    if len(lines) == 1:
        return Slope(row, lines[0], "from the points of one run")
    slopes = [line.slope for line in lines]
    low, high = stats.bounds(slopes)
    whole = Line(stats.mean(slopes), stats.mean([line.intercept for line in lines]), low, high)
    return Slope(row, whole, f"mean of {len(lines)} runs")


def fit(run: Run) -> Line:
    """The line that the run itself was given; it may leave out the first few connections."""
    kept = run.facts.get("fit")
    if kept is None:
        return stats.line(points(run))
    return Line(kept["slope"], kept["intercept"], kept.get("low"), kept.get("high"))


def _table(runs: Sequence[Run]) -> Table:
    entries = [
        Entry(
            (run.row, str(run.pair), f"{count:,.0f}", f"{kb / KB_PER_MB:,.1f} MiB", number(fit(run).slope)),
            words.faults(run),
        )
        for run in runs
        for count, kb in points(run)
    ]
    return Table(("row", "pair", "connections", "PSS", "run's slope, KiB"), tuple(entries))


def _draw(runs: Sequence[Run], slopes: Sequence[Slope], legend: Legend, width: float) -> Markup:
    every = [point for run in runs for point in points(run)]
    top, bottom = TOP + 8 + LINE * len(slopes), HEIGHT + 8 + LINE * len(slopes)
    x = scale.from_zero([count for count, _ in every], LEFT, width - 26)
    y = scale.from_zero([kb / KB_PER_MB for _, kb in every], bottom - 44, top)
    parts = sayings([(found.row, _saying(found, width)) for found in slopes], legend, width)
    parts.append(svg.frame(svg.level(x, "", "connections"), svg.upright(y, "MiB", "PSS")))
    most = max(count for count, _ in every)
    for found in slopes:
        ends = [(at, found.line.intercept + found.line.slope * at) for at in (0.0, most)]
        drawn = [(x.at(at), y.at(max(0.0, kb / KB_PER_MB))) for at, kb in ends]
        parts.append(svg.path(drawn, f"curve {legend[found.row].classes}"))
    for run in runs:
        parts += _marks(run, legend, x, y)
    return svg.picture(width, bottom, "Memory over connections with the fitted slopes", parts)


def _saying(found: Slope, width: float) -> str:
    return f"{found.text}, {found.origin}" if width >= WIDE_FROM else found.short


def _marks(run: Run, legend: Legend, x: Scale, y: Scale) -> Iterator[Markup]:
    for count, kb in points(run):
        title = f"{run.row}, pair {run.pair}: {kb / KB_PER_MB:,.1f} MiB with {count:,.0f} connections"
        yield marked(run, (x.at(count), y.at(kb / KB_PER_MB)), legend, title)
