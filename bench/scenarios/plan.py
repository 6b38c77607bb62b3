"""The plans of all scenarios: fields that a command line, a suite file and a result file share. Pure."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import asdict, field, fields
from typing import Any, get_args, get_type_hints

from bench.errors import Environment

SWEEP_FACTOR = 2.0


def param(default: Any, says: str, name: str | None = None) -> Any:
    """A field of a plan: its default, its sentence for `--help`, its option where it is not the field's own name."""
    return field(default=default, metadata={"says": says, "name": name})


def options(plan: type[Any]) -> list[tuple[str, str, Any, Any, str]]:
    """(option, field, type, default, sentence) of every field."""
    hints = get_type_hints(plan)
    return [
        (
            "--" + (one.metadata["name"] or one.name.replace("_", "-")),
            one.name,
            hints[one.name],
            one.default,
            one.metadata["says"],
        )
        for one in fields(plan)
    ]


def of(plan: type[Any], given: Mapping[str, Any]) -> Any:
    """A plan from parameters by field name, as suite and result files have them. Raises Environment with a sentence."""
    hints = get_type_hints(plan)
    known = [one.name for one in fields(plan)]
    for name in given:
        if name not in known:
            raise Environment(f"{plan.__name__.lower()} has no {name!r}; it has {', '.join(known)}")
    return plan(**{name: _as(hints[name], value, name) for name, value in given.items()})


def _as(wanted: Any, value: Any, name: str) -> Any:
    if isinstance(wanted, types.GenericAlias):
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_as(get_args(wanted)[0], item, name) for item in items)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
        raise Environment(f"{name} is {value!r}: it has to be {wanted.__name__}")
    return value


def to_json(plan: Any) -> dict[str, Any]:
    """As result files have it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(plan).items()}


def numbers(text: str, whole: bool = False) -> tuple[float, ...]:
    """`20`, `10,20,40` or `5..80`, which doubles. Raises ValueError with a sentence."""
    try:
        if ".." in text:
            return _doubling(*(float(end) for end in text.split("..")))
        found = tuple(int(part) if whole else float(part) for part in text.split(","))
    except (ValueError, TypeError):
        raise ValueError(f"{text!r}: say 20, or 10,20,40, or 5..80 (which doubles)") from None
    return found


def _doubling(first: float, last: float) -> tuple[float, ...]:
    if not 0 < first <= last:
        raise ValueError
    steps = [first]
    while steps[-1] * SWEEP_FACTOR <= last * 1.0001:
        steps.append(steps[-1] * SWEEP_FACTOR)
    return tuple(steps)
