"""What all clients of a process have seen together. No socket, no clock: the moment of a read is handed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from bench.load.ledger import Ledger
from bench.load.payload import Stamp
from bench.load.recorder import Recorder
from bench.load.timeline import Timeline
from bench.load.wire import PINGS, Memo

PING_SLOT_NS = 10_000_000


class Tally:
    """Counts and durations. Of the updates from number `measured_from` on: `latency` from the intended moment of
    sending, `uncorrected` from the actual one, their bytes, the moments of the first and the last, and the longest time
    between two of them. Of all:
    `reads`, `updates`, controls by name, errors by reason, and `closed`, connections that the server ended. `pings`
    are counted since `measure`, by arrival in slots of PING_SLOT_NS: the window in which the server's CPU is counted
    begins ahead of the first measured update, at a moment that is known only later (see `pings_since`). `timeline` is
    there when it was asked for."""

    __slots__ = (
        *("bytes", "closed", "controls", "errors", "extensions", "first_ns", "gap_ns", "last_ns", "latency"),
        *("measured_from", "memo", "on_measured", "pings", "reads", "timeline", "uncorrected", "updates"),
    )

    def __init__(self) -> None:
        self.memo = Memo()
        self.reads = self.updates = self.closed = 0
        self.controls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.extensions: set[str] = set()
        self.on_measured: Callable[[], None] = lambda: None
        self.measure(1)

    def measure(self, first: int, timeline: bool = False) -> None:
        """A new window: what was measured before is forgotten; `on_measured` is called when update `first`, or one
        behind it, comes."""
        self.measured_from = first
        self.latency = Recorder()
        self.uncorrected = Recorder()
        self.timeline = Timeline() if timeline else None
        self.bytes = self.first_ns = self.last_ns = self.gap_ns = 0
        self.pings: Counter[int] = Counter()

    def note(self, control: str, now: int) -> None:
        """Enter a control by its name, read at `now` (ns)."""
        self.controls[control] += 1
        if control in PINGS:
            self.pings[now // PING_SLOT_NS] += 1

    def pings_since(self, begin_ns: int) -> int:
        """Pings and heartbeats that arrived at `begin_ns` or later, to one slot."""
        first = begin_ns // PING_SLOT_NS
        return sum(count for slot, count in self.pings.items() if slot >= first)

    def take(self, updates: Sequence[Stamp], ledger: Ledger, now: int, size: int) -> None:
        """Enter the updates of one read: at least one, of `size` bytes together with what surrounds them, read at
        `now` (ns)."""
        self.updates += len(updates)
        first = self.measured_from
        measured = updates[-1].seq >= first
        if measured:
            self._measured(now, size)
        late, uncorrected = self.latency.append, self.uncorrected.append
        for seq, intended, sent in updates:
            if seq == ledger.next:
                ledger.next = seq + 1  # what `see` would do; a call less for nearly every delivery
            else:
                ledger.see(seq)
            if measured and seq >= first:
                late(now - intended)
                uncorrected(now - sent)
        if self.timeline is not None:
            self.timeline.take(updates, first, now)

    def _measured(self, now: int, size: int) -> None:
        if not self.first_ns:
            self.first_ns = now
            self.on_measured()
        elif now - self.last_ns > self.gap_ns:
            self.gap_ns = now - self.last_ns
        self.bytes += size
        self.last_ns = max(self.last_ns, now)  # reads need not come in the order of their arrivals

    def fold(self) -> None:
        """Count a slice of the durations; called while nothing else is due."""
        self.latency.fold()
        self.uncorrected.fold()
