"""One synthetic run of each scenario: figures, histograms, samples and facts, for documents.py."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.statistics import histogram, stats

Json = dict[str, Any]
Figures = Callable[[random.Random, float, float], dict[str, float]]

# What a target costs and what a transport adds, as factors.
COST = {"app": 1.0, "floor": 0.7, "by-hand": 4.2}
WIRE = {"sse": 1.0, "cable": 1.18, "cable+ext": 1.24, "cable+deflate": 1.9}


class Luck(NamedTuple):
    """What makes runs differ: chance, and what the runs of one pair have in common."""

    chance: random.Random
    mood: float = 1.0


def one_run(scenario: str, row: Json, pair: int, order: int, luck: Luck) -> Json:
    """One measurement of a row, the `order`-th of its result."""
    chance = luck.chance
    wire = WIRE[row["transport"]]
    cost = COST.get(row["target"], 2.0)
    noise = luck.mood * chance.lognormvariate(0, 0.02)
    found = FIGURES[scenario](chance, cost * noise, wire)
    made = {
        **{name: row[name] for name in ("target", "transport")},
        "row": row["key"],
        "pair": pair,
        "order": order,
        "point": None,
        "started_at": f"2026-11-24T17:{order // 6:02d}:{order % 6 * 10:02d}Z",
        "seconds": 9.1,
        "figures": found,
        "series": {},
        "account": account(170_000),
        "samples": _samples(chance, cost * wire, 20 if scenario != "soak" else 600),
        "limiter": None,
        "flags": [],
        "facts": {},
    }
    return {**made, **_special(scenario, chance, cost * noise, wire, found)}


def _special(scenario: str, chance: random.Random, cost: float, wire: float, found: dict[str, float]) -> Json:
    """What only that scenario has."""
    if scenario in ("fanout", "burst", "soak", "slow"):
        latency = _latencies(chance, 4.2e6 * cost * wire, 200)
        if scenario != "slow":
            found.update(_percentiles(latency))
        return {"series": {"latency": latency, "uncorrected": _latencies(chance, 4.1e6 * cost * wire, 200)}}
    if scenario == "idle":
        points = [
            [n, 48_000 + 1.48 * cost * wire * n + chance.gauss(0, 90)] for n in (0, 1000, 2000, 5000, 10000)
        ]
        fit = stats.line([(float(n), kb) for n, kb in points[1:]])
        found["kb_per_connection"] = fit.slope
        facts = {"memory": [[n, round(kb), round(kb) - 900, 3000 + 4 * n] for n, kb in points]}
        return {
            "facts": {**facts, "fit": {k: v for k, v in fit._asdict().items() if k != "r2"}},
            "samples": None,
        }
    if scenario == "reconnect":
        curve = [
            [2 + (share**1.3 + 0.05 * cost) * wire, share] for share in (at / 100 for at in range(1, 101))
        ]
        return {"facts": {"curve": curve}}
    if scenario == "outage":
        return {"facts": _outage_facts(chance, cost)}
    return {}


def _outage_facts(chance: random.Random, cost: float) -> Json:
    """A broker that is away for two seconds: updates of the other process wait for the next look at the log."""
    slots = [slot / 10 for slot in range(-10, 40)]
    worst = [900.0 - 100 * (at % 10) if 0 <= slot < 2 else 9 * cost for at, slot in enumerate(slots)]
    columns = ["t_s", "deliveries", "p50_ms", "p99_ms", "max_ms"]
    rows = [[slot, 40, late / 3, late * 0.98, late] for slot, late in zip(slots, worst, strict=True)]
    asked = [[slot + chance.uniform(0, 0.05), 503 if 0.2 <= slot < 2.4 else 200] for slot in slots]
    return {
        "did": {"killed_ns": 5_000_000_000, "back_ns": 7_000_000_000},
        "timeline": {"columns": columns, "rows": rows},
        "ready": {"columns": ["t_s", "status"], "rows": asked},
    }


def climb(row: Json, pair: int, order: int, chance: random.Random) -> list[Json]:
    """Rates up to the first that is too much, as a row meets them."""
    made = []
    most = 640 / (COST[row["target"]] * WIRE[row["transport"]])
    for step in range(12):
        rate = 20.0 * 2**step
        load = rate / most
        run = one_run("fanout", row, pair, order + step, Luck(chance))
        p50 = 3 + 2 / max(0.02, 1 - load) if load < 1 else 900 * load
        latency = _latencies(chance, p50 * 1e6, 100)
        shares = {
            "server_share": min(1.0, load),
            "client_share": min(0.79, load / 2),
            "delivered_share": min(1.0, 1 / load),
        }
        run.update(point=rate, series={"latency": latency}, samples=None)
        run["figures"].update({**_percentiles(latency), **shares})
        made.append(run)
        if load > 0.95:
            run["limiter"] = "server CPU"
            break
    return made


def _latencies(chance: random.Random, middle_ns: float, count: int) -> Json:
    return histogram.of(int(chance.lognormvariate(math.log(middle_ns), 0.35)) for _ in range(count)).summary()


def _percentiles(summary: Json) -> dict[str, float]:
    return {f"{name}_ms": float(summary[name]) for name in ("p50", "p90", "p99", "p999", "max")}


def account(expected: int) -> Json:
    """Clean books."""
    return {"expected": expected, "received": expected, "lost": 0, "doubled": 0, "disordered": 0}


def _samples(chance: random.Random, cost: float, seconds: int) -> Json:
    """Memory climbs to a plateau and is not read in the middle, while latencies are measured."""
    rows: list[list[float | None]] = []
    for second in range(seconds):
        pss = 48_000 * cost + 9_000 * (1 - math.exp(-second / 6)) + chance.gauss(0, 60)
        rows.append([float(second), 12.0, 30.0, None if seconds // 3 < second < seconds // 2 else round(pss)])
    return {"columns": ["t_s", "user_ms", "system_ms", "pss_kb"], "rows": rows}


def _fanout(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    whole = 7.1 * cost * wire
    return {
        "us_per_delivery": whole,
        "user_us": whole * 0.3,
        "system_us": whole * 0.7,
        "softirq_us": 1.9 * chance.lognormvariate(0, 0.05),
        "bytes_per_delivery": 381.4 if wire == 1 else 444.0 if wire < 1.5 else 141.0,
        "offered_per_second": 20_000.0,
        "delivered_per_second": 20_000.0,
        "delivered_share": 1.0,
        "server_share": whole / 50,
        "client_share": 0.12,
        "kb_per_connection": 1.4 * cost * wire,
    }


def _single(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    """Where an update is a write, CPU per write is known too."""
    found, pings = _fanout(chance, cost, wire), 0.004 if wire == 1 else 0.016
    return {
        **found,
        "us_per_write": found["us_per_delivery"] / (1 + pings),
        "pings_per_delivery": pings,
    }


def _idle(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    return {
        "kb_per_connection": 1.48 * cost * wire,
        "uss_kb_per_connection": 1.45 * cost * wire,
        "kernel_kb_per_connection": 3.9,
        "idle_us_per_connection_second": 0.9 * cost * wire**6,
        "base_kb": 48_000 * cost,
    }


def _storm(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    return {
        "connects_per_second": 12_000 / (cost * wire),
        "us_per_connect": 78.0 * cost * wire,
        "first_byte_p50_ms": 1.9 * cost,
        "first_byte_p99_ms": 9.0 * cost,
        "p50_ms": 2.4 * cost * wire,
        "p99_ms": 17.0 * cost * chance.lognormvariate(0, 0.3),
        "client_share": 0.71,
    }


def _reconnect(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    resumes = wire == 1 or wire > 1.2
    return {
        "returned_share": 1.0,
        "recovered_share": 1.0 if resumes else 0.0,
        "lost_per_client": 0.0 if resumes else 25.3,
        "return_p50_ms": 2510.0 + 8 * cost,
        "return_p99_ms": 3005.0 + 30 * cost * wire * chance.lognormvariate(0, 0.1),
    }


def _slow(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    before = 3.1 * cost * wire * chance.lognormvariate(0, 0.08)
    return {
        "healthy_p99_before_ms": before,
        "healthy_p99_ms": before * (1.02 if cost < 0.9 else 1.31) * chance.lognormvariate(0, 0.05),
        "memory_growth_kb": 2_900.0 * chance.lognormvariate(0, 0.1),
        **({"stuck_seconds": 10.1} if wire == 1 else {}),
    }


def _outage(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    late = {"before_p50_ms": 3.0, "before_max_ms": 9.0, "away_p50_ms": 300.0, "away_max_ms": 900.0}
    after = {"after_p50_ms": 3.0, "after_max_ms": 9.0 * cost, "unready_seconds": 2.2, "reconnects": 0.0}
    found = {"lost_per_client": 0.0, "stalled_seconds": 3.2 * cost, "recovered_seconds": 1.1 * wire}
    return {**found, **late, **after}


def _drain(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    return {
        "exit_seconds": 10.4 * cost,
        "exit_status": 0.0,
        "goodbye_share": 0.9999,
        "goodbye_spread_seconds": 8.9,
        "returned_share": 1.0,
        "lost_per_client": 0.0,
    }


def _soak(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    drift = {"pss_kb_per_minute": chance.gauss(-2, 6), "p99_drift_ms_per_minute": chance.gauss(0, 0.02)}
    return {**_single(chance, cost, wire), **drift}


def _publish(chance: random.Random, cost: float, wire: float) -> dict[str, float]:
    return {
        "p50_ms": 1.84 * cost,
        "p99_ms": 2.6 * cost * chance.lognormvariate(0, 0.1),
        "fsync_p50_ms": 0.35,
        "beyond_fsync_ms": 1.84 * cost - 0.35,
        "us_per_publish": 1290.0 * cost,
        "publishes_per_second": 6_200 / cost,
    }


FIGURES: dict[str, Figures] = {
    "fanout": _single,
    "burst": lambda chance, cost, wire: _fanout(chance, cost * 0.4, wire),
    "idle": _idle,
    "storm": _storm,
    "reconnect": _reconnect,
    "slow": _slow,
    "outage": _outage,
    "drain": _drain,
    "soak": _soak,
    "publish": _publish,
}
