"""bench/pictures.py: the pictures and tables of our documents are those of their results, byte for byte."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import pictures
from bench.__main__ import main
from bench.errors import Environment
from tests.bench import documents

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of its kind under each name that a picture is made from."""
    folder = tmp_path_factory.mktemp("results")
    for name in sorted({name for drawn in pictures.ALL for name in drawn.results}):
        kind = Path(name).stem
        made = documents.sweep(pairs=1) if kind == "sweep" else documents.document(kind, pairs=1)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(made))
    return folder


@pytest.fixture
def written(results: Path, tmp_path: Path) -> Path:
    pictures.write(tmp_path, results)
    return tmp_path


def test_those_of_our_documents_are_true_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "report_faults", lambda: [])  # seconds of CPU: `make check` looks at it
    done = CliRunner().invoke(main, ("pictures", "--check"))
    assert (done.output, done.exit_code) == ("", 0)


def test_the_command_wants_to_be_told_which() -> None:
    for words in ((), ("--check", "--write")):
        done = CliRunner().invoke(main, ("pictures", *words))
        assert done.exit_code == 2 and "say --check or --write" in done.output


def test_a_changed_a_missing_and_a_strange_file_are_named(written: Path, results: Path) -> None:
    assert list(pictures.faults(written, results)) == []
    changed = written / "bill-wide.svg"
    changed.write_text(changed.read_text().replace("8", "9", 1))
    (written / "rate-narrow.svg").unlink()
    (written / "old-wide.svg").write_text("<svg/>")
    assert list(pictures.faults(written, results)) == [
        f"bill-wide.svg is not what its result says: {pictures.REMEDY}",
        f"old-wide.svg is the picture of no result: {pictures.REMEDY}",
        f"rate-narrow.svg is missing: {pictures.REMEDY}",
    ]
    pictures.write(written, results)
    assert list(pictures.faults(written, results)) == []


def test_a_report_that_was_changed_or_is_of_older_results_is_named(results: Path, tmp_path: Path) -> None:
    pictures.write_report(tmp_path, results)
    assert list(pictures.report_faults(tmp_path, results)) == []
    index = tmp_path / "index.html"
    index.write_text(index.read_text().replace("ms", "us", 1))
    (tmp_path / "raw" / "old.json").write_text("{}")
    (tmp_path / "raw" / "storm.json").unlink()
    assert list(pictures.report_faults(tmp_path, results)) == [
        f"{tmp_path.name}/{name} is not what its result says: {pictures.REMEDY}"
        for name in ("index.html", "raw/old.json", "raw/storm.json")
    ]
    pictures.write_report(tmp_path, results)
    assert list(pictures.report_faults(tmp_path, results)) == []


def test_tables_are_written_into_documents(results: Path) -> None:
    text = "Before.\n\n<!--table verdict-->\nold\n<!--/table-->\n\nBehind.\n"
    assert len(list(pictures.table_faults("d.md", text, results))) == 1
    made = pictures.written(text, results)
    assert made.startswith("Before.\n\n<!--table verdict-->\n| when |") and made.endswith("\nBehind.\n")
    assert "| CPU per delivery |" in made and "old" not in made
    assert list(pictures.table_faults("d.md", made, results)) == []


def test_an_unknown_table_is_said(results: Path) -> None:
    with pytest.raises(Environment, match="the table 'nope': there are verdict, "):
        pictures.written("<!--table nope-->\n<!--/table-->", results)


def test_a_file_stands_alone(written: Path) -> None:
    for path in sorted(written.glob("*.svg")):
        root = ET.fromstring(path.read_text())
        assert root.tag == f"{SVG}svg" and root.findtext(f"{SVG}title")
        assert {"width", "height", "viewBox"} <= root.attrib.keys()
        style = root.findtext(f"{SVG}style") or ""
        assert "prefers-color-scheme: dark" in style and "url(" not in style and "@import" not in style
        ground = next(one for one in root.iter(f"{SVG}rect") if one.get("class") == "ground")
        inner = root.find(f"{SVG}svg")
        assert inner is not None and ground.get("width") == f"{float(root.get('width') or 0) - 1:g}"
        for side, size in (("x", "width"), ("y", "height")):
            end = float(inner.get(side) or 0) + float(inner.get(size) or 0)
            assert end <= float(root.get(size) or 0)


def test_what_a_picture_does_not_name_beside_its_marks_stands_in_a_legend(written: Path) -> None:
    for size in ("wide", "narrow"):
        root = ET.fromstring((written / f"latency-{size}.svg").read_text())
        named = [one for one in root.findall(f"{SVG}text") if one.get("class") == "label"]
        assert [one.text for one in named] == ["app sse", "app cable", "floor sse", "floor cable"]
        assert all(
            float(one.get("x") or 0) < float(root.get("width") or 0) - 8 * len(one.text or "")
            for one in named
        )
    assert not ET.fromstring((written / "bill-wide.svg").read_text()).findall(f"{SVG}text")
