"""docs/limits.md: the tests that it names exist, and its defaults and values are those of the code."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from dashboard_rt.env import UNITS, Derived
from dashboard_rt.settings import described

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SETTING = re.compile(r"^\| `([A-Z_]+)` \| ([^|]+) \|", re.MULTILINE)
CONSTANT = re.compile(r"^\| [^|]+ \| ([\d,]+)( KiB| MiB)? \| `([\w/]+)\.py` `([A-Z_]+)` \|", re.MULTILINE)
DEFAULTS = {name: variable.default for _, name, variable in described()}
DOCUMENTS = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.name))
def test_every_test_that_a_document_names_exists(path: Path) -> None:
    for file, name in NAMED.findall(path.read_text(encoding="utf-8")):
        assert (ROOT / file).is_file(), f"{path.name} names {file}"
        found = re.search(
            rf"^(?:async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert found, f"{path.name} names {file}::{name}"


def test_every_promise_has_a_test() -> None:
    promises = DOCUMENT.partition("## Promises")[2].partition("## What is not promised")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ") and "held by" not in line]
    assert len(rows) > 25
    assert not [row for row in rows if not NAMED.search(row)]


@pytest.mark.parametrize(("name", "default"), SETTING.findall(DOCUMENT))
def test_a_default_is_that_of_the_setting(name: str, default: str) -> None:
    real = DEFAULTS[name]
    assert default.replace("`", "") == (real.text.replace("`", "") if isinstance(real, Derived) else real)


@pytest.mark.parametrize(("value", "unit", "module", "name"), CONSTANT.findall(DOCUMENT))
def test_a_value_is_that_of_the_constant(value: str, unit: str, module: str, name: str) -> None:
    found = getattr(import_module(f"dashboard_rt.{module.replace('/', '.')}"), name)
    assert int(value.replace(",", "")) * UNITS[unit.strip()] == found


def test_all_rows_are_read() -> None:
    settings, _, constants = DOCUMENT.partition("## Limits that are settings")[2].partition(
        "## Limits that are fixed"
    )
    assert len(SETTING.findall(DOCUMENT)) == settings.count("\n| `") > 10
    assert len(CONSTANT.findall(DOCUMENT)) == constants.count("\n| ") - 1 > 20
