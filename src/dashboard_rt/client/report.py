"""What the clients of a run saw: the check of each one's positions, the totals, and the text that `listen` prints.

`SequenceChecker`, `RunStats` and the functions that format them are pure; `Printer` and `print_stats` write to the
terminal. Opens no connection.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..types import Position, Verdict
from .connection import Event, EventKind, OpenConnection, Step, Timing, TransportName
from .failures import ConnectionFailed, FailureReason
from .terminal import echo, printable, terminal_columns

MAX_TIMINGS = 100_000  # the newest count: a run that reconnects for days must not fill the memory


class SequenceChecker:
    """Check along one client's positions that no update is lost or doubled (docs/protocol.md §1).

    Ids are contiguous per stream, a position means *everything up to here was sent*, and a client that misses
    updates is told so with the verdict `gap` first. Each check returns None, or a sentence about the fault.

    `position` is the client's last one. `lost` and `doubled` count updates; `missed` counts those that a `gap`
    announced, which is no fault; `unchecked` counts updates without a position (a cable client on the v1
    protocol).
    """

    __slots__ = ("doubled", "lost", "missed", "position", "unchecked")

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        self.lost = self.doubled = self.missed = self.unchecked = 0

    def check(self, event: Event) -> str | None:
        """Check the position of an event of any kind."""
        if event.kind is EventKind.UPDATE:
            return self.check_update(event.position)
        if event.kind is EventKind.VERDICT and event.verdict is not None:
            return self.check_verdict(event.verdict, event.position, event.missed)
        if event.kind is EventKind.HEARTBEAT and event.position is not None:
            return self.check_reached(event.position)
        return None

    def check_verdict(self, verdict: Verdict, position: Position | None, missed: int | None) -> str | None:
        """Check a verdict: `recovered` must continue at the client's own position, the others start anew."""
        if verdict is Verdict.RECOVERED and position is not None:
            return self.check_reached(position)
        self.missed += missed or 0
        self.position = position
        return None

    def check_reached(self, position: Position) -> str | None:
        """Check that every update up to `position` has arrived.

        An older position changes nothing: updates that a server then repeats are counted as doubled.
        """
        if self.position is None:
            self.position = position
            return None
        if position.epoch != self.position.epoch:
            return self._epoch_fault(position)
        missing = position.id - self.position.id
        if missing > 0:
            self.lost += missing
            fault = f"LOST {missing}: nothing came between {self.position} and {position}"
            self.position = position
            return fault
        return None

    def check_update(self, position: Position | None) -> str | None:
        """Check that an update is the one that follows the client's position."""
        if position is None:
            self.unchecked += 1
            return None
        if self.position is None:
            self.position = position
            return None
        if position.epoch != self.position.epoch:
            return self._epoch_fault(position)
        if position.id <= self.position.id:
            self.doubled += 1
            return f"DOUBLED: {position} came again (or late) after {self.position}"
        fault = self.check_reached(Position(position.epoch, position.id - 1))
        self.position = position
        return fault

    def _epoch_fault(self, position: Position) -> str:
        self.lost += 1  # a lower bound: how many updates preceded the change of the epoch is unknown
        fault = f"LOST at least 1: {position} is of another epoch than {self.position}, and no gap was told"
        self.position = position
        return fault


# ---- totals


@dataclass
class RunStats:
    """Counts over all clients of a run; `lost` to `unchecked` are the sums of their SequenceCheckers.

    `reached`: clients that received anything of the stream; `away`: those of them that are trying to
    reconnect; `gave_up`: those that ended without being asked to.
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
    failures: Counter[FailureReason] = field(default_factory=Counter)
    failure_messages: Counter[str] = field(default_factory=Counter)
    timings: deque[Timing] = field(default_factory=lambda: deque(maxlen=MAX_TIMINGS))

    def record_event(self, event: Event, checker: SequenceChecker) -> str | None:
        """Count an event and check it with its client's `checker`; returns the checker's fault."""
        self.updates += event.kind is EventKind.UPDATE
        self.heartbeats += event.kind is EventKind.HEARTBEAT
        if event.kind is EventKind.VERDICT:
            self.verdicts[event.verdict or "none told"] += 1
        if event.kind is EventKind.GOODBYE:
            self.goodbyes[event.goodbye_reason] += 1
        lost, doubled, missed, unchecked = checker.lost, checker.doubled, checker.missed, checker.unchecked
        fault = checker.check(event)
        self.lost += checker.lost - lost
        self.doubled += checker.doubled - doubled
        self.missed += checker.missed - missed
        self.unchecked += checker.unchecked - unchecked
        return fault

    def record_failure(self, failure: ConnectionFailed) -> None:
        """Count a connection that could not be opened, or broke."""
        self.failures[failure.reason] += 1
        self.failure_messages[str(failure)] += 1


def exit_code(stats: RunStats, clients: int, signal_number: int | None) -> int:
    """Return 1 when a client found a fault or failed; else 128 + the signal that ended the run, else 0."""
    if stats.lost or stats.doubled or stats.gave_up or stats.away or stats.reached < clients:
        return 1
    return 0 if signal_number is None else 128 + signal_number


# ---- text


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the percentile by nearest rank; NaN when there are no values."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)] if ranked else math.nan


def format_step(timings: Iterable[Timing], step: Step) -> str:
    """Format p50, p95 and the maximum of one step, in ms."""
    values = [ms for timing in timings if (ms := timing.ms(step)) is not None]
    if not values:
        return "never"
    return (
        f"p50 {percentile(values, 50):.1f} ms, p95 {percentile(values, 95):.1f} ms, max {max(values):.1f} ms"
    )


def plural(number: int, noun: str) -> str:
    """Format a count: `1 client`, `2 clients`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_counts(counter: Mapping[str, int] | Mapping[FailureReason, int]) -> str:
    """Format a counter: `fresh 3, gap 1`."""
    return ", ".join(f"{name} {n}" for name, n in counter.items()) or "none"


