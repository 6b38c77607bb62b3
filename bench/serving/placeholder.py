"""The places in a target's words that are filled in when it starts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# What is filled in at a start; `{python}` and `{here}` are known before, from the file.
PLACES = (
    *("port", "directory", "kind", "redis_url", "redis_port", "postgres_url", "postgres_port"),
    *("binary", "python", "here"),
)
_PLACE = re.compile(r"\{([a-z_]+)\}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `{name}` that `values` knows replaced; other braces, those of JSON above all, stay."""
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), text)


def unknown(text: str) -> list[str]:
    """The places that nobody will ever fill."""
    return [name for name in _PLACE.findall(text) if name not in PLACES]
