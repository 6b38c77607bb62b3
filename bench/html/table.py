"""Tables: what a picture shows, in numbers. Runs that do not count are struck through, with the reason below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.html.markup import Markup, joined, tag

LONG = 10


class Entry(NamedTuple):
    """One row of a table; with a reason in `void` it is struck through."""

    cells: tuple[str, ...]
    void: str = ""


class Table(NamedTuple):
    """`words` are the columns, by number, that hold text; numbers stand to the right."""

    head: tuple[str, ...]
    entries: tuple[Entry, ...]
    words: frozenset[int] = frozenset({0})


def shown(table: Table, name: str) -> Markup:
    """The table, folded when it is long. It scrolls by itself where a phone is too narrow for it."""
    head = [tag("th", text, scope="col", class_=_kind(table, at)) for at, text in enumerate(table.head)]
    body = [_entry(table, entry) for entry in table.entries]
    whole = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))
    scrolling = tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=f"Table: {name}")
    if len(table.entries) <= LONG:
        return scrolling
    return tag("details", tag("summary", f"The numbers ({len(table.entries)} rows)"), scrolling)


def _entry(table: Table, entry: Entry) -> Markup:
    cells = [
        tag("td" if at else "th", _struck(text, entry), scope=None if at else "row", class_=_kind(table, at))
        for at, text in enumerate(entry.cells)
    ]
    if not entry.void:
        return tag("tr", *cells)
    # Below and not in a column of its own: a wide table scrolls, and what is last in it is not seen.
    reason = tag("td", f"left out: {entry.void}", colspan=len(entry.cells))
    return joined((tag("tr", *cells, class_="void"), tag("tr", reason, class_="reason")))


def _struck(text: str, entry: Entry) -> str:
    return tag("s", text) if entry.void else text


def _kind(table: Table, at: int) -> str | None:
    return "words" if at in table.words else None


def facts(pairs: Sequence[tuple[str, str]]) -> Markup:
    """Names and what they are, one under the other."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs))
