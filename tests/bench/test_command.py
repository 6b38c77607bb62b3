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
from bench.serving.builtin import FLOOR
from bench.serving.program import alive
from bench.session import Session
from tests.bench import results
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


def test_json_is_a_line_a_run_and_the_document_and_a_demand_that_is_not_met_ends_with_1(
    tmp_path: Path,
) -> None:
    code, out, _ = fanout(tmp_path, "--pairs", "2", "--json", "--slo", "p50<0.000001ms")
    assert code in (1, 2)  # void comes first
    *runs, found = (json.loads(line) for line in out.splitlines())
    assert [(run["row"], run["pair"]) for run in runs] == [("floor sse", 0), ("floor sse", 1)]
    assert [run["figures"] for run in runs] == [run["figures"] for run in found["runs"]]
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


@pytest.fixture
def unstarted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a result, in which nothing may be measured."""

    def started(self: Session) -> None:
        raise AssertionError("a measurement has begun")

    monkeypatch.setattr(Session, "perform", started)
    monkeypatch.chdir(tmp_path)
    made = results.result(results.run("floor", "sse", 0, us_per_delivery=7.0), id="one")
    result.write(made, tmp_path)
    result.write(made, tmp_path / "copies").rename(tmp_path / "copies" / "two.json")
    gone = results.result(results.run("gone", "sse", 0, us_per_delivery=7.0), id="gone")
    result.write(gone, tmp_path)
    mute = results.result(results.run("floor", "cable+ext", 0, us_per_delivery=7.0), id="mute")
    result.write(mute, tmp_path)
    (tmp_path / "file").touch()
    return tmp_path


RATE = "0.01 to 10,000"


@pytest.mark.usefixtures("unstarted")
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("run fanout --subs 0", 2, "'--subs': 0 is not in the range: say 1 or more"),
        ("run fanout --rate 0", 2, f"'--rate': 0 is not in the range: say {RATE}"),
        ("run fanout --rate nan", 2, f"'--rate': nan is not in the range: say {RATE}"),
        ("run fanout --rate 5..inf", 2, RATE),
        ("run slow --rate -5", 2, f"'--rate': -5 is not in the range: say {RATE}"),
        ("run soak --minutes inf", 2, "'--minutes': inf is not in the range: say 0.01 to 10,080"),
        ("run fanout --kind stage", 2, "'stage' is not one of 'log', 'state'"),
        ("run slow --stuck 100", 2, "let 19 do so at most"),
        ("run idle --counts 0", 2, "two counts at least"),
        ("run fanout --pairs 0", 2, "1<=x<=1000"),
        ("run fanout --pairs 1001", 2, "1<=x<=1000"),
        ("run fanout --seed -1", 2, "0<=x<="),
        ("run fanout --label \n", 2, "one line of 1 to 200 characters"),
        ("run fanout --label \udcff", 2, "one line of 1 to 200 characters"),
        ("run fanout --transport sse,sse", 2, "'sse' is there 2 times"),
        ("run fanout --target app,app", 2, "'app' is there 2 times"),
        ("run fanout --target app --target app", 2, "'app' is there 2 times"),
        ("run outage --target app", 3, "app has no service 'redis' to lose"),
        ("run storm --until noon", 2, "'noon' is not one of 'auto', 'update', 'confirmation'"),
        ("quick --within 0", 2, "say 1 to 86,400"),
        ("quick --within nan", 2, "say 1 to 86,400"),
        ("quick --pairs 0", 2, "1<=x<=1000"),
        ("run fanout --out file", 3, "results cannot be written to file (File exists)"),
        ("quick --out file/below", 3, "results cannot be written to file/below (Not a directory)"),
        ("reproduce one.json --out file", 3, "results cannot be written to file"),
        ("reproduce one.json --pairs 0", 2, "1<=x<=1000"),
        ("reproduce gone.json", 3, "no target 'gone'; there are app, "),
        ("reproduce mute.json", 3, "floor does not speak cable+ext"),
        ("resume copies/two.json", 3, "give it the name one.json to go on with it"),
        ("resume file", 3, "file cannot be read"),
        ("claims --check --against .", 2, "leave out --check and --write"),
        ("report copies --html file", 3, "cannot be written to file"),
    ],
)
def test_nothing_is_begun_that_has_no_sense(words: str, code: int, sentence: str) -> None:
    found, out, err = run(*words.split(" "))
    assert (found, out, sentence in err) == (code, "", True), err


@pytest.mark.usefixtures("unstarted")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--only", "a,zz"), "has no entry 'zz'; there are a, b"),
        (("--only", ""), "has no entry ''; there are a, b"),
        (("--out", "file"), "results cannot be written to file"),
        (("--out", "full"), "full has results of b already: go on with --resume, or name another --out"),
    ],
)
def test_a_suite_is_looked_at_whole_before_its_first_entry(
    words: Sequence[str], sentence: str, tmp_path: Path
) -> None:
    file = suite(tmp_path / "suite.toml", ("a", "fanout", "{ clients = 5 }"), ("b", "idle", "{}"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "b.json").touch()
    code, _, err = run("run", "suite", file, *words)
    assert (code, sentence in err) == (3, True), err


@pytest.mark.usefixtures("unstarted")
def test_a_target_of_a_later_entry_that_is_not_there(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite.toml", ("a", "fanout", "{}"), ("b", "fanout", "{}"))
    text = Path(file).read_text()
    Path(file).write_text("gone".join(text.rsplit("floor", 1)))
    code, _, err = run("run", "suite", file)
    assert (code, "b: no target 'gone'; there are app, " in err) == (3, True), err


@pytest.mark.slow
def test_ctrl_c_before_anything_has_begun_leaves_no_traceback(tmp_path: Path) -> None:
    with begin("run", "fanout", *SMALL, "--out", str(tmp_path)) as bench:
        while not Path(f"/proc/{bench.pid}/maps").read_text().count("select"):  # it imports its modules
            assert bench.poll() is None
        os.kill(bench.pid, signal.SIGINT)
        _, err = bench.communicate(timeout=60)
    assert (bench.returncode, "Traceback" in err) == (130, False), err


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
        _, err = bench.communicate(timeout=60)
    assert (bench.returncode, "Traceback" in err) == (130, False), err
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
def test_a_target_of_a_file_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        f'start = ["{{python}}", "{FLOOR}", "--port", "{{port}}", "--kind", "{{kind}}"]\ntransports = ["sse"]\n'
    )
    tiny = ("--target", str(file), "--transport", "sse", *TINY, "--pairs", "1", "--out", str(tmp_path))
    code, _, err = run("run", "fanout", *tiny)
    assert code in (0, 2), err
    (path,) = tmp_path.glob("*.json")
    cut_short = json.loads(path.read_text()) | {"pairs": 2, "verdict": "incomplete", "finished_at": None}
    path.write_text(json.dumps(cut_short))
    code, _, err = run("resume", str(path))
    assert code in (0, 2), err
    assert [one.row for one in result.read(path).runs] == ["mine sse"] * 2
    file.unlink()
    code, _, err = run("reproduce", str(path), "--out", str(tmp_path / "again"))
    assert (code, f"no target '{file}'; there are app, " in err) == (3, True), err


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
