"""What a user demands of a run, such as `p99<100ms` or `delivered>=0.99`: parsed, checked, said in words. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

COMPARES: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
# What may be demanded: its word, the figure it is about, the units it may be given in.
NAMES: Mapping[str, tuple[str, Mapping[str, float]]] = {
    **{word: (f"{word}_ms", {"ms": 1.0, "s": 1000.0}) for word in ("p50", "p90", "p99", "p999", "max")},
    "cpu": ("us_per_delivery", {"us": 1.0}),
    "memory": ("kb_per_connection", {"kb": 1.0, "": 1.0}),
    "delivered": ("delivered_share", {"": 1.0, "%": 0.01}),
    "returned": ("returned_share", {"": 1.0, "%": 0.01}),
    "loss": ("lost", {"": 1.0}),
}
EXPRESSION = re.compile(r"\s*([a-z0-9]+)\s*(<=|>=|==|<|>)\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Z%]*)\s*")


class Slo(NamedTuple):
    """One demand: a figure, a comparison, a value in the figure's own unit."""

    text: str
    figure: str
    compare: str
    value: float

    def holds(self, figures: Mapping[str, float]) -> bool | None:
        """Whether it is met; None when there is no such figure."""
        found = figures.get(self.figure)
        return None if found is None else COMPARES[self.compare](found, self.value)


def parse(text: str) -> tuple[Slo, ...]:
    """Several demands, with commas between; none in an empty text. Raises ValueError with a sentence that says what
    would do."""
    return tuple(_one(part) for part in text.split(",")) if text.strip() else ()


def _one(part: str) -> Slo:
    match = EXPRESSION.fullmatch(part)
    if match is None or match[1] not in NAMES:
        words = ", ".join(NAMES)
        raise ValueError(f"{part.strip()!r} is no demand: say for example p99<100ms; the words are {words}")
    word, compare, number, unit = match.groups()
    figure, units = NAMES[word]
    if unit.lower() not in units:
        raise ValueError(
            f"{part.strip()!r}: {word} is given in {' or '.join(filter(None, units)) or 'no unit'}"
        )
    return Slo(part.strip(), figure, compare, float(number) * units[unit.lower()])


def broken(demands: Sequence[Slo], figures: Mapping[str, float]) -> list[str]:
    """The demands that `figures` do not meet, in words; what is not measured is not met."""
    return [
        f"{demand.text} is not met: {figures.get(demand.figure, 'there is no such figure')}"
        for demand in demands
        if not demand.holds(figures)
    ]
