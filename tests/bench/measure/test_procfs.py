"""bench/measure/procfs.py against what is known about our own children."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.measure import procfs

BUSY = "import os\nos.fork()\nx = bytearray(20_000_000)\nprint(flush=True)\nimport sys; sys.stdin.read()"


@pytest.fixture
def family() -> Iterator[int]:
    """A process and its child, 20 MB each, idle until stdin ends."""
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.stdout.readline()
        yield parent.pid
        assert parent.stdin is not None
        parent.stdin.close()


def test_a_tree_is_weighed_whole(family: int) -> None:
    pids = procfs.tree(family)
    assert len(pids) == 2
    assert procfs.pss_kb(family) > 2 * 20_000_000 / 1024
    used = procfs.usage(family)
    assert used.cpu_ns > 0
    assert used.since(used) == procfs.Usage(0, 0, 0, 0, 0, 0)


def test_the_cpu_clock_of_a_process_is_the_one_it_sees_itself() -> None:
    before = procfs.cpu_ns(os.getpid())
    sum(range(1_000_000))
    assert procfs.cpu_ns(os.getpid()) > before + 1_000_000


def test_a_process_that_ended_has_used_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert procfs.pss_kb(gone.pid) == 0
    assert procfs.usage(gone.pid).cpu_ns == 0


def test_cores_and_filesystems(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    assert procfs.core_time(core).charged_ns > 0
    assert procfs.core_time(10_000) == procfs.CoreTime(0, 0, 0)
    assert procfs.filesystem(tmp_path) != "unknown"