def format_summary(stats: RunStats, clients: int, seconds: float) -> str:
    """Format the summary of a run of `clients` that took `seconds`."""
    lines = [
        f"Summary of {seconds:.1f} s",
        f"  clients       {stats.reached} of {clients} reached the stream, "
        f"{plural(stats.reconnects, 'reconnect')}, {stats.gave_up} gave up, {stats.away} away at the end",
    ]
    if stats.timings:
        lines += [f"  {step:<13} {format_step(stats.timings, step)}" for step in Step]
    if stats.reached:
        lines += _format_received(stats, seconds)
    if stats.goodbyes:
        lines.append(f"  goodbyes      {format_counts(stats.goodbyes)}")
    if stats.failures:
        lines.append(f"  failures      {format_counts(stats.failures)}")
    if clients > 1:  # a single client has printed its failures already
        lines += [f"    {n} x {message}" for message, n in stats.failure_messages.most_common(5)]
    return "\n".join(map(printable, lines))


def _format_received(stats: RunStats, seconds: float) -> list[str]:
    unchecked = f", NOT CHECKED {stats.unchecked} without a position" if stats.unchecked else ""
    return [
        f"  verdicts      {format_counts(stats.verdicts)}",
        f"  updates       {stats.updates} ({stats.updates / max(seconds, 1e-9):.1f}/s)",
        f"  heartbeats    {stats.heartbeats}",
        f"  check         lost {stats.lost}, doubled {stats.doubled}, missed as announced {stats.missed}"
        + unchecked,
    ]


# ---- printing while the run lasts


class Printer:
    """Print what happens to the clients: everything of a single one, only faults of many.

    `debug`: print every frame and header of every client, uncut.
    """

    def __init__(self, clients: int, debug: bool) -> None:
        self._debug = debug
        self._many = clients > 1
        self._verbose = debug or not self._many

    def connected(self, client: int, connection: OpenConnection) -> None:
        """Print how long connecting took, and the protocol that was agreed on."""
        if not self._verbose:
            return
        head, timing = connection.head, connection.timing
        protocol = head.http_version
        if connection.transport is TransportName.CABLE:
            protocol = head.subprotocol or "no subprotocol"
        steps = ", ".join(f"{step} {timing.ms(step) or 0:.1f} ms" for step in (Step.CONNECT, Step.HEAD))
        self._line(client, "connected", f"{steps}, {protocol}")
        for name, value in head.headers.items() if self._debug else ():
            self._line(client, "header", f"{name}: {value}")

    def received(self, client: int, event: Event, fault: str | None) -> None:
        """Print an event, and the fault that the SequenceChecker found in it."""
        if fault is not None:
            self._line(client, "FAULT", fault)
        if self._debug or (self._verbose and event.kind is not EventKind.OTHER):
            self._line(client, event.kind, event.text if self._debug else _format_event(event))

    def failed(self, client: int, failure: ConnectionFailed) -> None:
        """Print a failure to stderr; of many clients only the summary counts them."""
        if self._verbose:
            self._line(client, "failed", str(failure), err=True)

    def waiting(self, client: int, seconds: float, position: Position | None) -> None:
        """Print the pause before the next attempt, and the position that it will resume after."""
        if self._verbose:
            resumes = "" if position is None else f", then resuming after {position}"
            self._line(client, "waiting", f"{seconds:.2f} s{resumes}")

    def _line(self, client: int, label: str, text: str, err: bool = False) -> None:
        now = datetime.now().strftime("%H:%M:%S.%f")[:-3]
        line = f"{now} {f'#{client} ' if self._many else ''}{label:<10} {text}"
        # Asked for each line, since a window changes its size; a failure is never cut.
        echo(line, err=err, columns=None if err or self._debug else terminal_columns())


def _format_event(event: Event) -> str:
    position = "" if event.position is None else str(event.position)
    match event.kind:
        case EventKind.VERDICT:
            missed = f", missed {event.missed}" if event.missed else ""
            return f"{event.verdict or 'none told'} {position}{missed}".rstrip()
        case EventKind.HEARTBEAT:
            return position or event.text
        case EventKind.UPDATE:
            return f"{position} {event.text}".lstrip()
        case _:
            return event.text


async def print_stats(stats: RunStats, clients: int, interval: float) -> None:
    """Print a line of totals and rates every `interval` seconds until cancelled."""
    started_at = previous_at = time.monotonic()
    previous_updates = 0
    while True:
        await asyncio.sleep(interval)
        now = time.monotonic()
        rate = (stats.updates - previous_updates) / (now - previous_at)
        previous_at, previous_updates = now, stats.updates
        echo(
            f"{now - started_at:6.1f} s  {stats.connected}/{clients} connected, {rate:.1f} updates/s, "
            f"{stats.updates} updates, {stats.heartbeats} heartbeats, lost {stats.lost}, "
            f"doubled {stats.doubled}, {plural(stats.reconnects, 'reconnect')}"
        )
