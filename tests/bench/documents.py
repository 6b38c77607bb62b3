"""Synthetic result documents (schema version 2) with real histograms, for tests of what is made from them.

`document("fanout")` and so on answer clean, realistic ones; the functions below them spoil a document in one way each.
The same seed gives the same document.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tests.bench.document_runs import Luck, account, climb, one_run

Json = dict[str, Any]
Spoil = Callable[..., Json]

TARGETS, TRANSPORTS = ("app", "floor"), ("sse", "cable")
HOSTILE = "<script>alert(1)</script>\" onload='x' & \u0000\u202e"
PLANS: dict[str, Json] = {
    "fanout": {"clients": 1000, "rates": [20.0], "seconds": 4.0, "size": 350, "slo": ""},
    "burst": {"clients": 1000, "rates": [0.5], "batch": 100, "slo": ""},
    "idle": {"counts": [0, 1000, 2000, 5000, 10000], "seconds": 6.0},
    "storm": {"clients": 4000, "rounds": 3, "in_flight": 64},
    "reconnect": {"clients": 1000, "rate": 10.0, "offline": 2.0, "spread": 1.0},
    "slow": {"clients": 20, "stuck": 1, "rate": 100.0},
    "outage": {"clients": 200, "rate": 10.0, "service": "redis"},
    "drain": {"clients": 500, "rate": 10.0},
    "soak": {"clients": 1000, "rate": 10.0, "minutes": 10.0},
    "publish": {"count": 150, "in_flight": 64, "seconds": 4.0},
}


def document(
    scenario: str,
    *,
    label: str | None = None,
    pairs: int = 7,
    targets: Iterable[str] = TARGETS,
    transports: Iterable[str] = TRANSPORTS,
    seed: int = 42,
    minute: int = 10,
) -> Json:
    """A clean result of that scenario; `minute` tells results of one day apart."""
    rows = tuple((target, transport) for target in targets for transport in transports)
    runs: list[Json] = json.loads(_runs(scenario, rows, pairs, seed))
    return _whole(
        scenario, [_row(*row) for row in rows], runs, label=label, pairs=pairs, seed=seed, minute=minute
    )


@cache  # histograms take their time; as text, because whoever asks may spoil what he gets
def _runs(scenario: str, rows: tuple[tuple[str, str], ...], pairs: int, seed: int) -> str:
    chance = random.Random(f"{scenario} {seed}")
    runs: list[Json] = []
    for pair in range(pairs):
        luck = Luck(chance, chance.lognormvariate(0, 0.03))
        for row in chance.sample(rows, len(rows)):
            runs.append(one_run(scenario, _row(*row), pair, len(runs), luck))
    return json.dumps(runs)


def sweep(*, slo: str = "p99<100ms", pairs: int = 3, seed: int = 42, minute: int = 50) -> Json:
    """A fan-out over rising rates, to the knee of each row."""
    rows = [_row(target, transport) for target in TARGETS for transport in TRANSPORTS]
    runs: list[Json] = json.loads(_climbs(pairs, seed))
    label = "1,000 clients, rates to the knee"
    found = _whole("fanout", rows, runs, label=label, pairs=pairs, seed=seed, minute=minute)
    rates = sorted({run["point"] for run in runs})
    return {**found, "plan": {**PLANS["fanout"], "rates": rates, "slo": slo}, "verdict": "ok"}


@cache
def _climbs(pairs: int, seed: int) -> str:
    chance = random.Random(f"sweep {seed}")
    rows = [_row(target, transport) for target in TARGETS for transport in TRANSPORTS]
    runs: list[Json] = []
    for pair in range(pairs):
        for row in chance.sample(rows, len(rows)):
            runs += climb(row, pair, len(runs), chance)
    return json.dumps(runs)


def everything(pairs: int = 3) -> list[Json]:
    """One result of each scenario, and a sweep: what a whole suite leaves behind."""
    labels = {"fanout": "1,000 clients x 20/s", "burst": "100 updates in one publish"}
    fewer = {"idle": 2, "soak": 1}
    made = [
        document(name, label=labels.get(name), pairs=fewer.get(name, pairs), minute=10 + 3 * at)
        for at, name in enumerate(PLANS)
    ]
    return [*made, sweep(pairs=min(2, pairs))]


def files(documents: Iterable[Json], folder: Path) -> list[tuple[Path, Json]]:
    """The documents as files, and what was written; the form that a page is made from."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [(folder / f"{found['id']}.json", found) for found in documents]
    for path, found in pairs:
        path.write_text(json.dumps(found))
    return pairs


