"""bench/session.py: what is measured is kept run by run, can be gone on with, and ends with the right verdict."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bench import preflight, result, session
from bench.errors import Environment
from bench.measure import environment
from bench.measure.cores import Cores
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios import Scenario
from bench.scenarios.plan import param
from bench.serving import target
from bench.session import Options, Session, exit_code
from bench.stage import Setup
from bench.suite import Cell
from tests.bench import results as made

ALLOWED = sorted(os.sched_getaffinity(0))
CELLS = [Cell(target.by_name("app"), "sse"), Cell(target.by_name("app"), "cable")]


@dataclass(frozen=True)
class Plan:
    """Of a scenario that measures nothing."""

    clients: int = param(10, "Clients.")
    slo: str = param("", "Demand.")
    rates: tuple[float, ...] = param((20.0,), "Rates.")


def scenario(measure: Callable[[Plan, Setup], list[Run]]) -> Scenario:
    return Scenario("fanout", "nothing", Plan, measure, ("us_per_delivery",))


def quiet(plan: Plan, setup: Setup) -> list[Run]:
    return [made.run(setup.target.name, setup.transport, setup.pair, us_per_delivery=7.0, p99_ms=5.0)]


def options(out: Path, **more: Any) -> Options:
    return Options(**{"pairs": 2, "seed": 1, "out": out, "id": "one", "gated": False, **more})


def test_every_run_is_in_the_file_with_its_order(tmp_path: Path) -> None:
    found = Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    assert result.read(tmp_path / "one.json") == found
    assert [run.order for run in found.runs] == [0, 1, 2, 3]
    assert (found.verdict, exit_code(found), len(found.runs)) == ("ok", 0, 4)
    assert found.finished_at is not None and all(run.started_at for run in found.runs)


def test_the_file_of_a_row_names_no_path_of_this_machine(tmp_path: Path) -> None:
    found = Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    assert found.rows[0]["command"][0] == "python"
    assert str(Path.cwd()) not in (tmp_path / "one.json").read_text()


@pytest.mark.parametrize(
    ("flag", "plan", "verdict", "code"),
    [
        (Flag("loss", "x", "y"), Plan(), "loss", 1),
        (Flag("void", "x", "y"), Plan(), "void", 2),
        (Flag("warn", "x", "y"), Plan(), "ok", 0),
        (None, Plan(slo="p99<1ms"), "slo", 1),
        (None, Plan(slo="p99<9ms"), "ok", 0),
        (None, Plan(slo="p99<1ms", rates=(1.0, 2.0)), "ok", 0),
        (Flag("void", "x", "y"), Plan(slo="p99<1ms"), "void", 2),
    ],
)
def test_verdicts(tmp_path: Path, flag: Flag | None, plan: Plan, verdict: str, code: int) -> None:
    def measure(plan: Plan, setup: Setup) -> list[Run]:
        return [replace(one, flags=[flag] if flag else []) for one in quiet(plan, setup)]

    found = Session(scenario(measure), plan, CELLS, options(tmp_path)).perform()
    assert (found.verdict, exit_code(found)) == (verdict, code)


def test_every_measurement_of_a_process_has_a_core_for_each_side(tmp_path: Path) -> None:
    """The bench moves to the load's core; the next measurement of a suite must not take that for all there is."""
    first, second = (
        Session(scenario(quiet), Plan(), CELLS, options(tmp_path, id=name)).perform() for name in ("a", "b")
    )
    assert second.cores == first.cores == {"server": ALLOWED[0], "client": ALLOWED[1]}


def test_a_shared_core_voids_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "choose", lambda: Cores(None, None))
    found = Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    assert {flag.code for run in found.runs for flag in run.flags} == {"cores"}
    assert found.verdict == "void"


@pytest.mark.parametrize(("rates", "verdict"), [([20.0], "void"), ([20.0, 40.0], "ok")])
def test_a_sweep_may_end_where_the_load_client_does(rates: list[float], verdict: str) -> None:
    runs = [made.run("app", "sse", 0, Flag("void", "client", "full"), point=rates[-1])]
    assert session.verdict(made.result(*runs, plan={"rates": rates})) == verdict


def test_a_noisy_machine_voids_what_was_measured() -> None:
    loud = {"verdict": "void", "reasons": ["loud"]}
    document = made.result(made.run("app", "sse", 0), noise={"before": loud, "after": None})
    assert session.verdict(document) == "void"


@pytest.mark.parametrize(
    ("error", "stopped_by", "code"),
    [(KeyboardInterrupt(), "interrupted", 130), (Environment("no disk"), "no disk", 3)],
)
def test_what_was_measured_before_an_end_is_kept_and_gone_on_with(
    tmp_path: Path, error: BaseException, stopped_by: str, code: int
) -> None:
    seen: list[tuple[int, str]] = []

    def measure(plan: Plan, setup: Setup) -> list[Run]:
        if len(seen) == 3 and not tmp_path.joinpath("mended").exists():
            raise error
        seen.append((setup.pair, setup.transport))
        return quiet(plan, setup)

    said: list[str] = []
    left = Session(scenario(measure), Plan(), CELLS, options(tmp_path), tell=said.append).perform()
    assert (left.verdict, left.stopped_by, exit_code(left)) == ("incomplete", stopped_by, code)
    assert len(result.read(tmp_path / "one.json").runs) == 3
    assert any(stopped_by in line or "interrupted" in line for line in said)

    (tmp_path / "mended").touch()
    whole = Session(scenario(measure), Plan(), CELLS, options(tmp_path, resume=True)).perform()
    assert (whole.verdict, whole.stopped_by, len(whole.runs)) == ("ok", None, 4)
    assert len(seen) == len(set(seen)) == 4, "a run was made twice"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "interrupted: no run had ended yet"),
        (OSError(24, "Too many open files"), "cannot measure: this machine: Too many open files"),
    ],
)
def test_an_end_before_the_first_run_is_said_and_leaves_no_file(
    tmp_path: Path, error: BaseException, words: str
) -> None:
    def measure(plan: Plan, setup: Setup) -> list[Run]:
        raise error

    said: list[str] = []
    found = Session(scenario(measure), Plan(), CELLS, options(tmp_path), tell=said.append).perform()
    assert (found.verdict, said[-1]) == ("incomplete", words)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_for_the_next_one_again_afterwards(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in session.STOPS]
    Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    assert [signal.getsignal(number) for number in session.STOPS] == before


