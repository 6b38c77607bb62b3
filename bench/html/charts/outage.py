"""An outage over time: how late updates were before a service was killed, while it was away and after its return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from bench.figures import FIGURES
from bench.html import scale, svg, words
from bench.html.charts.marks import marked, rows_of, stroke
from bench.html.looks import Legend
from bench.html.markup import Markup
from bench.html.picture import Picture
from bench.html.svg import Box, Point
from bench.html.table import Entry, Table
from bench.result import Result, Run

READY = 200
NS = 1e9
LEFT, TOP, HEIGHT, LANE = 74.0, 28.0, 300.0, 20.0
WINDOWS = ("before", "away", "after")
POINTS = ("p50", "max")
BOOKS = {"lost": "lost", "doubled": "doubled", "disordered": "out of order"}
COUNTED = ("came back", *BOOKS.values())  # what is counted and not timed


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of a result whose runs hold a timeline."""
    runs = [run for run in result.runs if "timeline" in run.facts]
    if not runs:
        return None
    service = str(result.plan.get("service", "the service")).capitalize()
    caption = (
        "Latency of the updates that should have been sent in each tenth of a second: the worst of all deliveries, and "
        "dashed their median. Seconds count from the kill; in the shaded time the service was away. Below, what the "
        "server answered to whoever asked whether it is ready: 200, but for the stretches that have another status."
    )
    return Picture(
        "The outage, tenth by tenth of a second",
        caption,
        lambda width: _draw(runs, service, legend, width),
        table(result),
        rows_of(result, runs),
    )


def table(result: Result) -> Table:
    """Latency in each of the three times, readiness, and the books."""
    runs = [run for key in result.keys for run in result.of(key) if "timeline" in run.facts]
    entries = [Entry((run.row, str(run.pair), *_cells(run)), words.faults(run)) for run in runs]
    head = ("row", "pair", *(f"{window} {point}" for window in WINDOWS for point in POINTS))
    return Table((*head, "not ready for", *COUNTED), tuple(entries))


def _cells(run: Run) -> Iterator[str]:
    names = [f"{window}_{point}_ms" for window in WINDOWS for point in POINTS]
    for name in (*names, "unready_seconds", "reconnects"):
        yield FIGURES[name].text(run.figures[name]) if name in run.figures else words.DASH
    for name in BOOKS:
        yield str(run.account[name]) if run.account is not None else words.DASH


def _points(run: Run, column: str) -> list[Point]:
    columns = run.facts["timeline"]["columns"]
    seconds, wanted = columns.index("t_s"), columns.index(column)
    return [(row[seconds], row[wanted]) for row in run.facts["timeline"]["rows"]]


def _away(run: Run) -> float:
    return float((run.facts["did"]["back_ns"] - run.facts["did"]["killed_ns"]) / NS)


def _draw(runs: Sequence[Run], service: str, legend: Legend, width: float) -> Markup:
    worst = [_points(run, "max_ms") for run in runs]
    x = scale.from_zero([seconds for points in worst for seconds, _ in points], LEFT, width - 26)
    y = scale.from_zero([late for points in worst for _, late in points], HEIGHT - 44, TOP)
    band = Box(x.at(0), TOP, x.at(max(map(_away, runs))) - x.at(0), HEIGHT - 44 - TOP)
    parts = [
        svg.rectangle(band, "band", f"{service} is away"),
        svg.frame(svg.level(x, "s", "since the kill"), svg.upright(y, "ms", "latency, worst and median")),
    ]
    for run, points in zip(runs, worst, strict=True):
        for drawn, dashes in ((points, ""), (_points(run, "p50_ms"), " pale")):
            places = [(x.at(seconds), y.at(late)) for seconds, late in drawn]
            parts.append(svg.path(places, stroke(run, legend) + dashes))
    parts.append(svg.text(band.x + 6, TOP + 14, f"{service} is away", "label"))
    for lane, run in enumerate(runs):
        parts += _readiness(run, legend, x, HEIGHT + lane * LANE)
    label = "Latency over the seconds of an outage, and what the server said of its readiness"
    return svg.picture(width, HEIGHT + len(runs) * LANE, label, parts)


def _readiness(run: Run, legend: Legend, x: scale.Scale, top: float) -> Iterator[Markup]:
    yield marked(run, (8, top + 8), legend, f"{run.row}, pair {run.pair}")
    yield svg.text(20, top + 13, "ready?", "label")
    for begin, end, status in _stretches(run.facts["ready"]["rows"]):
        left, right = max(x.at(begin), x.start), min(x.at(end), x.end)
        if right > left:
            said = f"{run.row}: {status or 'no answer'} from {begin:.1f} s on"
            class_ = "band" if status == READY else "part system"
            yield svg.rectangle(Box(left, top + 1, right - left, 15), class_, said)
            if status != READY and right - left > svg.room(str(status)):
                yield svg.text((left + right) / 2, top + 13, str(status or "?"), "label", "middle")


def _stretches(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[float, float, int]]:
    """(from, to, status) of answers in a row that are alike."""
    begin = rows[0][0] if rows else 0.0
    for (_, status), (after, next_status) in pairwise(rows):
        if status != next_status:
            yield begin, after, status
            begin = after
    if rows:
        yield begin, rows[-1][0], rows[-1][1]
