"""docs/bench-schema.md has every field of the schema with its type, every figure, flag and sampled column."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.figures import FIGURES, SHARE
from bench.measure.sampler import COLUMNS
from bench.result import SCHEMA

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "bench-schema.md").read_text(encoding="utf-8")
WHOLE = json.loads(SCHEMA.read_text(encoding="utf-8"))
PARTS = WHOLE["$defs"]
OBJECTS = {
    "## The document": WHOLE,
    "### `cores`": WHOLE["properties"]["cores"],
    "### `environment`": WHOLE["properties"]["environment"],
    "### `git`": WHOLE["properties"]["environment"]["properties"]["git"],
    "### `noise`": PARTS["noise"],
    "### `rows`": WHOLE["properties"]["rows"]["items"],
    "## `runs`": PARTS["run"],
    "### `account`": PARTS["account"],
    "### `series`": PARTS["hdr"],
    "### `samples`": PARTS["samples"],
    "### `flags`": PARTS["flag"],
    "### `facts`": PARTS["run"]["properties"]["facts"],
}


def kind(schema: dict[str, Any]) -> str:
    """A type in the document's words."""
    match schema:
        case {"$ref": reference}:
            return str(reference).rpartition("/")[2].replace("amount", "number")
        case {"const": value}:
            return f"`{value}`"
        case {"enum": choices}:
            return "one of " + ", ".join(f"`{word}`" for word in choices)
        case {"anyOf": alternatives}:
            return " or ".join(map(kind, alternatives))
    more = schema.get("additionalProperties")
    if "items" in schema:
        return f"list of {kind(schema['items'])}"
    return f"object of {kind(more)}" if isinstance(more, dict) else str(schema["type"])


def section(heading: str) -> str:
    _, found, after = DOCUMENT.partition(f"\n{heading}\n")
    assert found, f"there is no {heading}"
    return re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0]


def rows(heading: str, head: str) -> list[list[str]]:
    """The cells of the table with this head."""
    table = section(heading).partition(f"\n{head}\n")[2].partition("\n\n")[0]
    return [re.split(r" ?\| ?", line.strip("| ")) for line in table.splitlines()[1:]]


@pytest.mark.parametrize(("heading", "schema"), OBJECTS.items(), ids=lambda part: str(part)[:20])
def test_every_field_is_explained_with_its_type(heading: str, schema: dict[str, Any]) -> None:
    told = {cells[0].strip("`"): cells[1] for cells in rows(heading, "| field | type | |")}
    needed = schema.get("required", ())
    assert told == {
        name: kind(field) + ("" if name in needed else ", may be missing")
        for name, field in schema["properties"].items()
    }


def test_every_object_of_the_schema_has_a_section() -> None:
    def objects(schema: Any) -> int:
        if isinstance(schema, list):
            return sum(map(objects, schema))
        if not isinstance(schema, dict):
            return 0
        return ("required" in schema) + sum(map(objects, schema.values()))

    # `facts` requires nothing; `noise` of the document has only the two that its section names.
    assert objects(WHOLE) == len(OBJECTS) - 1 + 1


def test_every_figure_is_listed() -> None:
    told = [tuple(cells) for cells in rows("## Figures", "| name | what | unit | better |")]
    unit = {SHARE: "share", "": "\N{EN DASH}"}
    assert told == [
        (f"`{one.name}`", one.title, unit.get(one.unit, one.unit), one.better) for one in FIGURES.values()
    ]


def test_every_flag_is_listed() -> None:
    told = {cells[0].strip("`"): cells[1] for cells in rows("### `flags`", "| severity | codes |")}
    found = 0
    for path in (ROOT / "bench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (
                isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Flag" and len(node.args) == 3
            ):
                continue
            severity, code = node.args[:2]
            if isinstance(severity, ast.Constant) and isinstance(code, ast.Constant):
                found += 1
                assert f"`{code.value!s}`" in told[str(severity.value)], f"{severity.value!s} {code.value!s}"
    assert found > 20


def test_every_sampled_column_is_named() -> None:
    assert not [name for name in COLUMNS if f"`{name}`" not in section("### `samples`")]
