"""What publishing costs: a lone publish to its delivery against one fsync, and the durable rate of many."""

from __future__ import annotations

import os
import time
from array import array
from pathlib import Path
from typing import Any

from bench import histogram, procfs, validity
from bench.cores import Cores
from bench.inflight import publish_many
from bench.load import LoadClients
from bench.publisher import Poster
from bench.run import Plan, Run, measure, moment, usage_between
from bench.server import Server
from bench.target import Target
from bench.validity import Flag

WAL_FRAME_BYTES = 24 + 4096  # what SQLite appends for one changed page
LONE_PER_SECOND = 25.0
FSYNCS = 80
LONE_GOAL_MS, CROWD_GOAL = 2.0, 5000


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


def lone(target: Target, transport: str, count: int, cores: Cores, pair: int = 0) -> Run:
    """One client, one publish at a time; fsyncs on the same filesystem before and after. What the server burns
    when nothing is published is measured during the first fsyncs and taken off the cost of a publish."""
    with (
        Server(target, "log", cores.server) as server,
        LoadClients(target.wire(transport, server.host, server.port), 1, cores.client) as load,
        Poster(target.publish, server.host, server.port) as poster,
    ):
        load.open(1)
        before = moment(server, load, cores)
        synced = fsyncs(server.directory, FSYNCS // 2)
        idle = usage_between(before, moment(server, load, cores))["server_share"] * 1e6
        plan = Plan(clients=1, rate=LONE_PER_SECOND, seconds=count / LONE_PER_SECOND)
        published, report, used = measure(plan, server, load, poster, cores)
        synced.extend(fsyncs(server.directory, FSYNCS // 2))
        filesystem = procfs.filesystem(server.directory)
    sync = histogram.of(synced)
    found = {
        "p50_ms": report["uncorrected"]["p50"],
        "p99_ms": report["uncorrected"]["p99"],
        "fsync_p50_ms": sync.at(50),
        "beyond_fsync_ms": report["uncorrected"]["p50"] - sync.at(50),
        "answer_p50_ms": published["answer"]["p50"],
        "us_per_publish": used["server"]["cpu_ns"] / count / 1000 - idle / LONE_PER_SECOND,
        "idle_us_per_second": idle,
    }
    facts = {
        "load": report,
        "published": published,
        "usage": used,
        "fsync": sync.summary(),
        "filesystem": filesystem,
    }
    return Run(target.name, transport, pair, found, validity.judge(report, published, used["foreign"]), facts)


def crowded(target: Target, in_flight: int, seconds: float, cores: Cores, pair: int = 0) -> Run:
    """Acknowledged publishes a second; one client checks that each arrives exactly once (their order is open)."""
    with (
        Server(target, "log", cores.server) as server,
        LoadClients(target.wire("sse", server.host, server.port), 1, cores.client) as load,
    ):
        load.open(1)
        address = (target.publish, server.host, server.port)
        warm = publish_many(*address, in_flight=in_flight, seconds=0.5)
        before = moment(server, load, cores)
        crowd = publish_many(*address, in_flight=in_flight, seconds=seconds, first=warm.next)
        used = usage_between(before, moment(server, load, cores))
        report = load.finish(crowd.next - 1, 10)
    answers = histogram.of(crowd.answers).summary()
    found = {
        "publishes_per_second": crowd.rate,
        "us_per_publish": used["server"]["cpu_ns"] / max(1, len(crowd.answers)) / 1000,
        "server_share": used["server_share"],
        "answer_p50_ms": float(answers["p50"]),
        "answer_p99_ms": float(answers["p99"]),
    }
    flags = [*_crowd_flags(report, crowd.refused + crowd.broken), *validity.neighbours(used["foreign"])]
    facts = {"load": report, "answers": answers, "usage": used, "in_flight": in_flight}
    return Run(target.name, "http", pair, found, flags, facts)


def _crowd_flags(report: dict[str, Any], refused: int) -> list[Flag]:
    account = report["account"]
    flags = []
    if account["lost"] or account["doubled"]:
        what = f"{account['lost']} lost, {account['doubled']} doubled of {account['expected']}"
        flags.append(Flag("loss", "sequence", what))
    if refused:
        flags.append(Flag("loss", "refused", f"{refused} publishes were refused or left without an answer"))
    return flags


def lone_line(run: Run) -> str:
    """One run in words, with the goal: 2 ms beyond one fsync."""
    figures = run.figures
    beyond = figures["beyond_fsync_ms"]
    return (
        f"{run.target:<6} {run.transport:<5} lone publish to delivery"
        f" p50 {figures['p50_ms']:.2f}  p99 {figures['p99_ms']:.2f} ms"
        f"  fsync p50 {figures['fsync_p50_ms']:.2f} ms on {run.facts['filesystem']}"
        f"  beyond it {beyond:.2f} ms{_goal(run, f'<= {LONE_GOAL_MS:.0f}', beyond <= LONE_GOAL_MS)}"
        f"  {figures['us_per_publish']:.0f} us CPU, idle {figures['idle_us_per_second'] / 1000:.1f} ms/s"
    )


def crowded_line(run: Run) -> str:
    """One run in words, with the goal."""
    figures = run.figures
    rate = figures["publishes_per_second"]
    return (
        f"{run.target:<6} {run.facts['in_flight']} in flight {rate:8.0f} publishes/s"
        f"{_goal(run, f'>= {CROWD_GOAL}', rate >= CROWD_GOAL)}  {figures['us_per_publish']:.0f} us CPU each"
        f"  answer p50 {figures['answer_p50_ms']:.2f}  p99 {figures['answer_p99_ms']:.2f} ms"
        f"  server core {figures['server_share']:.0%}"
    )


def _goal(run: Run, goal: str, reached: bool) -> str:
    """The floor keeps no log: it has no goals. A void run judges nothing."""
    if run.target.startswith("floor"):
        return ""
    return f" (goal {goal}: {('reached' if reached else 'missed') if run.valid else 'void, not judged'})"
