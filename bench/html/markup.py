"""HTML and SVG as text: whatever is not markup already is escaped, so no label can inject any. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# What XML 1.0 (section 2.2) and UTF-8 cannot carry, and what turns the direction of the text behind it: JSON can bring
# all of it in.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
_EMPTY = frozenset({"meta", "link", "br"})
_BLOCKS = frozenset(
    {"article", "details", "dl", "figure", "head", "header", "li", "link", "main", "meta", "nav"}
)
_BLOCKS |= {"p", "section", "svg", "table", "thead", "tbody", "tr", "ul", "h1", "h2", "h3", "h4"}


class Markup(str):
    """Text that is markup: it is not escaped again."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """`text` as markup, safe between tags and in double quotes."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)))


def joined(parts: Iterable[str]) -> Markup:
    """Several pieces one after the other."""
    return Markup("".join(map(escaped, parts)))


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """An element. `class_` stands for class, `aria_label` for aria-label; attributes that are None are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "\n" if name in _BLOCKS else ""
    if name in _EMPTY:
        return Markup(f"<{name}{written} />{end}")
    return Markup(f"<{name}{written}>{joined(children)}</{name}>{end}")


def _value(value: str | float) -> Markup:
    return escaped(value if isinstance(value, str) else coordinate(value))


def coordinate(value: float) -> str:
    """A number of a drawing: a tenth of a pixel is enough, and the same on every machine."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
