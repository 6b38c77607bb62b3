"""The result file: one JSON per command, from which every table and picture can be made again.

`schema/result-2.json` says what is in it; files of another version are refused, never guessed at.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from bench.errors import Environment
from bench.measure.validity import Flag

SCHEMA_VERSION = 2
SCHEMA = Path(__file__).with_name("schema") / "result-2.json"

Json = dict[str, Any]

# Parameters that a plan did not have yet when some results were made, and what was done then.
_ASSUMED: Mapping[str, Json] = {"storm": {"until": "update"}, "outage": {"service": "redis"}}


@dataclass
class Run:
    """One measurement of one row with a fresh server. `figures` are the numbers that reports compare, `point` the
    offered rate in a sweep; `series` hold histograms, `samples` the 1 Hz columns, `facts` whatever else was seen."""

    target: str
    transport: str
    pair: int
    figures: dict[str, float]
    flags: list[Flag] = field(default_factory=list)
    facts: Json = field(default_factory=dict)
    point: float | None = None
    series: Json = field(default_factory=dict)
    account: Mapping[str, int] | None = None
    samples: Json | None = None
    limiter: str | None = None
    order: int = 0
    started_at: str = ""
    seconds: float = 0.0

    @property
    def row(self) -> str:
        """The key of its row."""
        return row_key(self.target, self.transport)

    @property
    def valid(self) -> bool:
        """True unless a flag voids the run or the server was wrong."""
        return not any(flag.severity in ("void", "loss") for flag in self.flags)

    def to_json(self) -> Json:
        """For the result file."""
        return {**asdict(self), "row": self.row, "flags": [flag._asdict() for flag in self.flags]}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Run:
        """What `to_json` wrote."""
        known = {name: found[name] for name in (one.name for one in fields(cls)) if name in found}
        return cls(**{**known, "flags": [Flag(**flag) for flag in found["flags"]]})


@dataclass
class Result:
    """Everything that is known about one command. It is written after every run, so that nothing is lost."""

    id: str
    scenario: str
    command: Sequence[str]
    seed: int
    pairs: int
    plan: Json
    rows: Sequence[Json]
    cores: Mapping[str, int | None]
    environment: Json
    label: str | None = None
    created_at: str = ""
    finished_at: str | None = None
    noise: dict[str, Json | None] = field(default_factory=lambda: {"before": None, "after": None})
    verdict: str = "incomplete"
    stopped_by: str | None = None
    runs: list[Run] = field(default_factory=list)

    def of(self, row: str, point: float | None = None) -> list[Run]:
        """The runs of one row (and of one point of a sweep), in the order of their pairs."""
        chosen = [run for run in self.runs if run.row == row and (point is None or run.point == point)]
        return sorted(chosen, key=lambda run: run.pair)

    @property
    def keys(self) -> list[str]:
        """The rows' keys, in the order in which they were asked for."""
        return [row["key"] for row in self.rows]

    def to_json(self) -> Json:
        """The document."""
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            "schema_version": SCHEMA_VERSION,
            **known,
            "command": list(self.command),
            "rows": list(self.rows),
            "cores": dict(self.cores),
            "runs": [run.to_json() for run in self.runs],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Result:
        """What `to_json` wrote."""
        known = {one.name: found[one.name] for one in fields(cls)}
        plan = {**_ASSUMED.get(found["scenario"], {}), **found["plan"]}
        return cls(**{**known, "plan": plan, "runs": [Run.from_json(run) for run in found["runs"]]})


def row_key(target: str, transport: str) -> str:
    """How a row is called everywhere."""
    return f"{target} {transport}"


def now() -> str:
    """This moment, as result files have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write(result: Result, out: Path) -> Path:
    """Write `<id>.json`, whole or not at all; answers where."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{result.id}.json"
    whole = out / f".{result.id}.part"
    try:
        whole.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
        os.replace(whole, path)
    except OSError:  # half a file takes room on a disk that may be full
        with suppress(OSError):
            whole.unlink(missing_ok=True)
        raise
    return path


def read(path: Path) -> Result:
    """One result file. Raises Environment with a sentence when it cannot be used."""
    return Result.from_json(read_json(path))


def read_json(path: Path) -> Json:
    """One result file as it is, checked against the schema. Raises Environment."""
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Environment(f"{path} cannot be read: {error.strerror}; name a result file (*.json)") from None
    except (ValueError, RecursionError) as error:
        raise Environment(f"{path} cannot be read: {error}") from None
    check(found, str(path))
    return found


def _what(version: object) -> str:
    return "no result of this bench" if version is None else f"a result of version {version}"


def check(found: Json, name: str) -> None:
    """Raise Environment when `found` is not a result of this version."""
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != SCHEMA_VERSION:
        raise Environment(f"{name} is {_what(version)}, this bench reads results of version {SCHEMA_VERSION}")
    try:
        errors = sorted(validator().iter_errors(found), key=lambda error: len(error.instance_path))
    except UnicodeEncodeError:
        raise Environment(f"{name} is no result: it holds half a surrogate pair") from None
    for error in errors:
        where = "/".join(str(part) for part in error.instance_path) or "the document"
        raise Environment(f"{name} is no result: {where}: {error.message[:200]}")


@cache
def validator() -> jsonschema_rs.Draft202012Validator:
    """Checks documents against the published schema."""
    return jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def read_all(paths: Sequence[Path]) -> Iterator[tuple[Path, Result]]:
    """All result files among `paths` and in the folders among them, by name."""
    for path in paths:
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        for file in files:
            yield file, read(file)
