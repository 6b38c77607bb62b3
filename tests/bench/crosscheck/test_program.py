"""bench/crosscheck, the C tool: against the floor and faulty floors, and what it refuses to measure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.serving import target
from bench.serving.server import Server
from tests.bench.crosscheck.tool import CLIENTS, TRANSPORTS, books, free_port, measure
from tests.bench.small_targets import faulty

pytestmark = pytest.mark.live

# ---- real servers


@pytest.mark.parametrize("transport", ["sse", pytest.param("cable", marks=pytest.mark.slow)])
def test_the_floor_is_clean(plain: Path, transport: str) -> None:
    with Server(target.floor()) as server:
        outcome = measure(plain, server.port, server.pid, transport, "--rate", "50", "--seconds", "0.4")
    assert outcome.status == 0, outcome.said
    assert outcome.said == ""
    found = outcome.found
    assert (found["deliveries"], *books(outcome)) == (20 * CLIENTS, 0, 0, 0, 0)
    assert found["us_per_delivery"] > 0
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"] * 1.01
    assert 0 < found["client_cpu_share"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_receiver_that_never_sleeps_hears_the_same_and_may_keep_its_core_busy(
    plain: Path, transport: str
) -> None:
    with Server(target.floor()) as server:
        asleep = measure(plain, server.port, server.pid, transport)
        awake = measure(plain, server.port, server.pid, transport, "--awake")
    assert (awake.status, awake.said) == (0, "")
    assert (awake.found["deliveries"], *books(awake)) == (20 * CLIENTS, 0, 0, 0, 0)
    assert awake.found["client_cpu_share"] > 2 * asleep.found["client_cpu_share"]


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_state_stream_begins_with_an_update_that_is_not_ours(plain: Path, transport: str) -> None:
    with Server(target.floor(), kind="state") as server:
        once = ("--rate", "50", "--seconds", "0.2")
        measure(plain, server.port, server.pid, transport, *once, clients=1)
        outcome = measure(plain, server.port, server.pid, transport, *once)
    assert (outcome.status, *books(outcome)) == (0, 0, 0, 0, 0), outcome.said


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_long_updates_arrive_whole(checked: Path, transport: str) -> None:
    with Server(target.floor()) as server:
        outcome = measure(checked, server.port, server.pid, transport, "--size", "60000", clients=3)
    assert (outcome.status, outcome.found["deliveries"]) == (0, 60), outcome.said


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "wrong"), [("drop", 0), ("double", 1), ("swap", 2)])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_fault_is_found_on_every_client(plain: Path, transport: str, fault: str, wrong: int) -> None:
    expected = [0, 0, 0, 0]
    expected[wrong] = CLIENTS
    with Server(faulty(fault)) as server:
        outcome = measure(plain, server.port, server.pid, transport, "--seconds", "0.2")
    assert outcome.status == 1, outcome.said
    assert list(books(outcome)) == expected


@pytest.mark.slow
def test_a_core_that_others_keep_busy_is_no_place_to_measure(plain: Path) -> None:
    core = max(os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, {{{core}}}); print(flush=True)\nwhile True: pass"
    with (
        subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as neighbour,
        Server(target.floor()) as server,
    ):
        assert neighbour.stdout is not None
        neighbour.stdout.readline()
        outcome = measure(plain, server.port, server.pid, "sse", "--core", str(core))
        neighbour.kill()
    assert outcome.status == 2
    assert outcome.found["core_share"] > 0.8
    assert "give it less load, or to itself" in outcome.said


# ---- what cannot be measured


def test_nobody_listens(plain: Path) -> None:
    outcome = measure(plain, free_port(), os.getpid(), "sse")
    assert (outcome.status, outcome.found) == (3, {})
    assert "is the server running there?" in outcome.said


def test_a_process_that_is_not_there(plain: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    outcome = measure(plain, free_port(), gone.pid, "sse")
    assert outcome.status == 3
    assert f"process {gone.pid} of the server is not there" in outcome.said


@pytest.mark.slow
def test_a_process_that_is_another(plain: Path) -> None:
    idle = "import sys; print(flush=True); sys.stdin.read()"
    with (
        subprocess.Popen(
            [sys.executable, "-c", idle], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
        Server(target.floor()) as server,
    ):
        assert other.stdout is not None
        other.stdout.readline()
        outcome = measure(plain, server.port, other.pid, "sse", "--seconds", "0.2")
    assert outcome.status == 3
    assert "used no CPU" in outcome.said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--rate", "fast"), "--rate is 'fast': give a number from"),
        (("--clients", "1.5"), "give a whole number"),
        (("--clients", "0"), "give a number from 1"),
        (("--transport", "pigeon"), "give sse or cable"),
        (("--stream", 'a"b'), "letters, digits"),
        (("--host", "localhost"), "an IPv4 address"),
        (("--core", "1023"), "give one that this process may run on"),
        (("--speed", "1"), "--transport sse|cable"),
        (("extra",), "are needed"),
    ],
)
def test_a_wrong_command_line_is_refused(plain: Path, words: Sequence[str], why: str) -> None:
    outcome = measure(plain, 1, os.getpid(), "sse", *words)
    assert (outcome.status, outcome.found) == (3, {})
    assert why in outcome.said


def test_help_is_no_failure(plain: Path) -> None:
    command = [str(plain), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--transport sse|cable" in done.stdout
