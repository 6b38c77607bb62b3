"""The plans of all scenarios: fields that a command line, a suite file and a result file share. Pure."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple, get_args, get_type_hints

from bench.errors import Environment

SWEEP_FACTOR = 2.0
MOST_PUBLISHES = 10_000_000  # of one run: three moments of each are kept in memory
# Nobody publishes faster over one connection with one publish in flight, and below, a run takes minutes for a publish.
RATES = (0.01, 10_000.0)
LONGEST = 86_400.0  # seconds


class Bounds(NamedTuple):
    """What a value may be: a number from `low` to `high`, or one of `words`; with neither, anything."""

    low: float = -math.inf
    high: float = math.inf
    words: tuple[str, ...] = ()

    def allow(self, value: Any) -> bool:
        """Whether it may be. Not a number (nan) is between no two bounds, and infinity above every one."""
        if self.words:
            return value in self.words
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return self.low <= value <= self.high and math.isfinite(value)

    def __str__(self) -> str:
        """ "1 or more", "0.01 to 10,000", "log or state"; empty for anything."""
        if self.words:
            return f"{', '.join(self.words[:-1])} or {self.words[-1]}"
        if math.isinf(self.low):
            return ""
        low = f"{self.low:,.15g}"
        return f"{low} or more" if math.isinf(self.high) else f"{low} to {self.high:,.15g}"


@dataclass(frozen=True)
class Plan:
    """What every plan is: a frozen dataclass of `param` fields."""

    def check(self) -> None:
        """Raise Environment, with a sentence, for values that each may be, but that have no sense together."""


def param(
    default: Any,
    says: str,
    name: str | None = None,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    words: tuple[str, ...] = (),
) -> Any:
    """A field of a plan: its default, its sentence for `--help`, its option where it is not the field's own name, and
    what it may be."""
    return field(
        default=default,
        metadata={"says": says, "name": name, "bounds": Bounds(float(low), float(high), words)},
    )


def rate(default: Any, says: str = "Publishes a second.", name: str | None = None) -> Any:
    """A field with publishes a second, one or several."""
    return param(default, says, name, low=RATES[0], high=RATES[1])


def kind() -> Any:
    """The field with the kind of the stream."""
    return param("log", "Kind of the stream.", words=("log", "state"))


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


def bounds(plan: type[Any]) -> dict[str, Bounds]:
    """What each field may be."""
    return {one.name: one.metadata.get("bounds", Bounds()) for one in fields(plan)}


def of(plan: type[Any], given: Mapping[str, Any]) -> Any:
    """A plan from parameters by field name, as suite and result files have them. Raises Environment with a sentence."""
    if not isinstance(given, Mapping):
        raise Environment(f"a plan is a table of parameters, not {given!r}")
    hints, allowed = get_type_hints(plan), bounds(plan)
    for name in given:
        if name not in allowed:
            raise Environment(f"{plan.__name__.lower()} has no {name!r}; it has {', '.join(allowed)}")
    values = {name: _as(hints[name], value, name) for name, value in given.items()}
    for name, value in values.items():
        within(allowed[name], value, name)
    made = plan(**values)
    if isinstance(made, Plan):
        made.check()
    return made


def _as(wanted: Any, value: Any, name: str) -> Any:
    if isinstance(wanted, types.GenericAlias):
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_as(get_args(wanted)[0], item, name) for item in items)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = _float(value, name)
    if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
        raise Environment(f"{name} is {value!r}: it has to be {wanted.__name__}")
    return value


def _float(value: int, name: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Environment(f"{name} has {len(str(value))} digits: say less") from None


def within(allowed: Bounds, value: Any, name: str) -> None:
    """Raise Environment unless a value, or each of several, may be."""
    if value == ():
        raise Environment(f"{name} is empty: name one value at least")
    for one in value if isinstance(value, tuple) else (value,):
        if not allowed.allow(one):
            raise Environment(f"{name} is {one!r}: it has to be {allowed}")


def check_schedule(per_second: float, seconds: float) -> None:
    """Raise Environment for a schedule in which nothing is published, or more than can be kept."""
    if per_second * seconds < 1:
        raise Environment(
            f"at {per_second:g} a second nothing is published in {seconds:g} s: "
            f"publish for {1 / per_second:g} s at least"
        )
    if per_second * seconds > MOST_PUBLISHES:
        raise Environment(
            f"{per_second:g} a second for {seconds:g} s are more than {MOST_PUBLISHES:,} publishes in a run: "
            "publish less, or not as long"
        )


def to_json(plan: Any) -> dict[str, Any]:
    """As result files have it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(plan).items()}


def numbers(text: str, whole: bool = False) -> tuple[float, ...]:
    """`20`, `10,20,40` or `5..80`, which doubles. Raises ValueError with a sentence."""
    try:
        if ".." in text:
            return _doubling(*((int(end) if whole else float(end)) for end in text.split("..")))
        found = tuple(int(part) if whole else float(part) for part in text.split(","))
    except (ValueError, TypeError):
        raise ValueError(f"{text!r}: say 20, or 10,20,40, or 5..80 (which doubles)") from None
    return found


def _doubling(first: float, last: float) -> tuple[float, ...]:
    if not 0 < first <= last or math.isinf(last):
        raise ValueError
    steps = [first]
    while steps[-1] * SWEEP_FACTOR <= last * 1.0001:
        steps.append(type(first)(steps[-1] * SWEEP_FACTOR))
    return tuple(steps)
