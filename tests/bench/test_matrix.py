"""bench/matrix.py: suite files are read whole or refused with the entry that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import matrix
from bench.errors import Environment
from bench.scenarios.fanout import Fanout

ROOT = Path(__file__).parents[2]
ENTRY = '[[measure]]\nid = "one"\nscenario = "fanout"\n'


def read(tmp_path: Path, text: str) -> matrix.Matrix:
    path = tmp_path / "suite.toml"
    path.write_text(text)
    return matrix.read(path)


def test_an_entry_has_its_defaults(tmp_path: Path) -> None:
    (one,) = read(tmp_path, "seed = 7\n" + ENTRY + "plan = { clients = 10 }\n").measures
    assert (one.id, one.scenario.name, one.targets, one.transports) == (
        "one",
        "fanout",
        "app,floor",
        "sse,cable",
    )
    assert (one.pairs, one.seed, one.label, one.plan) == (3, 7, None, Fanout(clients=10))


@pytest.mark.parametrize("path", sorted((ROOT / "bench" / "suites").glob("*.toml")), ids=lambda one: one.name)
def test_our_own_suites_can_be_read(path: Path) -> None:
    assert matrix.read(path).measures


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "measures nothing"),
        ("x = [", "cannot be read"),
        ("[[measure]]\n", "entry 1: id is the name of a file"),
        ('[[measure]]\nid = "A/b"\n', "entry 1: id is"),
        ('[[measure]]\nid = "a"\n', "entry 1: scenario is one of fanout"),
        (ENTRY + "plan = { x = 1 }\n", "entry 1: fanout has no 'x'"),
        (ENTRY + 'plan = { slo = "fast" }\n', "entry 1: 'fast' is no demand"),
        (ENTRY + "pears = 1\n", "entry 1: pears is unknown; there is id, label"),
        (ENTRY + ENTRY, "two entries have the same id"),
        ("measure = 5\n", "measures nothing"),
        ("measure = [5]\n", "measures nothing"),
        ("speed = 1\n" + ENTRY, "speed is unknown; there is measure, name, seed"),
        ('[[measure]]\nid = "a"\nscenario = ["fanout"]\n', "entry 1: scenario is one of fanout"),
        ("[[measure]]\nid = 5\n", "entry 1: id is"),
        (ENTRY + "plan = 5\n", "entry 1: a plan is a table of parameters, not 5"),
        (ENTRY + "plan = { rates = [inf] }\n", "entry 1: rates is inf: it has to be 0.01 to 10,000"),
        (ENTRY + "plan = { clients = 0 }\n", "entry 1: clients is 0: it has to be 1 or more"),
        (ENTRY + 'targets = "app"\n', "entry 1: targets is a list of names, such as .*, not 'app'"),
        (ENTRY + "targets = []\n", "entry 1: targets is a list of names"),
        (ENTRY + "transports = [1]\n", "entry 1: transports is a list of names"),
        (ENTRY + "pairs = 0\n", "entry 1: pairs is 0: it has to be a whole number, 1 to 1,000"),
        (ENTRY + 'pairs = "three"\n', "entry 1: pairs is 'three'"),
        (ENTRY + "pairs = true\n", "entry 1: pairs is True"),
        (ENTRY + "seed = 1.5\n", "entry 1: seed is 1.5"),
        ("seed = -1\n" + ENTRY, "entry 1: seed is -1"),
        (ENTRY + "label = 5\n", "entry 1: label is 5: it has to be one line"),
        (ENTRY + 'label = "a\\nb"\n', "entry 1: label is"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(Environment, match=sentence):
        read(tmp_path, text)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Environment, match=r"suite\.toml cannot be read"):
        matrix.read(path)


def test_entries_are_chosen_by_their_ids(tmp_path: Path) -> None:
    found = read(tmp_path, ENTRY + ENTRY.replace("one", "two"))
    assert [one.id for one in matrix.chosen(found, None, tmp_path)] == ["one", "two"]
    assert [one.id for one in matrix.chosen(found, ["two"], tmp_path)] == ["two"]
    with pytest.raises(Environment, match="has no entry 'three'; there are one, two"):
        matrix.chosen(found, ["two", "three"], tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Environment, match=r"no\.toml cannot be read"):
        matrix.read(tmp_path / "no.toml")
