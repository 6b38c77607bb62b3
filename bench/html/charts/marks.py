"""What several pictures do alike: a run as a mark, and long series in fewer points. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.html import svg, words
from bench.html.looks import Legend
from bench.html.markup import Markup
from bench.html.svg import LINE, Point
from bench.result import Result, Run

WIDE_FROM, GUTTER, NARROW_LEFT = 500.0, 150.0, 26.0  # pixels
MOST_POINTS = 60  # of a series in a picture; the raw file has all


def marked(run: Run, at: Point, legend: Legend, title: str) -> Markup:
    """A run at its place; one that does not count is crossed out, with the reason."""
    if run.valid:
        return svg.mark(at, legend[run.row], title)
    return svg.crossed(at, f"{title}; {words.faults(run)}")


def stroke(run: Run, legend: Legend) -> str:
    """The classes of a line that belongs to one run."""
    return f"curve thin {legend[run.row].classes if run.valid else 'void'}"


def rows_of(result: Result, runs: Iterable[Run]) -> tuple[str, ...]:
    """The keys of the rows that have any of these runs, in the order of the result."""
    present = {run.row for run in runs}
    return tuple(key for key in result.keys if key in present)


def sayings(said: Sequence[tuple[str, str]], legend: Legend, width: float) -> list[Markup]:
    """A line for each (row, what is to be said of it), with the row's mark, at the top of a picture; LINE high each."""
    return [
        part
        for at, (row, words_) in enumerate(said)
        for part in (
            svg.mark((8, 10 + at * LINE), legend[row]),
            svg.text(20, 14 + at * LINE, svg.fitted(f"{row}: {words_}", width - 20), "label"),
        )
    ]


def thinned(points: Sequence[Point], choose: Callable[[Sequence[Point]], Point]) -> list[Point]:
    """At most MOST_POINTS of a series: of each stretch the point that `choose` takes."""
    size = max(1, -(-len(points) // MOST_POINTS))
    return [choose(points[start : start + size]) for start in range(0, len(points), size)]


def lanes(heights: Mapping[str, float], width: float) -> tuple[dict[str, tuple[float, float]], float, float]:
    """Lanes of these heights, one under the other: for each the baseline of its label and its first mark's place;
    then where the marks may begin from the left, and where all lanes end. On a phone labels stand above their lane."""
    beside = width >= WIDE_FROM
    tops, y = {}, 8.0
    for key, height in heights.items():
        tops[key] = (y + 14, y + (10 if beside else LINE + 10))
        y += height + 10 + (0 if beside else LINE)
    return tops, GUTTER if beside else NARROW_LEFT, y
