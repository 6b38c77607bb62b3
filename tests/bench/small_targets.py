"""Targets and set-ups for tests that measure for real: small, unpinned, nobody watching."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from bench.measure.cores import Cores
from bench.result import Run
from bench.serving import target
from bench.serving.broadcast import RedisPublish
from bench.serving.target import Target
from bench.stage import Setup

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
UNPINNED = Cores(None, None)


def faulty(fault: str) -> Target:
    """The floor with one fault."""
    script = str(HERE / "faulty_floor.py")
    command = (sys.executable, script, fault, "--port", "{port}", "--kind", "{kind}")
    return replace(target.floor(), name=fault, command=command, environment={"PYTHONPATH": str(ROOT)})


def relay() -> Target:
    """The floor, told by Redis: the smallest target that has a service to lose."""
    script = str(HERE / "relay_floor.py")
    command = (sys.executable, script, "{redis_port}", "--port", "{port}", "--kind", "{kind}")
    return replace(
        target.floor(),
        name="relay",
        command=command,
        environment={"PYTHONPATH": str(ROOT)},
        services=("redis",),
        broadcast=RedisPublish(),
    )


def setup(of: Target, transport: str, cores: Cores = UNPINNED) -> Setup:
    """A row."""
    return Setup(of, transport, 0, cores)


def codes(run: Run, severity: str) -> list[str]:
    """The codes of its flags of one severity."""
    return [flag.code for flag in run.flags if flag.severity == severity]