def test_what_no_disk_takes_is_incomplete_and_still_there_to_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(found: result.Result, out: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(result, "write", full)
    said: list[str] = []
    found = Session(scenario(quiet), Plan(), CELLS, options(tmp_path), tell=said.append).perform()
    assert (found.verdict, exit_code(found), len(found.runs)) == ("incomplete", 3, 1)
    assert "nothing is kept; make room" in said[-1]


def test_each_run_is_heard_of_once_it_is_kept(tmp_path: Path) -> None:
    heard: list[tuple[str, int]] = []

    def hear(run: Run) -> None:
        heard.append((run.row, len(result.read(tmp_path / "one.json").runs)))

    Session(scenario(quiet), Plan(), CELLS[:1], options(tmp_path), on_run=hear).perform()
    assert heard == [("app sse", 1), ("app sse", 2)]


def test_the_plan_is_what_the_scenario_makes_of_it_for_these_targets(tmp_path: Path) -> None:
    made = scenario(quiet)._replace(prepare=lambda plan, targets: (replace(plan, clients=7), "seven it is"))
    said: list[str] = []
    found = Session(made, Plan(), CELLS, options(tmp_path), tell=said.append).perform()
    assert found.plan["clients"] == 7 and said[0] == "seven it is"


def test_a_target_that_cannot_run_is_found_before_the_others_are_measured(tmp_path: Path) -> None:
    absent = replace(target.floor(), name="absent", command=("no-such-program",))
    with pytest.raises(Environment, match="absent: there is no program"):
        Session(scenario(quiet), Plan(), [*CELLS, Cell(absent, "sse")], options(tmp_path))


def test_what_is_finished_needs_nothing_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    monkeypatch.setattr(preflight, "check", lambda targets: pytest.fail("nothing is to be started"))
    monkeypatch.setattr(session, "check_folder", lambda out: pytest.fail("nothing is to be written"))
    assert Session(scenario(quiet), Plan(), CELLS, options(tmp_path, resume=True)).perform() == before


def test_two_that_begin_in_the_same_second_have_a_file_each(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    (tmp_path / "a-2.json").touch()
    assert (session.unused("a", tmp_path), session.unused("b", tmp_path)) == ("a-3", "b")


def test_a_command_line_that_is_no_text_is_still_a_result(tmp_path: Path) -> None:
    words = session.spelt(["--out", os.fsdecode(b"r\xff")])
    assert words == ["--out", "r\\xff"]


def test_only_the_same_can_be_gone_on_with(tmp_path: Path) -> None:
    Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    for plan, cells, seed in ((Plan(clients=5), CELLS, 1), (Plan(), CELLS[:1], 1), (Plan(), CELLS, 2)):
        with pytest.raises(Environment, match="use another --out to begin anew"):
            Session(scenario(quiet), plan, cells, options(tmp_path, resume=True, seed=seed))


def test_what_other_code_or_another_machine_began_cannot_be_gone_on_with(tmp_path: Path) -> None:
    left = Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    left.environment = {**left.environment, "kernel": "0.1"}
    result.write(left, tmp_path)
    with pytest.raises(Environment, match="begun with another kernel"):
        Session(scenario(quiet), Plan(), CELLS, options(tmp_path, resume=True))


def test_what_is_finished_is_left_alone(tmp_path: Path) -> None:
    def never(plan: Plan, setup: Setup) -> list[Run]:
        raise AssertionError("measured again")

    made_ = Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    said: list[str] = []
    again = Session(
        scenario(never), Plan(), CELLS, options(tmp_path, resume=True), tell=said.append
    ).perform()
    assert again == made_ and said == ["it is there: ok"]


def test_code_that_was_changed_meanwhile_voids_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter(["before", "after"])
    monkeypatch.setattr(environment, "code", lambda: next(states))
    found = Session(scenario(quiet), Plan(), CELLS, options(tmp_path)).perform()
    assert found.verdict == "void" and {flag.code for run in found.runs for flag in run.flags} == {"code"}


def test_a_demand_that_is_none_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no demand"):
        Session(scenario(quiet), Plan(slo="fast"), CELLS, options(tmp_path))


def test_ids_sort_by_time_and_tell_plans_apart() -> None:
    one, other = (session.new_id(scenario(quiet), plan, 1) for plan in (Plan(), Plan(clients=5)))
    assert one[:-4] == other[:-4] or one[:8] == other[:8]
    assert one[-4:] != other[-4:]
