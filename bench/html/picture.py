"""A picture with all that belongs to it: what it shows, its legend, its numbers, its raw files and commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from bench.html import svg, table
from bench.html.looks import Legend
from bench.html.markup import Markup, joined, tag
from bench.html.table import Table
from bench.result import Result

WIDE, NARROW = 720.0, 340.0  # pixels
SIZES = ((WIDE, "wide"), (NARROW, "narrow"))  # the style sheet shows the one that fits
FEW = 2


class Picture(NamedTuple):
    """`draw` makes the drawing for a width, or `once` many small ones; `rows` are the keys that the legend explains."""

    title: str
    caption: str
    draw: Callable[[float], Markup]
    table: Table
    rows: tuple[str, ...] = ()
    once: bool = False


class Source(NamedTuple):
    """A result, and the name of its raw copy."""

    name: str
    result: Result


def shown(picture: Picture, legend: Legend, sources: Sequence[Source], heading: str = "h4") -> Markup:
    """The whole figure."""
    return tag(
        "figure",
        tag("figcaption", tag(heading, picture.title), tag("p", picture.caption), key(picture.rows, legend)),
        _drawn(picture),
        tag("div", table.shown(picture.table, picture.title), origins(sources), class_="numbers"),
        class_="many" if picture.once else None,
    )


def _drawn(picture: Picture) -> Markup:
    """Both drawings: text that is scaled down to a phone could not be read there."""
    if picture.once:
        return tag("div", picture.draw(NARROW), class_="grid")
    return joined((tag("div", picture.draw(size), class_=name) for size, name in SIZES))


def key(rows: Sequence[str], legend: Legend) -> Markup:
    """The legend: what the marks of these rows look like."""
    if not rows:
        return Markup("")
    return tag("ul", *(tag("li", svg.sample(legend[row]), row) for row in rows), class_="key")


def origins(sources: Sequence[Source]) -> Markup:
    """Where the numbers come from, folded when it is many files."""
    listed = joined(map(origin, sources))
    if len(sources) <= FEW:
        return listed
    return tag("details", tag("summary", f"The raw files and their commands ({len(sources)})"), listed)


def origin(source: Source) -> Markup:
    """Where the numbers come from and the command that makes them again."""
    link = tag("a", source.name, href=f"raw/{quote(source.name)}")
    return tag("p", link, " made by ", tag("code", shlex.join(source.result.command)), class_="origin")
