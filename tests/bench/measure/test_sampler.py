"""bench/measure/sampler.py: looks at a process beside us, says what it cost, and leaves memory alone while told to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.measure.sampler import COLUMNS, Sampler, Watched, gauge

pytestmark = pytest.mark.live

METRICS = """# HELP app_lag_seconds Lag.
# TYPE app_lag_seconds gauge
app_lag_seconds{worker="1"} 0.002
app_lag_seconds{worker="2"} 0.004
app_other 7
"""


@pytest.fixture
def idle() -> Iterator[int]:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def hears(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(path))
    made.settimeout(20)
    return made


def test_samples_come_until_it_is_stopped(idle: int, tmp_path: Path) -> None:
    status = tmp_path / "status"
    with (
        hears(status) as beside,
        Sampler(Watched(idle, None, None, interval=0.05, status=str(status))) as sampler,
    ):
        for _ in range(3):
            assert b'"from": "sampler"' in beside.recv(4000)
        sampler.tell("window")
        while b'"pss_kb": null' not in beside.recv(4000):
            pass
        sampler.tell("free")
        while b'"pss_kb": null' in beside.recv(4000):
            pass
    found = sampler.samples()
    assert found["columns"] == list(COLUMNS)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in found["rows"]]
    assert len(rows) >= 5 and all(
        row["rss_kb"] > 0 and row["fds"] >= 3 and row["threads"] == 1 for row in rows
    )
    assert {row["pss_kb"] is None for row in rows} == {True, False}
    assert [row["t_s"] for row in rows] == sorted(row["t_s"] for row in rows)
    assert sampler.cost["samples"] == len(rows) and sampler.cost["us_per_sample"] > 0


def test_a_series_that_no_pipe_would_hold_is_whole(idle: int, tmp_path: Path) -> None:
    """A soak of hours: more than the 64 KiB of a pipe are said before anybody reads."""
    status, heard = tmp_path / "status", 0
    with hears(status) as beside:
        beside.settimeout(5)
        with Sampler(Watched(idle, None, None, interval=0.0, status=str(status))) as sampler:
            while heard <= 2**16:
                row = [value for name, value in json.loads(beside.recv(4000)).items() if name in COLUMNS]
                heard += len(json.dumps(row)) + 1
    rows = sampler.samples()["rows"]
    assert len(json.dumps(rows)) > 2**16
    assert sampler.cost["samples"] == len(rows)


def test_another_process_can_be_watched_in_its_place(idle: int, tmp_path: Path) -> None:
    status = tmp_path / "status"
    with (
        hears(status) as beside,
        Sampler(Watched(idle, None, None, interval=0.05, status=str(status))) as sampler,
    ):
        beside.recv(4000)
        sampler.tell(f"pid {os.getpid()}")
        before = None
        while before is None or b'"threads": 1,' in before:
            before = beside.recv(4000)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in sampler.samples()["rows"]]
    assert all(row["user_ms"] >= 0 and row["voluntary"] >= 0 for row in rows), (
        "counters of two processes mixed"
    )


def test_a_process_that_has_gone_leaves_zeros(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    status = tmp_path / "status"
    with hears(status) as beside, Sampler(Watched(gone.pid, None, None, 0.05, status=str(status))):
        assert b'"rss_kb": 0' in beside.recv(4000)


@pytest.mark.parametrize(("name", "ms"), [("app_lag_seconds", 4.0), ("app_other", 7000.0), ("app", None)])
def test_the_worst_of_a_gauge(name: str, ms: float | None) -> None:
    assert gauge(METRICS, name) == ms
