"""bench/reading.py: what there is nothing to read of is said, instead of an empty table or a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import reading, result
from bench.errors import Environment
from tests.bench import results as made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an empty folder, a file of a fan-out and one of another row."""
    (tmp_path / "empty").mkdir()
    result.write(made.result(made.run("app", "sse", 0, us_per_delivery=7.0), id="one"), tmp_path / "in")
    result.write(made.result(made.run("floor", "cable", 0, us_per_delivery=7.0), id="two"), tmp_path / "in")
    (tmp_path / "in" / "cut.json").write_text('{"schema_version": 2, "id')
    return tmp_path


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (lambda at: reading.reported([at / "empty"], None), "empty holds no result .* measure first"),
        (lambda at: reading.reported([at / "empty"], at / "site"), "empty holds no result .* measure first"),
        (lambda at: reading.reported([at / "in"], None), r"cut\.json cannot be read"),
        (
            lambda at: reading.reported([at / "in" / "one.json"], at / "in" / "cut.json"),
            r"cannot be written to .*cut\.json \(.+\): name another folder with --html",
        ),
        (
            lambda at: reading.explained(at / "empty"),
            "empty cannot be read: Is a directory; name a result file",
        ),
        (lambda at: reading.explained(at / "none.json"), "none.json cannot be read: No such file"),
        (lambda at: reading.compared(at / "in", at / "in" / "one.json"), "name two files, or two folders"),
        (lambda at: reading.compared(at / "in", at / "empty"), "no result file of the same name"),
        (
            lambda at: reading.compared(at / "in" / "one.json", at / "in" / "two.json"),
            "one has the rows app sse, two has floor cable: there is nothing to compare",
        ),
    ],
)
def test_nothing_to_read(folder: Path, read: Callable[[Path], object], sentence: str) -> None:
    with pytest.raises(Environment, match=sentence):
        read(folder)


def test_no_report_of_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(Environment):
        reading.reported([tmp_path], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_figure_that_neither_result_has_is_not_missed() -> None:
    old = made.result(made.run("app", "sse", 0, us_per_connect=7.0), scenario="storm")
    new = made.result(made.run("app", "sse", 0, us_per_connect=7.0, p50_ms=1.0), scenario="storm")
    lines = [line for line in reading.delta(old, new) if line.startswith("not compared")]
    assert lines == ["not compared, a result lacks it: latency p50"]
