"""The CPU bill: what a delivery costs, split into user, system and soft interrupts, with every run's total on top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.figures import FIGURES, MICROSECONDS
from bench.html import scale, svg, words
from bench.html.charts.marks import GUTTER, WIDE_FROM, marked
from bench.html.looks import Legend
from bench.html.markup import Markup, joined
from bench.html.picture import Picture
from bench.html.scale import Scale
from bench.html.svg import LINE, TEXT, Box
from bench.html.table import Entry, Table
from bench.result import Result, Run
from bench.statistics import stats

TOTAL, USER, SYSTEM, SOFTIRQ = "us_per_delivery", "user_us", "system_us", "softirq_us"
PARTS = (USER, SYSTEM, SOFTIRQ)
WORDS = {USER: "user", SYSTEM: "system", SOFTIRQ: "soft interrupts"}
BAR, MARGIN, LEFT = 18.0, 84.0, 26.0
COST = FIGURES[TOTAL]


class Bill(NamedTuple):
    """One row: the mean of each part over the runs that count (none when no run does), and all its runs."""

    row: str
    parts: dict[str, float]
    runs: list[Run]

    @property
    def totals(self) -> list[float]:
        """User and system together, of the runs that count."""
        return [run.figures[TOTAL] for run in self.runs if run.valid]


def picture(result: Result, legend: Legend) -> Picture | None:
    """Of a result that has the split; `interrupts_apart` decides whether soft interrupts come on top."""
    bills = [bill for row in result.keys if (bill := _bill(result, row)).runs]
    if not bills:
        return None
    apart = result.environment.get("interrupts_apart")
    return Picture(
        "The CPU bill of a delivery",
        f"{_explained(apart)} The bars are means over the runs that count, the marks are single runs.",
        lambda width: _draw(bills, bool(apart), legend, width),
        _table(bills),
        tuple(bill.row for bill in bills),
    )


def _explained(apart: bool | None) -> str:
    if apart:
        return "Server CPU per delivery; soft interrupts of its core are charged apart on this kernel and come on top."
    known = "are" if apart is False else "may be"
    return (
        f"Server CPU per delivery. On this kernel soft interrupts {known} charged to the process that they interrupt, "
        "so they are shown as a thin bar below and not on top."
    )


def _bill(result: Result, row: str) -> Bill:
    runs = [run for run in result.of(row) if run.point is None and {TOTAL, USER} <= run.figures.keys()]
    clean = [run for run in runs if run.valid]
    known = [name for name in PARTS if all(name in run.figures for run in clean)] if clean else []
    return Bill(row, {name: stats.mean([run.figures[name] for run in clean]) for name in known}, runs)


def _table(bills: Sequence[Bill]) -> Table:
    head = ("row", *WORDS.values(), "user + system, mean", "least and most", "runs", "runs left out")
    return Table(head, tuple(_entry(bill) for bill in bills))


def _entry(bill: Bill) -> Entry:
    cells = (
        bill.row,
        *(COST.text(bill.parts[name]) if name in bill.parts else words.DASH for name in PARTS),
        _price(bill),
        words.spread(COST, bill.totals),
        str(len(bill.totals)),
        str(len(bill.runs) - len(bill.totals)),
    )
    return Entry(cells, "" if bill.totals else words.faults(bill.runs[0]))


def _price(bill: Bill) -> str:
    return COST.text(stats.mean(bill.totals)) if bill.totals else "no run counts"


def _draw(bills: Sequence[Bill], apart: bool, legend: Legend, width: float) -> Markup:
    wide = width >= WIDE_FROM
    left, lane = (GUTTER, 48.0) if wide else (LEFT, 48.0 + LINE)
    top, bottom = LINE + 12, LINE + 12 + lane * len(bills)
    ends = [sum(bill.parts.values()) for bill in bills] + [
        run.figures[TOTAL] for b in bills for run in b.runs
    ]
    x = scale.from_zero(ends, left, width - (MARGIN if wide else LEFT))
    parts = [
        *_key(left),
        svg.verticals(x, x.ticks(scale.with_unit(MICROSECONDS), svg.room), top, bottom),
    ]
    for at, bill in enumerate(bills):
        y = top + at * lane
        parts.append(
            svg.text(0, y + 14 + 8 * wide, svg.fitted(bill.row, GUTTER if wide else width / 2), "label")
        )
        parts.append(svg.text(width, y + 14 + 8 * wide, _price(bill), "value", "end"))
        parts += _bar(bill, apart, legend, x, y + (8 if wide else 8 + LINE))
    return svg.picture(width, bottom + LINE + 6, "CPU per delivery by row, split into its parts", parts)


def _key(left: float) -> Iterator[Markup]:
    at = left
    for name, word in WORDS.items():
        yield _segment(Box(at, 4, 14, 12), name)
        yield svg.text(at + 20, 15, word, "note")
        at += 34 + len(word) * TEXT * 0.6


def _bar(bill: Bill, apart: bool, legend: Legend, x: Scale, y: float) -> Iterator[Markup]:
    at = 0.0
    for name, value in bill.parts.items():
        title = f"{bill.row}, {WORDS[name]}: {COST.text(value)}"
        if name == SOFTIRQ and not apart:
            yield _segment(Box(x.at(0), y + BAR + 3, x.at(value) - x.at(0), 6), name, title)
        else:
            yield _segment(Box(x.at(at), y, x.at(at + value) - x.at(at), BAR), name, title)
            at += value
    for run in bill.runs:
        value = run.figures[TOTAL]
        title = f"{run.row}, pair {run.pair}: {COST.text(value)}"
        yield marked(run, (x.at(value), y + BAR / 2), legend, title)


def _segment(box: Box, name: str, title: str = "") -> Markup:
    """A part of a bar. System is striped, so that the parts differ without colour too."""
    stripes = range(int(box.x) + 3, int(box.x + box.width), 5) if name == SYSTEM else ()
    return joined(
        (
            svg.rectangle(box, f"part {name.removesuffix('_us')}", title),
            *(svg.line((at, box.y), (at, box.y + box.height), "stripe") for at in stripes),
        )
    )
