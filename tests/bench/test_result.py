"""bench/result.py: what is written can be read again, and nothing else is taken for a result."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest

from bench import result
from bench.errors import Environment
from tests.bench import results as made


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    document = made.result(
        made.run("app", "sse", 0, us_per_delivery=7.0),
        made.run("app", "cable+deflate", 1, made.VOID, point=40.0, us_per_delivery=8.0),
        label="two",
    )
    path = result.write(document, tmp_path / "deep" / "er")
    assert path.name == "20261124T171026Z-fanout-1a2b.json"
    assert result.read(path) == document
    assert [one.name for one in path.parent.iterdir()] == [path.name], "a part is left"


def test_the_schema_is_one() -> None:
    jsonschema_rs.meta.validate(json.loads(result.SCHEMA.read_text()))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ({"schema_version": 1}, "version 1, this bench reads results of version 2"),
        ({"verdict": "great"}, 'verdict: "great" is not one of'),
        ({"runs": [{"row": "app sse"}]}, "runs/0:"),
        ({"surprise": 1}, "the document: Additional properties"),
        ({"created_at": "yesterday"}, "created_at:"),
        ({"id": "\ud800"}, "half a surrogate"),
        ({"noise": 5}, "noise:"),
    ],
)
def test_what_is_no_result_is_refused_with_its_place(
    tmp_path: Path, spoil: dict[str, object], sentence: str
) -> None:
    path = result.write(made.result(made.run("app", "sse", 0)), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **spoil}))
    with pytest.raises(Environment, match=sentence):
        result.read(path)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ({"figures": {"p50_ms": 1e300}}, "runs/0/figures/p50_ms"),
        ({"figures": {"p50_ms": "x"}}, "runs/0/figures/p50_ms"),
        ({"facts": {"memory": [[1]]}}, "runs/0/facts/memory/0"),
        ({"facts": {"memory": 5}}, "runs/0/facts/memory"),
        ({"facts": {"curve": [[1, "x"]]}}, "runs/0/facts/curve/0/1"),
        ({"facts": {"fit": {"low": "x"}}}, "runs/0/facts/fit/low"),
    ],
)
def test_what_pictures_are_drawn_of_is_checked_too(
    tmp_path: Path, spoil: dict[str, object], sentence: str
) -> None:
    path = result.write(made.result(made.run("app", "sse", 0)), tmp_path)
    document = json.loads(path.read_text())
    document["runs"][0] |= spoil
    path.write_text(json.dumps(document))
    with pytest.raises(Environment, match=sentence):
        result.read(path)


@pytest.mark.parametrize("content", ["", "[]", "7", "{}", "[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(Environment, match=r"x\.json"):
        result.read(path)


def test_folders_are_read_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        result.write(made.result(made.run("app", "sse", 0), id=name), tmp_path / "in")
    single = result.write(made.result(made.run("app", "sse", 0), id="c"), tmp_path)
    assert [path.stem for path, _ in result.read_all([tmp_path / "in", single])] == ["a", "b", "c"]


def test_runs_of_a_row_come_in_the_order_of_their_pairs() -> None:
    runs = [made.run("app", "sse", 1), made.run("app", "cable", 0), made.run("app", "sse", 0, point=5.0)]
    document = made.result(*runs)
    assert [run.pair for run in document.of("app sse")] == [0, 1]
    assert [run.pair for run in document.of("app sse", 5.0)] == [0]
    assert document.keys == ["app sse", "app cable"]


def test_a_void_or_wrong_run_is_not_valid() -> None:
    assert made.run("app", "sse", 0).valid
    assert not made.run("app", "sse", 0, made.VOID).valid
