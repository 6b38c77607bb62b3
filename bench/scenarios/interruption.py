"""What drain and outage share: a schedule that goes on while something is away, clients that come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from bench.measure import usage, validity
from bench.measure.usage import Used
from bench.result import Run
from bench.serving.publisher import Published, Schedule, follow
from bench.serving.stubborn import Stubborn
from bench.stage import Stage

WARM_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
LAST_SECONDS = 10.0  # for the last update to reach the last client


class Interrupted(NamedTuple):
    """What came of it. `did` is what the interruption itself answered, `silent_ns` the time from the last delivery to
    the last publish, `used` None when the server is another process than before."""

    did: Mapping[str, Any]
    report: Mapping[str, Any]
    published: Published
    used: Used | None
    publishing: Mapping[str, int]
    silent_ns: int


def interrupted(
    stage: Stage,
    rate: float,
    seconds: float,
    size: int,
    interrupt: Callable[[], Mapping[str, Any]],
    *,
    timeline: bool = False,
) -> Interrupted:
    """Publish for `seconds` and let `interrupt` happen WARM_SECONDS into it, in a thread beside. With `timeline` the
    report has latencies by time, too."""
    stage.load.measure(1, timeline=timeline)
    schedule = Schedule(time.monotonic_ns() + 50_000_000, rate, max(1, round(seconds * rate)))
    before, pid = stage.moment(), stage.server.pid

    def later() -> Mapping[str, Any]:
        time.sleep(WARM_SECONDS)
        return interrupt()

    with ThreadPoolExecutor(1) as beside, Stubborn(stage.poster, PATIENCE_SECONDS) as poster:
        happening = beside.submit(later)
        published = follow(schedule, poster, size, told=stage.setup.live.published)
        did = happening.result()
        publishing = {"retries": poster.retries, "unsure": poster.unsure, "refused": published.refused}
    report = stage.load.finish(schedule.last, LAST_SECONDS)
    used = usage.between(before, stage.moment()) if stage.server.pid == pid else None
    silent = max(0, schedule.end_ns - report["last_ns"])
    return Interrupted(did, report, published, used, publishing, silent)


def run_of(stage: Stage, found: Interrupted, figures: Mapping[str, float]) -> Run:
    """The run. What was lost is the finding and no fault; what came twice or out of order is one."""
    setup, account = stage.setup, found.report["account"]
    flags = [
        *(validity.neighbours(found.used.foreign) if found.used is not None else ()),
        *validity.of_load(found.report, found.published.summary(), sequence=False),
        *validity.of_promises(found.report),
        *validity.in_order(account, allowed_twice=found.publishing["unsure"] * found.report["clients"]),
    ]
    common = {
        "lost_per_client": account["lost"] / max(1, found.report["clients"]),
        "client_share": found.report["cpu_share"],
    }
    facts = {
        "did": dict(found.did),
        "kept": {k: v for k, v in (found.report["kept"] or {}).items() if not isinstance(v, list | dict)},
        "verdicts": (found.report["kept"] or {}).get("verdicts", {}),
        "publishing": dict(found.publishing),
        "usage": found.used.to_json() if found.used is not None else None,
    }
    run = Run(setup.target.name, setup.transport, setup.pair, {**common, **figures}, flags, facts)
    run.series = {"latency": found.report["latency"]}
    if found.report["kept"]:
        run.series["away"] = found.report["kept"]["away"]
    run.account = account
    return run
