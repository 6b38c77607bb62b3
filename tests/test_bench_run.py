"""The whole bench against real servers: the floor is clean, and each faulty floor is caught by the real client."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bench import memory, publish, storm, target
from bench.cores import Cores
from bench.errors import Environment
from bench.run import Plan, Run, run
from bench.server import Server
from bench.target import TRANSPORTS, Target

ROOT = Path(__file__).parent.parent
UNPINNED = Cores(None, None)
SMALL = Plan(clients=20, rate=50, seconds=0.4, warmup=0.1, counts=(5,), finish_timeout=0.5)

pytestmark = pytest.mark.live


def faulty(fault: str) -> Target:
    script = str(ROOT / "tests" / "faulty_floor.py")
    command = (sys.executable, script, fault, "--port", "{port}", "--kind", "{kind}")
    return replace(target.floor(), name=fault, command=command, environment={"PYTHONPATH": str(ROOT)})


def losses(made: Run) -> dict[str, int]:
    account = made.facts["load"]["account"]
    return {name: account[name] for name in ("lost", "doubled", "disordered")}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_floor_is_clean(transport: str) -> None:
    made = run(SMALL, target.floor(), transport, UNPINNED)
    assert made.facts["load"]["account"] == {
        "expected": 500,
        "received": 500,
        "lost": 0,
        "doubled": 0,
        "disordered": 0,
    }
    assert made.facts["load"]["measured"] == 400
    assert not [flag for flag in made.flags if flag.severity == "loss"]
    assert made.figures["us_per_delivery"] > 0
    assert 350 < made.figures["bytes_per_delivery"] < 460
    assert 0 < made.figures["p50_ms"] <= made.figures["p99_ms"] <= made.figures["max_ms"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("fault", "name"), [("drop", "lost"), ("double", "doubled"), ("swap", "disordered"), ("none", "")]
)
def test_each_fault_is_caught_on_every_client(fault: str, name: str, transport: str) -> None:
    made = run(SMALL, faulty(fault), transport, UNPINNED)
    assert losses(made) == {
        other: SMALL.clients * (other == name) for other in ("lost", "doubled", "disordered")
    }
    assert [flag.code for flag in made.flags if flag.severity == "loss"] == (["sequence"] if name else [])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_bursts_are_checked_update_by_update(transport: str) -> None:
    plan = replace(SMALL, rate=5, batch=40, warmup=0.2)
    made = run(plan, target.floor(), transport, UNPINNED)
    assert losses(made) == {"lost": 0, "doubled": 0, "disordered": 0}
    assert made.facts["load"]["account"]["expected"] == 3 * 40 * plan.clients


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_storm_counts_until_the_first_update(transport: str) -> None:
    made = storm.storm(target.floor(), transport, storm.Weather(clients=50, rounds=1, in_flight=8), UNPINNED)
    assert made.facts["rounds"][1]["first_update"]["count"] == 50
    assert made.figures["connects_per_second"] > 0


def test_memory_is_a_slope() -> None:
    made = memory.memory(target.floor(), "sse", [0, 100, 200], UNPINNED)
    assert [count for count, _ in made.facts["memory"]] == [0, 100, 200]


def test_publishes_in_flight_arrive_exactly_once() -> None:
    made = publish.crowded(target.floor(), in_flight=8, seconds=0.2, cores=UNPINNED)
    assert not [flag for flag in made.flags if flag.severity == "loss"]
    assert made.facts["load"]["account"]["lost"] == 0
    assert made.figures["publishes_per_second"] > 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_lone_publish_is_held_against_an_fsync(transport: str) -> None:
    made = publish.lone(target.floor(), transport, 5, UNPINNED)
    assert made.facts["fsync"]["count"] == publish.FSYNCS
    assert made.facts["load"]["measured"] == 5


def test_a_server_that_does_not_start_is_quoted_and_leaves_nothing() -> None:
    broken = replace(target.floor(), command=(sys.executable, "-c", "raise SystemExit('no such port')"))
    with pytest.raises(Environment, match="no such port"), Server(broken):
        pass


def test_the_server_dies_with_the_bench() -> None:
    """Even when the bench is killed and can clean up nothing."""
    script = (
        "import sys, time; from bench import target; from bench.server import Server\n"
        "with Server(target.floor()) as server:\n print(server.pid, flush=True)\n time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as bench:
        assert bench.stdout is not None
        server = int(bench.stdout.readline())
        bench.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while alive(server):
        assert time.monotonic() < deadline, "the floor outlived the bench"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command(tmp_path: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words, "--target", "floor", "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_quick_prints_a_table_and_writes_a_file(tmp_path: Path) -> None:
    small = ("--clients", "20", "--seconds", "0.3", "--pairs", "1", "--seed", "1")
    with command(tmp_path, "quick", *small) as bench:
        out, err = bench.communicate(timeout=60)
    assert bench.returncode in (0, 2), err  # a busy machine makes the run void, and that is right
    assert b"us/delivery" in out
    (path,) = tmp_path.glob("*-quick.json")
    found = orjson.loads(path.read_bytes())
    assert (found["schema_version"], found["seed"], len(found["runs"])) == (1, 1, 2)


def test_ctrl_c_keeps_what_was_measured_and_leaves_no_process(tmp_path: Path) -> None:
    with command(tmp_path, "quick", "--clients", "20", "--seconds", "0.3", "--pairs", "50") as bench:
        assert bench.stderr is not None
        assert bench.stderr.readline().startswith(b"seed")
        assert b"us" in bench.stderr.readline()
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()
        os.kill(bench.pid, signal.SIGINT)
        bench.communicate(timeout=20)
    assert bench.returncode == 130
    (path,) = tmp_path.glob("*-quick.json")
    found = orjson.loads(path.read_bytes())
    assert (found["verdict"], found["stopped_by"]) == ("incomplete", "interrupted")
    assert found["runs"]
    assert not [child for child in children if alive(int(child))]


def test_unknown_names_are_usage_errors(tmp_path: Path) -> None:
    with command(tmp_path, "quick", "--transport", "carrier-pigeon") as bench:
        _, err = bench.communicate(timeout=20)
    assert bench.returncode == 2
    assert b"there are sse, cable" in err


def test_the_bench_imports_nothing_of_the_app() -> None:
    for path in (ROOT / "bench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.partition(".")[0] == "dashboard_rt"], path
