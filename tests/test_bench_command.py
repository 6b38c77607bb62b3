"""`python -m bench` as a user meets it: tables, files, exit codes, Ctrl-C, going on, mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import result
from bench.scenarios import SCENARIOS
from bench.serving.program import alive
from tests.bench_targets import ROOT

SMALL = ("--target", "floor", "--transport", "sse")
TINY = ("--subs", "10", "--rate", "50", "--seconds", "0.2", "--warmup", "0.1")

pytestmark = pytest.mark.live


def begin(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def said(*words: str) -> tuple[int, str, str]:
    with begin(*words) as bench:
        out, err = bench.communicate(timeout=90)
    return bench.returncode, out, err


def fanout(out: Path, *more: str) -> tuple[int, str, str]:
    return said("run", "fanout", *SMALL, *TINY, "--out", str(out), *more)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small result."""
    out = tmp_path_factory.mktemp("measured")
    code, _, err = fanout(out, "--pairs", "2", "--seed", "7", "--label", "tiny")
    assert code in (0, 2), err  # a busy machine makes it void, and that is right
    return out


def test_a_run_prints_a_table_and_leaves_a_file(measured: Path) -> None:
    (path,) = measured.glob("*.json")
    found = result.read(path)
    assert (found.seed, found.pairs, len(found.runs), found.label) == (7, 2, 2, "tiny")
    assert found.noise["before"] is not None and found.noise["after"] is not None
    assert found.command[:5] == ["python", "-m", "bench", "run", "fanout"]


def test_it_can_be_explained_reported_and_compared(measured: Path, tmp_path: Path) -> None:
    (path,) = measured.glob("*.json")
    code, out, _ = said("explain", str(path))
    assert code == 0 and "capped by" in out and "tiny" in out
    code, out, _ = said("report", str(measured))
    assert code == 0 and "CPU per delivery" in out
    code, out, _ = said("report", str(measured), "--html", str(tmp_path / "site"))
    assert code == 0 and (tmp_path / "site" / "index.html").is_file()
    code, out, _ = said("compare", str(path), str(path))
    assert code == 0 and "show no difference" in out
    code, out, _ = said("compare", str(measured), str(measured))
    assert code == 0 and f"== {path.name}" in out and "ratios within a result show no difference" in out


def test_json_is_the_document(tmp_path: Path) -> None:
    code, out, _ = fanout(tmp_path, "--pairs", "1", "--json")
    assert code in (0, 2)
    result.check(json.loads(out.splitlines()[-1]), "stdout")


def test_a_demand_that_is_not_met_ends_with_1(tmp_path: Path) -> None:
    code, out, _ = fanout(tmp_path, "--pairs", "1", "--slo", "p50<0.000001ms")
    assert code in (1, 2)  # void comes first
    assert code == 2 or "the demand p50<0.000001ms is not met" in out


def test_ctrl_c_keeps_what_was_measured_leaves_no_process_and_can_be_gone_on_with(tmp_path: Path) -> None:
    with begin(
        "run", "fanout", *SMALL, *TINY, "--out", str(tmp_path), "--pairs", "60", "--seed", "1"
    ) as bench:
        assert bench.stderr is not None
        while not (line := bench.stderr.readline()).startswith("[1/60]"):
            assert line, "it ended before its first run"
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()
        os.kill(bench.pid, signal.SIGINT)
        bench.communicate(timeout=30)
    assert bench.returncode == 130
    assert not [child for child in children if alive(int(child))]
    (path,) = tmp_path.glob("*.json")
    found = result.read(path)
    assert (found.verdict, found.stopped_by) == ("incomplete", "interrupted") and found.runs

    shorter = json.loads(path.read_text())
    shorter["pairs"] = len(found.runs) + 1  # the file of one that was after one run more
    path.write_text(json.dumps(shorter))
    code, _, err = said("resume", str(path))
    assert code in (0, 2), err
    assert len(result.read(path).runs) == len(found.runs) + 1


def test_a_suite_goes_on_where_it_stopped(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    entry = '[[measure]]\nid = "{}"\nscenario = "{}"\ntargets = ["floor"]\ntransports = ["sse"]\npairs = 1\nplan = {}\n'
    suite.write_text(
        entry.format("a", "fanout", "{ clients = 5, seconds = 0.2, warmup = 0.1, rates = [50] }")
        + entry.format("b", "idle", "{ counts = [0, 20, 40], seconds = 0.2 }")
    )
    words = ("run", "suite", str(suite), "--out", str(tmp_path / "out"))
    code, _, err = said(*words, "--only", "a")
    assert code in (0, 2), err
    before = (tmp_path / "out" / "a.json").read_text()
    code, _, err = said(*words, "--resume")
    assert code in (0, 2), err
    assert "[1/2] a:" in err and "it is there" in err
    assert (tmp_path / "out" / "a.json").read_text() == before
    assert result.read(tmp_path / "out" / "b.json").runs


def test_what_a_suite_cannot_measure_does_not_keep_it_from_the_rest(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    idle = 'scenario = "idle"\ntargets = ["floor"]\ntransports = ["sse"]\npairs = 1'
    entry = f'[[measure]]\nid = "{{}}"\n{idle}\nplan = {{}}\n'
    suite.write_text(
        entry.format("huge", "{ counts = [0, 99999999] }")
        + entry.format("small", "{ counts = [0, 20, 40], seconds = 0.2 }")
    )
    code, _, err = said("run", "suite", str(suite), "--out", str(tmp_path / "out"))
    assert code == 3 and "cannot measure: " in err and "ulimit -Hn" in err
    assert result.read(tmp_path / "out" / "small.json").runs


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("run", "fanout", "--transport", "pigeon"), 2, "there are sse, cable, cable+ext, cable+deflate"),
        (("run", "fanout", "--target", "nginx"), 2, "nginx"),
        (("run", "fanout", "--target", "nginx", "--target", "floor"), 2, "nginx"),
        (("run", "fanout", "--rate", "fast"), 2, "say 20, or 10,20,40"),
        (("run", "fanout", "--slo", "fast"), 2, "say for example p99<100ms"),
        (("run", "fanout", "--subs", "99999999"), 3, "raise `ulimit -Hn`"),
        (("run", "dance"), 2, "No such command"),
        (("explain", "README.md"), 3, "cannot be read"),
        (("run", "suite", "README.md"), 3, "README.md cannot be read"),
    ],
)
def test_mistakes_are_explained(words: tuple[str, ...], code: int, sentence: str) -> None:
    found, _, err = said(*words)
    assert (found, sentence in err) == (code, True), err


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_has_a_help_with_an_example(scenario: str) -> None:
    code, out, _ = said("run", scenario, "--help")
    assert code == 0 and f"python -m bench run {scenario} " in out


def test_targets_are_listed() -> None:
    code, out, _ = said("targets")
    assert code == 0 and "app" in out and "floor" in out


def test_the_bench_is_watched_on_a_terminal(tmp_path: Path) -> None:
    """In a pseudo-terminal there is the view, and the lines above it."""
    bench = f"{sys.executable} -m bench run fanout {' '.join((*SMALL, *TINY))} --pairs 1 --out {tmp_path}"
    script = subprocess.run(
        ["script", "-qec", bench, "/dev/null"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "load client" in script.stdout and "deliveries" in script.stdout
    assert "[1/1]" in script.stdout
