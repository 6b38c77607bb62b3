"""Tally: what all clients of one run saw, and the words for it. Pure."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .failures import Failed, Why
from .ledger import Ledger
from .nouns import Heard, Moment, Timing, What

KEPT_TIMINGS = 100_000


@dataclass
class Tally:
    """Counts over all clients.

    `reached`: clients that heard anything of the stream, `away`: those of them that are trying to come back,
    `gave_up`: those that ended without being asked to.
    """

    connected: int = 0
    reached: int = 0
    away: int = 0
    reconnects: int = 0
    gave_up: int = 0
    updates: int = 0
    heartbeats: int = 0
    lost: int = 0
    doubled: int = 0
    missed: int = 0
    unchecked: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    goodbyes: Counter[str] = field(default_factory=Counter)
    failures: Counter[Why] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    timings: deque[Timing] = field(default_factory=lambda: deque(maxlen=KEPT_TIMINGS))

    def hear(self, heard: Heard, reason: str | None = None) -> None:
        """One thing that was heard; `reason` of a goodbye."""
        self.updates += heard.what is What.UPDATE
        self.heartbeats += heard.what is What.HEARTBEAT
        if heard.what is What.VERDICT:
            self.verdicts[heard.verdict or "none told"] += 1
        if heard.what is What.GOODBYE:
            self.goodbyes[reason or "no reason"] += 1

    def fail(self, failed: Failed) -> None:
        """One connection that did not come about or broke."""
        self.failures[failed.why] += 1
        self.sentences[str(failed)] += 1

    def check(self, ledger: Ledger, heard: Heard) -> str | None:
        """Enter one thing into its client's ledger and add up what changed; returns the ledger's remark."""
        lost, doubled, missed, unchecked = ledger.lost, ledger.doubled, ledger.missed, ledger.unchecked
        fault = enter(ledger, heard)
        self.lost += ledger.lost - lost
        self.doubled += ledger.doubled - doubled
        self.missed += ledger.missed - missed
        self.unchecked += ledger.unchecked - unchecked
        return fault


def enter(ledger: Ledger, heard: Heard) -> str | None:
    """What this means for the chain of positions; a remark when something is wrong."""
    if heard.what is What.UPDATE:
        return ledger.update(heard.position)
    if heard.what is What.VERDICT and heard.verdict is not None:
        return ledger.verdict(heard.verdict, heard.position, heard.missed)
    if heard.what is What.HEARTBEAT and heard.position is not None:
        return ledger.reached(heard.position)
    return None


# ---- words


def percentile(values: Iterable[float], percent: float) -> float:
    """By nearest rank; NaN of no values."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)] if ranked else math.nan


def spread(timings: Iterable[Timing], moment: Moment) -> str:
    """p50, p95 and the largest of one step, in ms."""
    values = [ms for timing in timings if (ms := timing.ms(moment)) is not None]
    if not values:
        return "never"
    return (
        f"p50 {percentile(values, 50):.1f} ms, p95 {percentile(values, 95):.1f} ms, max {max(values):.1f} ms"
    )


def plural(number: int, noun: str) -> str:
    """`1 client`, `2 clients`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def counts(counter: Mapping[str, int] | Mapping[Why, int]) -> str:
    """`fresh 3, gap 1`."""
    return ", ".join(f"{name} {n}" for name, n in counter.items()) or "none"


def summary(tally: Tally, clients: int, seconds: float) -> str:
    """The whole run in a few lines."""
    lines = [
        f"Summary of {seconds:.1f} s",
        f"  clients       {tally.reached} of {clients} reached the stream, "
        f"{plural(tally.reconnects, 'reconnect')}, {tally.gave_up} gave up, {tally.away} away at the end",
    ]
    if tally.timings:
        lines += [f"  {moment:<13} {spread(tally.timings, moment)}" for moment in Moment]
    if tally.reached:
        lines += _heard(tally, seconds)
    if tally.goodbyes:
        lines.append(f"  goodbyes      {counts(tally.goodbyes)}")
    if tally.failures:
        lines.append(f"  failures      {counts(tally.failures)}")
    if clients > 1:  # a single one has shown them
        lines += [f"    {n} x {sentence}" for sentence, n in tally.sentences.most_common(5)]
    return "\n".join(lines)


def _heard(tally: Tally, seconds: float) -> list[str]:
    unchecked = f", NOT CHECKED {tally.unchecked} without a position" if tally.unchecked else ""
    return [
        f"  verdicts      {counts(tally.verdicts)}",
        f"  updates       {tally.updates} ({tally.updates / max(seconds, 1e-9):.1f}/s)",
        f"  heartbeats    {tally.heartbeats}",
        f"  check         lost {tally.lost}, doubled {tally.doubled}, missed as announced {tally.missed}"
        + unchecked,
    ]


def exit_code(tally: Tally, clients: int, signal_number: int | None) -> int:
    """1 when something was wrong; else 128 + the signal that ended it, else 0."""
    if tally.lost or tally.doubled or tally.gave_up or tally.away or tally.reached < clients:
        return 1
    return 0 if signal_number is None else 128 + signal_number
