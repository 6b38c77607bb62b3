"""How a row looks in every picture: colour and shape tell the transport, filling and dashes the target. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bench.comparison import MAIN
from bench.result import Result, row_key

SHAPES = {"sse": "circle", "cable": "square", "cable+ext": "triangle", "cable+deflate": "diamond"}
FILLS = ("filled", "hollow", "pale", "dotted", "crossed")


class Look(NamedTuple):
    """`shape` of a mark; `classes` for the style sheet: colour and filling. Every class name is one of ours."""

    shape: str
    classes: str


PLAIN = Look("circle", "other filled")


class Legend(dict[str, Look]):
    """The look of each row's key. Rows that are not known look plain."""

    def __missing__(self, key: str) -> Look:
        return PLAIN


def legend(results: Iterable[Result]) -> Legend:
    """Looks for all rows of all results together, so that a row keeps its look across the page."""
    rows = [(row["target"], row["transport"]) for result in results for row in result.rows]
    targets = sorted({target for target, _ in rows}, key=lambda name: (name != MAIN, name != "floor", name))
    return Legend(
        {
            row_key(target, transport): _look(targets.index(target), transport)
            for target, transport in sorted(set(rows))
        }
    )


def _look(target: int, transport: str) -> Look:
    shape = SHAPES.get(transport, "circle")
    colour = transport.replace("+", "-") if transport in SHAPES else "other"
    return Look(shape, f"{colour} {FILLS[target % len(FILLS)]}")
