"""Latencies over the time of a run, in slots by the moment at which each update should have been sent.

One histogram of a whole run does not show an outage that takes three seconds of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.load.payload import Stamp
from bench.load.recorder import Recorder
from bench.statistics import histogram

SLOT_NS = 100_000_000
COLUMNS = ("t_s", "deliveries", "p50_ms", "p99_ms", "max_ms")

Slots = dict[str, dict[str, Any]]  # histograms, by the number of the slot as JSON has it


class Timeline:
    """The deliveries of one process."""

    def __init__(self) -> None:
        self._slots: defaultdict[int, Recorder] = defaultdict(Recorder)

    def take(self, updates: Sequence[Stamp], first: int, now: int) -> None:
        """Enter the updates of one read from number `first` on, read at `now` (CLOCK_MONOTONIC, ns)."""
        for seq, intended, _ in updates:
            if seq >= first:
                self._slots[intended // SLOT_NS].append(now - intended)

    def report(self) -> Slots:
        """A histogram for each slot that has deliveries."""
        return {str(slot): found.histogram().summary() for slot, found in sorted(self._slots.items())}


def merged(reports: Iterable[Slots]) -> Slots:
    """The slots of several processes together."""
    parts: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for report in reports:
        for slot, summary in report.items():
            parts[slot].append(summary)
    return {
        slot: found[0] if len(found) == 1 else histogram.merged(found).summary()
        for slot, found in sorted(parts.items(), key=lambda part: int(part[0]))
    }


def table(slots: Slots, origin_ns: int) -> dict[str, Any]:
    """Columns and rows for the result file; `t_s` is where a slot begins, in seconds since `origin_ns`."""
    rows = [
        [
            round((int(slot) * SLOT_NS - origin_ns) / 1e9, 3),
            found["count"],
            *(round(found[name], 3) for name in ("p50", "p99", "max")),
        ]
        for slot, found in slots.items()
    ]
    return {"columns": list(COLUMNS), "rows": rows}


def between(slots: Slots, begin_ns: int, end_ns: int) -> Mapping[str, Any] | None:
    """The histogram of the slots that lie wholly between two moments; None when nothing was delivered there."""
    found = [
        summary for slot, summary in slots.items() if begin_ns <= int(slot) * SLOT_NS <= end_ns - SLOT_NS
    ]
    return histogram.merged(found).summary() if found else None
