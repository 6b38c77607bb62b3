"""The verdict strip: for each figure a ratio and its interval, by magnitude, with a band around "no difference"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bench.comparison import Compared, Family, all_compared
from bench.html import scale, svg, words
from bench.html.charts.marks import WIDE_FROM
from bench.html.looks import Legend
from bench.html.markup import Markup, joined
from bench.html.picture import Picture
from bench.html.scale import Scale
from bench.html.svg import LINE
from bench.html.table import Entry, Table
from bench.result import Result

BAND = (0.95, 1.05)  # differences within are rarely worth a decision
LEAST = (0.8, 1.25)  # an axis narrower than this would make noise look like a finding
# Inputs, counts and the load's own figures: how they relate is no finding.
NOT_COMPARED = frozenset(
    {"offered_per_second", "delivered_per_second", "delivered_share", "server_share", "client_share", "lost"}
    | {"returned_share", "recovered_share", "goodbye_share", "lost_per_client", "exit_status", "fsync_p50_ms"}
    | {"pss_kb_per_minute", "p99_drift_ms_per_minute", "pings_per_delivery"}
)
GUTTER, MARGIN, VALUE = 250.0, 165.0, 150.0
MORE = " \N{UPWARDS ARROW}"


class Lane(NamedTuple):
    """One figure, with one mark for each comparison. Lanes of the same `group` stand under it as a heading."""

    title: str
    group: str
    found: tuple[Compared, ...]


def picture(result: Result, family: Family, legend: Legend) -> Picture | None:
    """All figures of one result."""
    found = [lane(one) for one in all_compared(result, family) if one[0].figure.name not in NOT_COMPARED]
    return of(family.title, family.against, found, legend) if found else None


def lane(found: Sequence[Compared], group: str = "") -> Lane:
    """A lane of one figure; an arrow says that more of it is better."""
    figure = found[0].figure
    return Lane(f"{figure.title}{MORE if figure.better == 'higher' else ''}", group, tuple(found))


def of(title: str, against: str, lanes: Sequence[Lane], legend: Legend) -> Picture:
    """A strip of any lanes."""
    caption = (
        f"How many times the value of {against}, with the 95 % interval over pairs of runs. Hollow and grey: no "
        "difference detected, or a single pair, which gives no interval. The grey band is 5 % either way. Less is "
        "better; an arrow marks figures of which more is."
    )
    rows = tuple(dict.fromkeys(one.comparison.ours for lane in lanes for one in lane.found))
    return Picture(
        title, caption, lambda width: _draw(title, against, lanes, legend, width), _table(lanes), rows
    )


def _table(lanes: Sequence[Lane]) -> Table:
    groups = any(lane.group for lane in lanes)
    head = ("figure", "of", "ratio", "95 % interval (t)", "bootstrap-t", "pairs", "pairs left out", "remark")
    entries = [
        Entry((lane.title, *_cells(one), *((lane.group,) if groups else ())))
        for lane in lanes
        for one in lane.found
    ]
    return Table((*head, "result") if groups else head, tuple(entries), frozenset({0, 1, 7, 8}))


def _cells(found: Compared) -> tuple[str, ...]:
    return (
        f"{found.comparison.ours} / {found.comparison.theirs}",
        words.ratio(found.ratio.value) if found.ratio else words.DASH,
        words.interval(found.ratio),
        words.interval(found.bootstrap),
        str(found.ratio.pairs) if found.ratio else "0",
        str(found.left_out),
        found.why or _finding(found),
    )


def _finding(found: Compared) -> str:
    if found.ratio is None or found.ratio.differs is None:
        return "not settled: run more pairs"
    if not found.ratio.differs:
        return "no difference detected"
    less = found.ratio.value < 1
    return "better" if less == (found.figure.better == "lower") else "worse"


def _draw(title: str, against: str, lanes: Sequence[Lane], legend: Legend, width: float) -> Markup:
    wide = width >= WIDE_FROM
    left, right = (GUTTER, width - MARGIN) if wide else (30.0, width - 30.0)
    axis = _axis(lanes, left, right)
    parts, bottom = _lanes(lanes, legend, axis, wide, width)
    ticks = axis.ticks(lambda value: f"{scale.plain(value)} {words.TIMES}", svg.room, through=1.0)
    band = svg.Box(axis.at(BAND[0]), LINE, axis.at(BAND[1]) - axis.at(BAND[0]), bottom - LINE)
    ground = (
        svg.rectangle(band, "band"),
        svg.verticals(axis, ticks, LINE, bottom),
        svg.line((axis.at(1), LINE), (axis.at(1), bottom), "unity"),
    )
    return svg.picture(
        width,
        bottom + LINE + 8,
        title,
        (*_ends(axis, svg.fitted(against, GUTTER / 2), wide, width), *ground, *parts),
    )


def _axis(lanes: Sequence[Lane], left: float, right: float) -> Scale:
    ratios = [one.ratio for lane in lanes for one in lane.found if one.ratio]
    values = [value for ratio in ratios for value in (ratio.value, ratio.low, ratio.high) if value]
    low, high = min(*values, LEAST[0] * 1.05, LEAST[0] * 1.05), max(*values, LEAST[1] / 1.05, LEAST[1] / 1.05)
    return Scale(low / 1.05, high * 1.05, left, right, log=True)


def _ends(axis: Scale, against: str, wide: bool, width: float) -> Iterator[Markup]:
    """What the two directions mean; on a phone there is room for one word each."""
    less, more = (f"less than {against}", f"more than {against}") if wide else ("less", "more")
    less, more = f"\N{LEFTWARDS ARROW} {less}", f"{more} \N{RIGHTWARDS ARROW}"
    right = min(axis.at(1) + 8, width - svg.room(more))
    left = max(min(axis.at(1) - 8, right - 16), svg.room(less))
    yield svg.text(left, 12, less, "note", "end")
    yield svg.text(max(right, left + 16), 12, more, "note", "start")


def _lanes(
    lanes: Sequence[Lane], legend: Legend, axis: Scale, wide: bool, width: float
) -> tuple[list[Markup], float]:
    """The marks of all lanes and where they end."""
    parts: list[Markup] = []
    y, group = LINE + 6, ""
    for lane in lanes:
        if lane.group != group:
            group, y = lane.group, y + LINE + 10
            parts.append(svg.text(0, y - 7, svg.fitted(group, width), "group"))
        parts.append(svg.text(0, y + 14, svg.fitted(lane.title, GUTTER if wide else width - VALUE), "label"))
        places, y = (_beside if wide else _below)(lane, y)
        for one, (value, at) in zip(lane.found, places, strict=True):
            parts += _marked(one, legend, axis, at, (width, value))
    return parts, y


Places = tuple[
    list[tuple[float, float]], float
]  # baseline of the value and place of the mark; where the lane ends


def _beside(lane: Lane, y: float) -> Places:
    """Marks to the right of the lane's title."""
    places = [(y + 14 + at * 22, y + 10 + at * 22) for at in range(len(lane.found))]
    return places, y + 6 + 22 * len(lane.found)


