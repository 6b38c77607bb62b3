"""Self-voiding, provoked: each thing that makes a number mean nothing refuses its run with the right words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bench.measure.cores import Cores
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios import fanout
from bench.scenarios.fanout import Fanout
from bench.serving import publisher, target
from tests import needs
from tests.bench.small_targets import UNPINNED, faulty, setup

SMALL = Fanout(clients=10, rates=(50.0,), seconds=0.6, warmup=0.1, finish_timeout=5.0)
ALLOWED = sorted(os.sched_getaffinity(0))
PINNED = Cores(ALLOWED[0], ALLOWED[-1])

# What each of them is called is held by test_validity.py: here it is provoked, and that takes seconds or both cores.
pytestmark = [pytest.mark.live, pytest.mark.slow]


def flag(run: Run, severity: str, code: str) -> Flag:
    found = [one for one in run.flags if (one.severity, one.code) == (severity, code)]
    assert found, f"no {severity} {code} among {run.flags}"
    return found[0]


def measured(plan: Fanout, of: target.Target, transport: str = "sse", cores: Cores = UNPINNED) -> Run:
    (run,) = fanout.measure(plan, setup(of, transport, cores))
    return run


@contextmanager
def spinning(core: int) -> Iterator[None]:
    """A neighbour that wants all of a core."""
    command = [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"]
    with subprocess.Popen(command) as neighbour:
        try:
            yield
        finally:
            neighbour.kill()


@pytest.mark.alone
@pytest.mark.parametrize("name", ["server", "client"])
def test_a_busy_neighbour(name: str) -> None:
    needs.two_cores()
    with spinning(getattr(PINNED, name)):
        run = measured(SMALL, target.floor(), cores=PINNED)
    words = [one.message for one in run.flags if (one.severity, one.code) == ("void", "neighbour")]
    assert any(f"of the {name} core: stop them and run again" in one for one in words), run.flags
    assert not run.valid


@pytest.mark.alone
def test_a_saturated_load_client() -> None:
    needs.two_cores()
    plan = replace(SMALL, clients=500, rates=(200.0,), batch=20, size=150, seconds=0.5, finish_timeout=30.0)
    run = measured(plan, target.floor(joined=True), cores=PINNED)
    # Its share of its core, or, where somebody else has the rest of that core, what its event loop makes of it.
    void = {one.code: one.message for one in run.flags if one.severity == "void"}
    assert "the load client" in void.get("client", "") + void.get("loop", ""), run.flags


def test_a_late_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that wakes up 30 ms after each moment of its schedule; the server is not blamed."""
    real = publisher.sleep_until
    monkeypatch.setattr(publisher, "sleep_until", lambda moment: real(moment + 30_000_000))
    run = measured(replace(SMALL, rates=(10.0,)), target.floor())
    assert "the publisher itself was" in flag(run, "void", "publisher").message


@pytest.mark.parametrize("transport", ["sse", "cable"])
def test_a_clock_that_jumps(transport: str) -> None:
    run = measured(SMALL, faulty("future"), transport)
    assert flag(run, "void", "clock").message == "an update was received before it was sent"


def test_compression_by_surprise() -> None:
    with pytest.raises(Exception, match="extension"):
        measured(SMALL, faulty("deflate"), "cable")


def test_compression_that_was_demanded_and_not_agreed_to() -> None:
    mute = replace(target.floor(), transports=("cable+deflate",))
    with pytest.raises(Exception, match="permessage-deflate"):
        measured(SMALL, mute, "cable+deflate")
