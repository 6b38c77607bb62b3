"""Rows of text as columns of a terminal. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

NUMBER = r"[-+>]?\d|-$"


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """A header and its rows: numbers to the right, words to the left."""
    columns = list(zip(*rows, strict=True))
    set_ = [_set(column) for column in columns]
    return ["  ".join(cells).rstrip() for cells in zip(*set_, strict=True)]


def _set(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    numbers = all(re.match(NUMBER, text) for text in column[1:])
    return [text.rjust(width) if numbers else text.ljust(width) for text in column]
