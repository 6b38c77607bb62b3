"""bench/crosscheck/compare.py: both instruments in every pair, what makes a run doubtful, and the whole of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from bench.crosscheck import agreement, compare
from bench.crosscheck.agreement import Sample
from tests.bench.small_targets import ROOT


def test_a_run_of_the_tool_is_doubted_for_what_it_printed() -> None:
    clean = {"lost": 0, "doubled": 0, "disordered": 0, "closed": 0, "server_core_others": 0.1}
    assert compare.doubts(clean, 0, "") == []
    assert compare.doubts({**clean, "lost": 3}, 1, "") == ["3 lost, 0 doubled, 0 disordered, 0 closed"]
    assert compare.doubts(clean, 2, "first\nthis core was busy\n") == ["this core was busy"]
    assert (
        "others used 31% of the server's core"
        in compare.doubts({**clean, "server_core_others": 0.31}, 0, "")[0]
    )


def test_each_pair_holds_both_instruments_in_an_order_that_the_seed_decides() -> None:
    def order(seed: int) -> list[tuple[int, str]]:
        def sample(name: str) -> Sample:
            return Sample({}, [], {"by": name})

        instruments = {name: lambda name=name: sample(name) for name in agreement.INSTRUMENTS}
        return [(one.pair, one.sample.facts["by"]) for one in compare.interleaved(instruments, 9, seed)]

    for pair in range(9):
        assert sorted(name for number, name in order(1) if number == pair) == sorted(agreement.INSTRUMENTS)
    assert order(1) == order(1)
    assert order(1) != order(2)


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.usefixtures("plain")
def test_the_whole_comparison_on_the_floor(tmp_path: Path) -> None:
    small = ["--clients", "20", "--seconds", "0.5", "--pairs", "1", "--seed", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "bench.crosscheck.compare", "--target", "floor", "--awake", *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode in (0, 1, 2), (
        done.stderr
    )  # with so few deliveries on a busy machine, they may differ
    (path,) = tmp_path.glob("*-crosscheck.json")
    found = orjson.loads(path.read_bytes())
    assert {run["instrument"] for run in found["runs"]} == {*agreement.INSTRUMENTS, *agreement.AWAKE}
    assert all(run["figures"]["us_per_delivery"] > 0 for run in found["runs"])
    assert len(found["agreement"]) in ((0,) if done.returncode == 2 else (2, 4))


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("--clients 0", 2, "'--clients': 0 is not in the range: say 1 or more"),
        ("--rate nan", 2, "'--rate': nan is not in the range: say 0.01 to 10,000"),
        ("--seconds 0", 2, "'--seconds': 0 is not in the range: say 0.1 to 86,400"),
        ("--seconds 0.1 --rate 1", 2, "publish for 1 s at least"),
        ("--size 10", 2, "say 330 to 65,536"),
        ("--pairs 0", 2, "1<=x<=1000"),
        ("--seed -1", 2, "0<=x<="),
        ("--out /dev/null", 3, "results cannot be written to /dev/null"),
    ],
)
def test_nothing_is_begun_that_has_no_sense(
    words: str, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "build", lambda: pytest.fail("a measurement has begun"))
    done = CliRunner().invoke(compare.main, words.split())
    assert (done.exit_code, sentence in done.stderr) == (code, True), done.stderr


def test_an_unknown_target_is_refused_with_the_names_that_exist() -> None:
    command = [sys.executable, "-m", "bench.crosscheck.compare", "--target", "ceiling"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no target 'ceiling'" in done.stderr
