"""The durations of a long run without loss and in bounded memory: appended raw, counted by microsecond in slices.

Appending is all that a delivery pays. Counting goes on in small slices beside the load: a histogram's own
`record` takes 2 us for each value, and counting millions at once would stop the loop for longer than what is measured.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from typing import NamedTuple

from bench.statistics.histogram import Histogram

SLICE = 10_000  # values counted at a time: about a millisecond
KEPT = 1_000_000  # raw values kept at most, for `recent`
SAMPLE = 1000


class Recent(NamedTuple):
    """Percentiles of late, in ms; None when nothing came."""

    p50_ms: float | None
    p99_ms: float | None


class Recorder:
    """Durations in ns. `append` is the list's own, so that it costs no call into Python."""

    __slots__ = ("append", "counted", "counts", "forgotten", "fresh", "raw")

    def __init__(self) -> None:
        self.raw = array("q")
        self.append = self.raw.append
        self.counts: Counter[int] = Counter()
        self.counted = 0  # how many of `raw` are in `counts`
        self.fresh = 0  # where in `raw` the values begin that `recent` has not seen
        self.forgotten = 0

    def __len__(self) -> int:
        return self.forgotten + len(self.raw)

    def fold(self) -> bool:
        """Count one slice; False when there was none to count."""
        values = self.raw[self.counted : self.counted + SLICE]
        self.counts.update([value // 1000 for value in values])
        self.counted += len(values)
        if self.counted == len(self.raw) > KEPT:
            self._forget()
        return len(values) > 0

    def _forget(self) -> None:
        self.forgotten += len(self.raw)
        del self.raw[:]
        self.counted = self.fresh = 0

    def recent(self, chance: random.Random) -> Recent:
        """Percentiles of a random sample of what came since the last call: sorting all of it would stop the loop."""
        values = self.raw[self.fresh :]
        self.fresh = len(self.raw)
        if not values:
            return Recent(None, None)
        sample = sorted(chance.choices(values, k=SAMPLE))
        return Recent(sample[SAMPLE // 2] / 1e6, sample[SAMPLE * 99 // 100] / 1e6)

    def histogram(self) -> Histogram:
        """All of it, none left out."""
        while self.fold():
            continue
        histogram = Histogram()
        histogram.record_counts(self.counts)
        return histogram
