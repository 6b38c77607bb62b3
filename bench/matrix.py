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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import Environment
from bench.measure import slo
from bench.scenarios import SCENARIOS, Scenario
from bench.scenarios import plan as plans

KEYS = {"id", "scenario", "label", "targets", "transports", "pairs", "plan", "seed"}


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
        found = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Environment(f"{path} cannot be read: {error}") from None
    entries = found.get("measure")
    if not isinstance(entries, list) or not entries:
        raise Environment(f"{path} measures nothing: add [[measure]] entries")
    measures = [_measure(entry, f"{path}, entry {number}", found) for number, entry in enumerate(entries, 1)]
    names = [one.id for one in measures]
    if len(set(names)) != len(names):
        raise Environment(f"{path}: two entries have the same id")
    return Matrix(str(found.get("name", path.stem)), tuple(measures))


def _measure(entry: Mapping[str, Any], where: str, whole: Mapping[str, Any]) -> Measure:
    unknown = entry.keys() - KEYS
    if unknown:
        raise Environment(
            f"{where}: {', '.join(sorted(unknown))} is unknown; there is {', '.join(sorted(KEYS))}"
        )
    name = entry.get("id", "")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
        raise Environment(f"{where}: id is the name of a file: small letters, digits and dashes")
    scenario = SCENARIOS.get(entry.get("scenario", ""))
    if scenario is None:
        raise Environment(f"{where}: scenario is one of {', '.join(SCENARIOS)}")
    try:
        plan = plans.of(scenario.plan, entry.get("plan", {}))
        slo.parse(getattr(plan, "slo", ""))
    except (Environment, ValueError) as error:
        raise Environment(f"{where}: {error}") from None
    return Measure(
        name,
        scenario,
        plan,
        ",".join(entry.get("targets", ["app", "floor"])),
        ",".join(entry.get("transports", ["sse", "cable"])),
        int(entry.get("pairs", scenario.pairs)),
        int(entry.get("seed", whole.get("seed", 42))),
        entry.get("label"),
    )