# ---- ways to spoil one


def voided(found: Json, *numbers: int, message: str = "others used 50% of the server core") -> Json:
    """Those runs (all without numbers) are void."""
    return _flagged(found, numbers, "void", "neighbour", message)


def lossy(found: Json, *numbers: int) -> Json:
    """Those runs lost updates."""
    for number in numbers or range(len(found["runs"])):
        found["runs"][number]["account"] = {**account(170_000), "lost": 12, "received": 169_988}
    return _flagged(found, numbers, "loss", "sequence", "12 lost, 0 doubled, 0 disordered of 170000")


def incomplete(found: Json, runs: int = 5) -> Json:
    """Cut short after some runs."""
    return {
        **found,
        "runs": found["runs"][:runs],
        "verdict": "incomplete",
        "stopped_by": "interrupted",
        "finished_at": None,
    }


def without(found: Json, figure: str) -> Json:
    """No run has that figure."""
    for run in found["runs"]:
        run["figures"].pop(figure, None)
    return found


def scaled(found: Json, factor: float) -> Json:
    """Every figure is huge, or tiny."""
    for run in found["runs"]:
        run["figures"] = {name: value * factor for name, value in run["figures"].items()}
    return found


def _flagged(found: Json, numbers: Iterable[int], severity: str, code: str, message: str) -> Json:
    for number in tuple(numbers) or range(len(found["runs"])):
        found["runs"][number]["flags"].append({"severity": severity, "code": code, "message": message})
    return {**found, "verdict": severity}


# ---- the parts


def _whole(
    scenario: str,
    rows: list[Json],
    runs: list[Json],
    *,
    label: str | None,
    pairs: int,
    seed: int,
    minute: int,
) -> Json:
    clock = f"2026-11-24T17:{minute:02d}"
    return {
        "schema_version": 2,
        "id": f"20261124T17{minute:02d}26Z-{scenario}-{seed:04x}",
        "scenario": scenario,
        "label": label,
        "created_at": f"{clock}:26Z",
        "finished_at": f"{clock}:59Z",
        "command": ["python", "-m", "bench", "run", scenario, "--pairs", str(pairs), "--seed", str(seed)],
        "seed": seed,
        "pairs": pairs,
        "plan": PLANS[scenario],
        "cores": {"server": 0, "client": 1},
        "environment": _environment(),
        "noise": {"before": _noise(), "after": _noise()},
        "verdict": "ok",
        "stopped_by": None,
        "rows": rows,
        "runs": runs,
    }


def _environment() -> Json:
    return {
        "cpu_model": "Example Processor 3000",
        "cores": 2,
        "governor": "performance",
        "kernel": "6.18.44",
        "memory_kb": "24684096 kB",
        "python": "3.11.7",
        "packages": {"uvicorn": "0.54.0", "uvloop": "0.23.0"},
        "sysctls": {"net.core.somaxconn": "4096"},
        "nofile": [20000, 20000],
        "interrupts_apart": False,
        "filesystem": "ext4",
        "loadavg": [0.42, 0.41, 0.77],
        "git": {"sha": "e818bc381cf3d55b51900091adae6e1d622b3ffc", "dirty": False},
    }


def _noise() -> Json:
    return {
        "verdict": "quiet",
        "spin_cov": 0.01,
        "jitter_p99_us": 120.0,
        "steal_share": 0.0,
        "load": 0.4,
        "reasons": [],
    }


def _row(target: str, transport: str) -> Json:
    command = ["python", "-m", "dashboard_rt", "serve"] if target == "app" else ["python", f"{target}.py"]
    environment = {"WS_COMPRESSION": "on"} if transport == "cable+deflate" else {}
    return {
        "key": f"{target} {transport}",
        "target": target,
        "transport": transport,
        "command": command,
        "environment": environment,
    }