def _below(lane: Lane, y: float) -> Places:
    """Marks under the title, each value over its mark: a phone has no room beside."""
    steps = [y + LINE + at * 2 * LINE for at in range(len(lane.found))]
    return [(step - 4, step + 9) for step in steps], steps[-1] + LINE + 8


def _marked(
    found: Compared, legend: Legend, axis: Scale, y: float, note: tuple[float, float]
) -> Iterable[Markup]:
    """A mark, its interval, and its value in the margin."""
    yield svg.text(*note, words.short(found), "value", "end")
    if found.ratio is None:
        return
    ratio, look = found.ratio, legend[found.comparison.ours]
    title = f"{found.figure.title}, {found.comparison.ours} / {found.comparison.theirs}: {words.short(found)}"
    if ratio.low is not None and ratio.high is not None:
        classes = look.classes if ratio.differs else "other"
        yield _whisker(axis.at(ratio.low), axis.at(ratio.high), y, classes)
    yield svg.mark((axis.at(ratio.value), y), look, title, "" if ratio.differs else "undecided")


def _whisker(low: float, high: float, y: float, classes: str) -> Markup:
    return joined(
        (
            svg.line((low, y), (high, y), f"whisker {classes}"),
            svg.line((low, y - 4), (low, y + 4), f"whisker {classes}"),
            svg.line((high, y - 4), (high, y + 4), f"whisker {classes}"),
        )
    )
