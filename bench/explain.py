"""What a result's numbers are made of, and what capped them: the bill per layer, the limiter, the doubts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench import figures
from bench.columns import in_columns
from bench.result import Result, Run
from bench.statistics import stats

FLOOR = "floor"
LAYERS = ("user_us", "system_us", "softirq_us")
SERVICES = {"redis_us": "Redis beside", "postgres_us": "PostgreSQL beside"}


def explained(result: Result) -> list[str]:
    """Lines for a terminal."""
    return [
        f"{result.id}: {result.scenario}, {result.pairs} pairs, seed {result.seed}"
        + (f", {result.label}" if result.label else ""),
        *_machine(result),
        "",
        *_bill(result),
        "",
        *_limits(result),
        *_spreads(result),
    ]


def _machine(result: Result) -> Iterator[str]:
    found, git = result.environment, result.environment["git"]
    state = " with uncommitted changes" if git["dirty"] else ""
    yield f"measured on {found['cpu_model']}, kernel {found['kernel']}, Python {found['python']}"
    yield f"code {git['sha'][:10] or 'unknown'}{state}; cores: {dict(result.cores)}"
    for when, noise in result.noise.items():
        if noise is not None:
            yield f"the machine was {noise['verdict']} {when}: {'; '.join(noise['reasons']) or 'nothing to say'}"
    if found["interrupts_apart"] is False:
        yield "interrupt time is charged to whom it interrupts: on loopback a server's CPU holds the receiving side too"


def _bill(result: Result) -> list[str]:
    """CPU per delivery by layer, how much of it is the physical floor's, and CPU per write where it was measured.
    What services used, on the other core, is beside it and not in it."""
    there = [name for name in SERVICES if any(name in run.figures for run in result.runs)]
    head = ["CPU per delivery", "all", "user", "system", "softirq beside", "of it the floor's", "per write"]
    rows = [[*head, *(SERVICES[name] for name in there)]]
    for label, runs in _rows(result):
        counted = [run for run in runs if run.valid and "us_per_delivery" in run.figures]
        if counted:
            whole = _mean(counted, "us_per_delivery")
            layers = [figures.of(name).text(_mean(counted, name)) for name in LAYERS]
            floor = _floor(result, counted[0], whole)
            beside = [_known(counted, name) for name in ("us_per_write", *there)]
            rows.append([label, figures.of("us_per_delivery").text(whole), *layers, floor, *beside])
    return in_columns(rows) if len(rows) > 1 else ["no clean run counts CPU per delivery"]


def _known(runs: Sequence[Run], name: str) -> str:
    """CPU per write: of batches there is none, nor in results that are older than the figure. Services: not all have
    the same."""
    known = any(name in run.figures for run in runs)
    return figures.of(name).text(_mean(runs, name)) if known else "-"


def _rows(result: Result) -> Iterator[tuple[str, list[Run]]]:
    """Every row, and every point of a sweep, with its runs."""
    for key in result.keys:
        for point in sorted({run.point for run in result.of(key)}, key=lambda one: one or 0.0):
            label = key if point is None else f"{key} at {point:g}/s"
            yield label, [run for run in result.of(key) if run.point == point]


def _floor(result: Result, run: Run, whole: float) -> str:
    wanted = (FLOOR, run.transport, run.point, True)
    floor = [one for one in result.runs if (one.target, one.transport, one.point, one.valid) == wanted]
    return f"{_mean(floor, 'us_per_delivery') / whole:.0%}" if floor and run.target != FLOOR else "-"


def _mean(runs: Sequence[Run], name: str) -> float:
    return stats.mean([run.figures[name] for run in runs if name in run.figures] or [0.0])


def _limits(result: Result) -> Iterator[str]:
    """Why not twice as much."""
    for label, runs in _rows(result):
        named = sorted({run.limiter or "nothing: there was headroom" for run in runs})
        yield f"{label}: capped by {', '.join(named)}"


def _spreads(result: Result) -> Iterator[str]:
    """How the clients of targets with several processes were spread over them."""
    for label, runs in _rows(result):
        counts = [found for run in runs if (found := run.facts.get("connections_by_process"))]
        if counts:
            processes = " or ".join(sorted({str(len(one)) for one in counts}))
            each = [count for one in counts for count in one]
            yield f"{label}: {processes} processes, each with {min(each):,} to {max(each):,} of the connections"
