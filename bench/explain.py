"""What a result's numbers are made of, and what capped them: the bill per layer, the limiter, the doubts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench import figures
from bench.columns import in_columns
from bench.result import Result, Run
from bench.statistics import stats

FLOOR = "floor"
LAYERS = ("user_us", "system_us", "softirq_us")


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
    """CPU per delivery by layer, how much of it is the physical floor's, and CPU per write where it was measured."""
    rows = [["CPU per delivery", "all", "user", "system", "softirq beside", "of it the floor's", "per write"]]
    for label, runs in _rows(result):
        counted = [run for run in runs if run.valid and "us_per_delivery" in run.figures]
        if counted:
            whole = _mean(counted, "us_per_delivery")
            layers = [figures.of(name).text(_mean(counted, name)) for name in LAYERS]
            floor = _floor(result, counted[0], whole)
            rows.append(
                [label, figures.of("us_per_delivery").text(whole), *layers, floor, _per_write(counted)]
            )
    return in_columns(rows) if len(rows) > 1 else ["no clean run counts CPU per delivery"]


def _per_write(runs: Sequence[Run]) -> str:
    """Of batches there is none, nor in results that are older than the figure."""
    known = any("us_per_write" in run.figures for run in runs)
    return figures.of("us_per_write").text(_mean(runs, "us_per_write")) if known else "-"


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
