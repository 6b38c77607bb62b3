"""A suite file: a whole matrix of measurements in TOML, each a result file of its own in the same folder.

```
name = "headline"
seed = 42
[[measure]]
id = "fanout"                     # the result file's name
scenario = "fanout"
label = "1,000 clients x 20/s"    # for the report
targets = ["app", "floor"]
transports = ["sse", "cable"]
pairs = 7
plan = { clients = 1000, seconds = 4.0 }
```
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import Environment
from bench.scenarios import SCENARIOS, Scenario
from bench.scenarios import plan as plans

WHOLE_KEYS = {"name", "seed", "measure"}
KEYS = {"id", "scenario", "label", "targets", "transports", "pairs", "plan", "seed"}


MOST_PAIRS, MOST_SEED, MOST_LABEL = 1000, 2**63 - 1, 200


class Measure(NamedTuple):
    """One command of a suite."""

    id: str
    scenario: Scenario
    plan: Any
    targets: str
    transports: str
    pairs: int
    seed: int
    label: str | None


class Matrix(NamedTuple):
    """All of them, in order."""

    name: str
    measures: tuple[Measure, ...]


def read(path: Path) -> Matrix:
    """A suite file. Raises Environment with a sentence that names the file, the entry and what to do."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise Environment(f"{path} cannot be read: {error}") from None
    entries = found.get("measure")
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise Environment(f"{path} measures nothing: add [[measure]] entries")
    _known(found, WHOLE_KEYS, str(path))
    measures = [_measure(entry, f"{path}, entry {number}", found) for number, entry in enumerate(entries, 1)]
    names = [one.id for one in measures]
    if len(set(names)) != len(names):
        raise Environment(f"{path}: two entries have the same id")
    return Matrix(str(found.get("name", path.stem)), tuple(measures))


def chosen(matrix: Matrix, only: Collection[str] | None, path: Path) -> list[Measure]:
    """The entries of these ids, or all. Raises Environment for an id that no entry has."""
    known = [one.id for one in matrix.measures]
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise Environment(
            f"{path} has no entry {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
        )
    return [one for one in matrix.measures if only is None or one.id in only]


def _known(found: Mapping[str, Any], keys: Collection[str], where: str) -> None:
    unknown = found.keys() - set(keys)
    if unknown:
        raise Environment(
            f"{where}: {', '.join(sorted(unknown))} is unknown; there is {', '.join(sorted(keys))}"
        )


def _measure(entry: Mapping[str, Any], where: str, whole: Mapping[str, Any]) -> Measure:
    _known(entry, KEYS, where)
    name = entry.get("id", "")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
        raise Environment(f"{where}: id is the name of a file: small letters, digits and dashes")
    wanted = entry.get("scenario")
    if not isinstance(wanted, str) or wanted not in SCENARIOS:
        raise Environment(f"{where}: scenario is one of {', '.join(SCENARIOS)}")
    scenario = SCENARIOS[wanted]
    try:
        plan = plans.of(scenario.plan, entry.get("plan", {}))
    except Environment as error:
        raise Environment(f"{where}: {error}") from None
    return Measure(
        name,
        scenario,
        plan,
        _words(entry, "targets", ["app", "floor"], where),
        _words(entry, "transports", ["sse", "cable"], where),
        _whole(entry.get("pairs", scenario.pairs), "pairs", 1, MOST_PAIRS, where),
        _whole(entry.get("seed", whole.get("seed", 42)), "seed", 0, MOST_SEED, where),
        _label(entry.get("label"), where),
    )


def _words(entry: Mapping[str, Any], key: str, usual: list[str], where: str) -> str:
    """A list of names, with commas between."""
    found = entry.get(key, usual)
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise Environment(f"{where}: {key} is a list of names, such as {usual}, not {found!r}")
    return ",".join(found)


def _whole(value: Any, key: str, low: int, high: int, where: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Environment(f"{where}: {key} is {value!r}: it has to be a whole number, {low:,} to {high:,}")
    return value


def _label(value: Any, where: str) -> str | None:
    if value is None:
        return None
    try:
        return label(value)
    except ValueError as error:
        raise Environment(f"{where}: {error}") from None


def label(value: Any) -> str:
    """What a result is called in reports. Raises ValueError for what no line can show."""
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MOST_LABEL:
        raise ValueError(
            f"label is {value!r}: it has to be one line of 1 to {MOST_LABEL} characters that can be shown"
        )
    return value
