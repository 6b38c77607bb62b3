"""The noise gate: how steady this machine is, on each core that matters, before and after the measurements.

Five things are looked at: how evenly a fixed piece of work runs, whether something else ran meanwhile, how late short
sleeps end, what the hypervisor took, and how many others want to run (the load average is of the minute before). None
needs privileges. Work that runs unevenly while nothing else ran is the core's own doing: its clock, or a neighbour on
the same physical core, which a virtual machine cannot see or stop. The judgement is pure; taking the readings takes
about a second a core.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from bench.measure import procfs
from bench.statistics import stats

SPIN_WORK = 20_000  # additions: about half a millisecond
SPINS, NAPS = 1200, 150
NAP_SECONDS = 0.001
PERIOD_SECONDS = 0.01


class Limits(NamedTuple):
    """Above `noisy` differences of a few per cent are not to be believed, above `void` nothing is."""

    noisy: float
    void: float


PREEMPTED = Limits(0.03, 0.15)  # of the time of the work
SPIN_COV = Limits(0.10, 0.35)  # of the work done in successive hundredths of a second
JITTER_P99_US = Limits(1000.0, 20_000.0)
STEAL = Limits(0.01, 0.05)
LOAD = Limits(0.5, 1.0)  # processes per core that want to run, this one left out


class Reading(NamedTuple):
    """What one core showed."""

    spin_cov: float
    preempted: float
    jitter_p99_us: float
    steal_share: float
    load: float  # of the whole machine


class Noise(NamedTuple):
    """The worst of all cores, and what it means."""

    verdict: str
    spin_cov: float
    preempted: float
    jitter_p99_us: float
    steal_share: float
    load: float
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For the result file."""
        return {**self._asdict(), "reasons": list(self.reasons)}


def gate(cores: Iterable[int | None]) -> Noise:
    """Take readings on each core, one after the other; about a second for each."""
    return judge([read(core) for core in dict.fromkeys(cores)])


def judge(readings: Sequence[Reading]) -> Noise:
    """The verdict over all cores: `quiet`, `noisy` or `void`, with what to do about it."""
    worst = Reading(*(max(column) for column in zip(*readings, strict=True)))
    found = [
        (
            worst.spin_cov,
            SPIN_COV,
            "equal work varies by {:.0%}: the core's clock, or a neighbour on the same physical core",
        ),
        (worst.preempted, PREEMPTED, "something else ran {:.0%} of the time: stop what you can"),
        (worst.jitter_p99_us, JITTER_P99_US, "a nap of 1 ms ends up to {:.0f} us late (p99)"),
        (
            worst.steal_share,
            STEAL,
            "the hypervisor takes {:.1%} of the time: a neighbour on the same machine",
        ),
        (worst.load, LOAD, "{:.2f} processes per core want to run: stop what you can"),
    ]
    reasons = tuple(words.format(value) for value, limits, words in found if value > limits.noisy)
    void = any(value > limits.void for value, limits, _ in found)
    return Noise("void" if void else "noisy" if reasons else "quiet", *worst, reasons)


def read(core: int | None) -> Reading:
    """Readings on one core; None: wherever the kernel puts us."""
    with _on(core):
        before, started = procfs.core_time(core or 0), time.monotonic_ns()
        worked = time.thread_time_ns()
        spins = _spins()
        worked = time.thread_time_ns() - worked
        preempted = max(0.0, 1 - worked / (time.monotonic_ns() - started))
        naps, others = _naps()
        stolen = procfs.core_time(core or 0).since(before).steal_ns
        share = stolen / (time.monotonic_ns() - started)
        load = stats.mean(others) / (os.cpu_count() or 1)
        return Reading(evenness(spins), preempted, percentile(naps, 99) / 1000, share, load)


def evenness(spins: Sequence[int]) -> float:
    """The coefficient of variation of the work done per PERIOD_SECONDS; `spins` are durations in ns.

    Of sums over a period and not of single pieces: one interrupt in a hundred pieces is no noise.
    """
    per_period: list[float] = []
    done, spent = 0, 0
    for one in spins:
        done, spent = done + 1, spent + one
        if spent >= PERIOD_SECONDS * 1e9:
            per_period.append(done / spent)
            done = spent = 0
    return stats.deviation(per_period) / stats.mean(per_period) if len(per_period) > 1 else 0.0


def percentile(values: Sequence[int], percent: float) -> float:
    """The nearest-rank percentile."""
    return float(sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))])


def _spins() -> array[int]:
    times = array("q")
    for _ in range(SPINS):
        started = time.monotonic_ns()
        sum(range(SPIN_WORK))
        times.append(time.monotonic_ns() - started)
    return times


def _naps() -> tuple[array[int], array[int]]:
    """How late each ended, in ns, and how many others wanted to run then."""
    late, others = array("q"), array("q")
    for _ in range(NAPS):
        due = time.monotonic_ns() + int(NAP_SECONDS * 1e9)
        time.sleep(NAP_SECONDS)
        late.append(time.monotonic_ns() - due)
        others.append(max(0, procfs.runnable() - 1))
    return late, others


@contextmanager
def _on(core: int | None) -> Any:
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
