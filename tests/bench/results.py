"""Small result documents for tests: rows, runs and their figures, nothing measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.measure.validity import Flag
from bench.result import Result, Run

ENVIRONMENT: dict[str, Any] = {
    "cpu_model": "A",
    "cores": 2,
    "governor": "unknown",
    "kernel": "6.1",
    "memory_kb": "1 kB",
    "python": "3.11",
    "packages": {},
    "sysctls": {},
    "nofile": [1, 2],
    "interrupts_apart": False,
    "filesystem": "ext4",
    "loadavg": [0.0],
    "git": {"sha": "a" * 40, "dirty": False},
}
BOOKS = {"expected": 10, "received": 10, "lost": 0, "doubled": 0, "disordered": 0}
VOID = Flag("void", "neighbour", "others used 50% of the server core")


def run(
    target: str, transport: str, pair: int, *flags: Flag, point: float | None = None, **figures: float
) -> Run:
    """One run of a row."""
    made = Run(target, transport, pair, figures, list(flags), point=point)
    made.account, made.started_at = dict(BOOKS), "2026-11-24T17:10:26Z"
    return made


def series(target: str, transport: str, figure: str, values: Sequence[float]) -> list[Run]:
    """A run for each value, in pairs 0, 1, 2 ..."""
    return [run(target, transport, pair, **{figure: value}) for pair, value in enumerate(values)]


def result(
    *runs: Run, scenario: str = "fanout", plan: Mapping[str, Any] | None = None, **more: Any
) -> Result:
    """A finished document of these runs."""
    keys = dict.fromkeys((one.target, one.transport) for one in runs)
    rows = [
        {
            "key": f"{target} {transport}",
            "target": target,
            "transport": transport,
            "command": [],
            "environment": {},
        }
        for target, transport in keys
    ]
    known: dict[str, Any] = {
        "id": "20261124T171026Z-fanout-1a2b",
        "scenario": scenario,
        "command": ["python", "-m", "bench"],
        "seed": 42,
        "pairs": 1 + max((one.pair for one in runs), default=0),
        "plan": dict(plan or {}),
        "rows": rows,
        "cores": {"server": 0, "client": 1},
        "environment": ENVIRONMENT,
        "created_at": "2026-11-24T17:10:26Z",
        "finished_at": "2026-11-24T17:12:26Z",
        "verdict": "ok",
    }
    return Result(**{**known, **more}, runs=list(runs))
