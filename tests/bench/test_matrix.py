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
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(Environment, match=sentence):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Environment, match=r"no\.toml cannot be read"):
        matrix.read(tmp_path / "no.toml")
