"""publish: a lone publish to its delivery against one fsync, and the rate that is acknowledged with many in flight."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import procfs, usage, validity
from bench.measure.limiter import limiter
from bench.measure.usage import Moment
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios.plan import LONGEST, Plan, param
from bench.serving.inflight import publish_many
from bench.serving.publisher import Schedule, follow
from bench.serving.target import Target
from bench.stage import Setup, Stage
from bench.statistics import histogram

WAL_FRAME_BYTES = 24 + 4096  # what SQLite appends for one changed page
LONE_PER_SECOND = 25.0
FSYNCS = 80


@dataclass(frozen=True)
class Publish(Plan):
    """Lone publishes, then many at a time."""

    count: int = param(150, "Lone publishes.", low=1, high=100_000)
    in_flight: int = param(
        64, "Unanswered publishes at any time, for the rate; 0: only lone ones.", low=0, high=500
    )
    seconds: float = param(4.0, "How long to publish for the rate.", low=0.1, high=LONGEST)


def prepared(plan: Publish, targets: Sequence[Target]) -> tuple[Publish, str]:
    """The plan as it is, and whose rate it will not tell."""
    mute = [target.name for target in targets if target.http_publish is None]
    if not plan.in_flight or not mute:
        return plan, ""
    return plan, f"{', '.join(mute)}: not published to over HTTP, so only lone publishes are measured"


def measure(plan: Publish, setup: Setup) -> list[Run]:
    """One client, one server; the lone publishes first."""
    with Stage(setup, 1) as stage:
        stage.load.open(1)
        found, flags, facts, series = lone(plan, stage)
        if plan.in_flight and setup.target.http_publish is not None:
            crowd = crowded(plan, stage, first=int(facts["last"]) + 1)
            found |= crowd[0]
            flags += crowd[1]
            series |= crowd[2]
    flags += validity.of_server(stage.server.stopped_by_force)
    run = Run(setup.target.name, setup.transport, setup.pair, found, flags, {**stage.facts(), **facts})
    run.series, run.samples, run.limiter = series, stage.sampler.samples(), limiter(found)
    return [run]


Findings = tuple[dict[str, float], list[Flag], dict[str, Any], dict[str, Any]]


def lone(plan: Publish, stage: Stage) -> Findings:
    """One publish at a time; fsyncs on the same filesystem before and after. What the server burns when nothing is
    published is measured during the first fsyncs and taken off the cost of a publish."""
    before = stage.moment()
    synced = fsyncs(stage.server.directory, FSYNCS // 2)
    idle = usage.between(before, stage.moment()).share * 1e6
    marks: list[Moment] = []
    stage.load.measure(2)
    schedule = Schedule(time.monotonic_ns() + 50_000_000, LONE_PER_SECOND, plan.count + 1)
    with stage.poster() as poster:
        published = follow(schedule, poster, 350, {1: lambda: marks.append(stage.moment())})
    report = stage.load.finish(schedule.last, 15)
    used = usage.between(marks[0], stage.moment())
    synced.extend(fsyncs(stage.server.directory, FSYNCS // 2))
    latency, sync = report["uncorrected"], histogram.of(synced).summary()
    found = {
        "p50_ms": latency["p50"],
        "p99_ms": latency["p99"],
        "fsync_p50_ms": float(sync["p50"]),
        "beyond_fsync_ms": latency["p50"] - float(sync["p50"]),
        "us_per_publish": used.server.cpu_ns / plan.count / 1000 - idle / LONE_PER_SECOND,
        "idle_us_per_second": idle,
        "client_share": report["cpu_share"],
    }
    flags = validity.judge(report, published.summary(), used.foreign)
    filesystem = procfs.filesystem(stage.server.directory)
    series = {
        "latency": report["latency"],
        "uncorrected": latency,
        "fsync": sync,
        **_named(published.series()),
    }
    return found, flags, {"filesystem": filesystem, "last": schedule.last, "usage": used.to_json()}, series


def _named(series: Mapping[str, Any]) -> dict[str, Any]:
    return {f"publish_{name}": value for name, value in series.items()}


def crowded(plan: Publish, stage: Stage, first: int) -> tuple[dict[str, float], list[Flag], dict[str, Any]]:
    """Acknowledged publishes a second; the client checks that each arrives exactly once (their order is open)."""
    publish = stage.setup.target.http_publish
    assert publish is not None
    address = (publish, stage.server.host, stage.server.port)
    warm = publish_many(*address, in_flight=plan.in_flight, seconds=0.5, first=first)
    before = stage.moment()
    crowd = publish_many(*address, in_flight=plan.in_flight, seconds=plan.seconds, first=warm.next)
    used = usage.between(before, stage.moment())
    report = stage.load.finish(crowd.next - 1, 10)
    answers = histogram.of(crowd.answers).summary()
    found = {
        "publishes_per_second": crowd.rate,
        "us_per_crowded_publish": used.server.cpu_ns / max(1, len(crowd.answers)) / 1000,
        "server_share": used.share,
        "publisher_share": used.bench_share,
    }
    flags = [
        *validity.of_publisher(used.bench_share),
        *validity.once_each(report["account"]),
        *validity.refused(crowd.refused + crowd.broken),
        *validity.neighbours(used.foreign),
        *validity.closed_loop(crowd.rate, float(answers["mean"]) / 1000, plan.in_flight),
    ]
    return found, flags, {"crowded_answer": answers}


def fsyncs(directory: Path, samples: int) -> array[int]:
    """How long one appended WAL frame takes to reach the disk, in ns each, spaced like lone publishes."""
    times = array("q")
    path = directory / "fsync.probe"
    with path.open("wb", buffering=0) as file:
        for _ in range(samples):
            time.sleep(0.5 / LONE_PER_SECOND)
            started = time.monotonic_ns()
            file.write(b"\x5a" * WAL_FRAME_BYTES)
            os.fsync(file.fileno())
            times.append(time.monotonic_ns() - started)
    path.unlink()
    return times
