"""`python -m bench` as a user meets it: tables, files, exit codes, Ctrl-C, going on, mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import result
from bench.__main__ import QUICK, main
from bench.scenarios import SCENARIOS
from bench.serving.program import alive
from tests.bench.small_targets import ROOT

SMALL = ("--target", "floor", "--transport", "sse")
TINY = ("--subs", "10", "--rate", "50", "--seconds", "0.2", "--warmup", "0.1")

pytestmark = pytest.mark.live


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process, which spares it the start of another."""
    allowed = os.sched_getaffinity(0)
    done = CliRunner().invoke(main, words)
    os.sched_setaffinity(0, allowed)  # the bench moves to the core of the load
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def begin(*words: str) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def fanout(out: Path, *more: str) -> tuple[int, str, str]:
    return run("run", "fanout", *SMALL, *TINY, "--out", str(out), *more)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small result."""
    out = tmp_path_factory.mktemp("measured")
    code, _, err = fanout(out, "--pairs", "2", "--seed", "7", "--label", "tiny")
    assert code in (0, 2), err  # a busy machine makes it void, and that is right
    return out


def test_a_process_of_its_own_lists_the_targets() -> None:
    with begin("targets") as bench:
        out, err = bench.communicate(timeout=60)
    assert bench.returncode == 0, err
    assert "app" in out and "floor" in out


def test_a_run_leaves_a_file(measured: Path) -> None:
    (path,) = measured.glob("*.json")
    found = result.read(path)
    assert (found.seed, found.pairs, len(found.runs), found.label) == (7, 2, 2, "tiny")
    assert found.noise["before"] is not None and found.noise["after"] is not None


def test_it_can_be_explained_reported_and_compared(measured: Path, tmp_path: Path) -> None:
    (path,) = measured.glob("*.json")
    code, out, _ = run("explain", str(path))
    assert code == 0 and "capped by" in out and "tiny" in out
    code, out, _ = run("report", str(measured))
    assert code == 0 and "CPU per delivery" in out
    code, out, _ = run("report", str(measured), "--html", str(tmp_path / "site"))
    assert code == 0 and (tmp_path / "site" / "index.html").is_file()
    code, out, _ = run("compare", str(path), str(path))
    assert code == 0 and "show no difference" in out
    code, out, _ = run("compare", str(measured), str(measured))
    assert code == 0 and f"== {path.name}" in out and "ratios within a result show no difference" in out


def test_it_can_be_measured_again(measured: Path, tmp_path: Path) -> None:
    (path,) = measured.glob("*.json")
    code, out, err = run("reproduce", str(path), "--out", str(tmp_path), "--pairs", "1")
    assert code in (0, 2), err
    assert "figures show no difference" in out
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_json_is_the_document_and_a_demand_that_is_not_met_ends_with_1(tmp_path: Path) -> None:
    code, out, _ = fanout(tmp_path, "--pairs", "1", "--json", "--slo", "p50<0.000001ms")
    assert code in (1, 2)  # void comes first
    found = json.loads(out.splitlines()[-1])
    result.check(found, "stdout")
    assert found["verdict"] == {1: "slo", 2: "void"}[code]


def test_quick_needs_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUICK, "clients", 10)
    monkeypatch.setitem(QUICK, "seconds", 0.2)
    monkeypatch.setitem(QUICK, "warmup", 0.1)
    code, out, err = run("quick", *SMALL, "--pairs", "1", "--out", str(tmp_path))
    assert code in (0, 2), err
    assert "CPU per delivery" in out


def test_the_doctor_ends_with_0_where_it_can_be_measured() -> None:
    code, out, _ = run("doctor")
    assert code == (0 if len(os.sched_getaffinity(0)) > 1 else 3)
    assert "open files" in out


def test_claims_are_told() -> None:
    code, out, _ = run("claims")
    assert code == 0 and "CONFIRMED" in out


def suite(path: Path, *entries: tuple[str, str, str]) -> str:
    """The path of a suite file with entries of (id, scenario, plan)."""
    rest = 'targets = ["floor"]\ntransports = ["sse"]\npairs = 1\n'
    path.write_text(
        "".join(
            f'[[measure]]\nid = "{name}"\nscenario = "{scenario}"\n{rest}plan = {plan}\n'
            for name, scenario, plan in entries
        )
    )
    return str(path)


def test_a_suite_goes_on_where_it_stopped_whatever_cannot_be_measured(tmp_path: Path) -> None:
    file = suite(
        tmp_path / "suite.toml",
        ("a", "fanout", "{ clients = 5, seconds = 0.2, warmup = 0.1, rates = [50] }"),
        ("huge", "idle", "{ counts = [0, 99999999] }"),
        ("b", "idle", "{ counts = [0, 20, 40], seconds = 0.2 }"),
    )
    words = ("run", "suite", file, "--out", str(tmp_path / "out"))
    code, _, err = run(*words, "--only", "a")
    assert code in (0, 2), err
    before = (tmp_path / "out" / "a.json").read_text()
    code, _, err = run(*words, "--resume")
    assert code == 3 and "cannot measure: " in err and "ulimit -Hn" in err
    assert "[1/3] a:" in err and "it is there" in err
    assert (tmp_path / "out" / "a.json").read_text() == before
    assert result.read(tmp_path / "out" / "b.json").runs


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
def test_mistakes_are_explained(
    words: Sequence[str], code: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    found, _, err = run(*words)
    assert (found, sentence in err) == (code, True), err


def test_every_scenario_has_a_help_with_an_example() -> None:
    for scenario in SCENARIOS:
        code, out, _ = run("run", scenario, "--help")
        assert code == 0 and f"python -m bench run {scenario} " in out


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured_leaves_no_process_and_can_be_gone_on_with(tmp_path: Path) -> None:
    with begin(
        "run", "fanout", *SMALL, *TINY, "--out", str(tmp_path), "--pairs", "60", "--seed", "1"
    ) as bench:
        assert bench.stderr is not None
        while not (line := bench.stderr.readline()).startswith("[1/60]"):
            assert line, "it ended before its first run"
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()
        os.kill(bench.pid, signal.SIGINT)
        bench.communicate(timeout=60)
    assert bench.returncode == 130
    assert not [child for child in children if alive(int(child))]
    (path,) = tmp_path.glob("*.json")
    found = result.read(path)
    assert (found.verdict, found.stopped_by) == ("incomplete", "interrupted") and found.runs
    assert found.command[:5] == ["python", "-m", "bench", "run", "fanout"]

    shorter = json.loads(path.read_text())
    shorter["pairs"] = len(found.runs) + 1  # the file of one that was after one run more
    path.write_text(json.dumps(shorter))
    code, _, err = run("resume", str(path))
    assert code in (0, 2), err
    assert len(result.read(path).runs) == len(found.runs) + 1


@pytest.mark.slow
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
