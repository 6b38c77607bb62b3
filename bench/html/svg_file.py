"""A picture as an SVG file that stands alone: on a ground of its own, for light and for dark, with its legend. Pure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.html import svg
from bench.html.looks import Legend
from bench.html.markup import Markup, tag
from bench.html.picture import Picture
from bench.html.svg import LINE, Box

STYLE = Path(__file__).with_name("drawing.css")
# A page may be light while the system is dark: marks stand on a ground that changes with them, never on the page's.
GROUND = ".ground { fill: var(--paper); stroke: var(--line); stroke-width: 1; }"
SPACE, BETWEEN = 14.0, 34.0  # pixels: around the drawing, and between the entries of a legend


def render(picture: Picture, width: float, legend: Legend) -> str:
    """The file's text. A document shows it as an image, where the page's styles do not reach."""
    drawing = ET.fromstring(picture.draw(width))
    _, _, across, down = map(float, (drawing.get("viewBox") or "").split())
    label = drawing.attrib.pop("aria-label")
    key, top = _key(picture.rows, legend, across)
    for name, value in {"x": SPACE, "y": SPACE + top, "width": across, "height": down}.items():
        drawing.set(name, f"{value:g}")
    del drawing.attrib["role"]
    return _whole(across + 2 * SPACE, down + top + 2 * SPACE, label, [*key, Markup(_written(drawing))])


def _whole(width: float, height: float, label: str, parts: Sequence[Markup]) -> str:
    style = tag("style", Markup(f"\n{STYLE.read_text(encoding='utf-8')}{GROUND}\n"))
    ground = tag("rect", **Box(0.5, 0.5, width - 1, height - 1)._asdict(), rx=8, class_="ground")
    return tag(
        "svg",
        *(tag("title", label), style, ground, *parts),
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
    )


def _written(drawing: ET.Element) -> str:
    """Its text, a shape a line, so that a change of one number is a change of one line."""
    text = ET.tostring(drawing, encoding="unicode")
    return re.sub(r"(?<=>)(?=<(?:g|line|polyline|rect|text)\b)", "\n", text)


def _key(rows: Sequence[str], legend: Legend, width: float) -> tuple[list[Markup], float]:
    """The legend in as many lines as it needs, and how high it is."""
    if not rows:
        return [], 0.0
    places = list(_places(rows, width))
    parts = [
        part
        for row, (x, y) in zip(rows, places, strict=True)
        for part in (svg.mark((x + 8, y), legend[row]), svg.text(x + 20, y + 4, row, "label"))
    ]
    return parts, places[-1][1] + LINE - SPACE


def _places(rows: Sequence[str], width: float) -> Iterator[tuple[float, float]]:
    x, y = SPACE, SPACE + 8
    for row in rows:
        room = 20 + svg.room(row)
        if x > SPACE and x + room > width + SPACE:
            x, y = SPACE, y + LINE
        yield x, y
        x += room + BETWEEN - 20
