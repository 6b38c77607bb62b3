"""The few shapes that the pictures are made of, as inline SVG. Colours and strokes are the style sheet's. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.html.looks import Look
from bench.html.markup import Markup, coordinate, joined, tag
from bench.html.scale import Scale, Tick, with_unit

TEXT = 13.0  # pixels; at 360 px of window a picture is shown at nine tenths
LINE = 18.0
RADIUS = 4.5
Point = tuple[float, float]


class Box(NamedTuple):
    """A place of an upright rectangle: its left upper corner and its size."""

    x: float
    y: float
    width: float
    height: float


class Axis(NamedTuple):
    """A scale, its ticks, and what it measures, in words."""

    scale: Scale
    ticks: Sequence[Tick]
    title: str


def upright(scale: Scale, unit: str, title: str) -> Axis:
    """A vertical axis of that unit."""
    return Axis(scale, scale.ticks(with_unit(unit), lambda _: TEXT), title)


def level(scale: Scale, unit: str, title: str) -> Axis:
    """A horizontal axis of that unit."""
    return Axis(scale, scale.ticks(with_unit(unit), room), title)


def picture(width: float, height: float, label: str, parts: Iterable[str]) -> Markup:
    """A drawing that scales with its column. `label` is what a screen reader says instead."""
    box = f"0 0 {coordinate(width)} {coordinate(height)}"
    return tag("svg", *parts, viewBox=box, role="img", aria_label=label)


def room(text: str) -> float:
    """About how wide a text is, rather too much: fonts differ from machine to machine."""
    return len(text) * TEXT * 0.62


def fitted(text: str, width: float) -> str:
    """`text`, shortened when it is wider than `width`."""
    most = max(2, int(width / room("x")))
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def text(x: float, y: float, content: str, class_: str = "note", anchor: str | None = None) -> Markup:
    """Text on the baseline `y`; `anchor` as in SVG: start, middle, end."""
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(start: Point, end: Point, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def path(points: Sequence[Point], class_: str) -> Markup:
    """Straight lines from point to point."""
    written = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
    return tag("polyline", points=written, class_=class_)


def rectangle(box: Box, class_: str, title: str = "") -> Markup:
    """An upright rectangle; `title` is shown under a resting pointer."""
    return tag("rect", *_titled(title), **box._asdict(), class_=class_)


def mark(at: Point, look: Look, title: str = "", more: str = "") -> Markup:
    """One measured thing."""
    x, y = at
    inner = _inner(x, y, look)
    outline = tag("path", d=_outline(look.shape, x, y), class_="outline")
    return tag("g", *_titled(title), outline, *inner, class_=f"mark {look.classes} {more}".rstrip())


def crossed(at: Point, title: str) -> Markup:
    """A thing that does not count: void or lossy, crossed out, with the reason in its title."""
    x, y = at
    strokes = f"M{_xy(x - 4, y - 4)}L{_xy(x + 4, y + 4)}M{_xy(x - 4, y + 4)}L{_xy(x + 4, y - 4)}"
    return tag("g", *_titled(title), tag("path", d=strokes, class_="outline"), class_="mark void")


def ring(at: Point, title: str) -> Markup:
    """A circle around something that matters."""
    return tag("g", *_titled(title), tag("circle", cx=at[0], cy=at[1], r=2.2 * RADIUS, class_="ring"))


def frame(x: Axis, y: Axis) -> Markup:
    """Two axes with their ticks, lines across the picture, and what they measure."""
    (across, x_ticks, x_title), (up, y_ticks, y_title) = x, y
    bottom = up.start
    return joined(
        (
            verticals(across, x_ticks, up.end, bottom),
            *(line((across.start, tick.at), (across.end, tick.at), "grid") for tick in y_ticks),
            *(text(across.start - 8, tick.at + 4, tick.text, "tick", "end") for tick in y_ticks),
            line((across.start, up.start), (across.start, up.end), "axis"),
            text(across.end, bottom + 2 * LINE + 1, x_title, "note", "end"),
            text(0, up.end - 10, y_title, "note", "start"),
        )
    )


def verticals(scale: Scale, ticks: Sequence[Tick], top: float, bottom: float) -> Markup:
    """A horizontal axis with its ticks, and lines up through the picture."""
    return joined(
        (
            *(line((tick.at, top), (tick.at, bottom), "grid") for tick in ticks),
            *(text(tick.at, bottom + LINE + 1, tick.text, "tick", "middle") for tick in ticks),
            line((scale.start, bottom), (scale.end, bottom), "axis"),
        )
    )


def sample(look: Look) -> Markup:
    """A mark by itself, for a legend in the text."""
    return tag("svg", mark((8, 8), look), viewBox="0 0 16 16", class_="sample", aria_hidden="true")


def _titled(title: str) -> tuple[Markup, ...]:
    return (tag("title", title),) if title else ()


def _xy(x: float, y: float) -> str:
    return f"{coordinate(x)} {coordinate(y)}"


def _outline(shape: str, x: float, y: float) -> str:
    if shape == "circle":
        round_ = f"a{RADIUS} {RADIUS} 0 1 0"
        return f"M{_xy(x - RADIUS, y)}{round_} {_xy(2 * RADIUS, 0)}{round_} {_xy(-2 * RADIUS, 0)}Z"
    corners, turn, size = {
        "square": (4, math.pi / 4, 1.3),
        "diamond": (4, 0.0, 1.4),
        "triangle": (3, -math.pi / 2, 1.4),
    }[shape]
    angles = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
    reach = RADIUS * size
    return "M" + "L".join(_xy(x + reach * math.cos(a), y + reach * math.sin(a)) for a in angles) + "Z"


def _inner(x: float, y: float, look: Look) -> tuple[Markup, ...]:
    if look.classes.endswith("dotted"):
        return (tag("circle", cx=x, cy=y, r=1.5, class_="core"),)
    if look.classes.endswith("crossed"):
        return (line((x - 3, y), (x + 3, y), "core-line"), line((x, y - 3), (x, y + 3), "core-line"))
    return ()
