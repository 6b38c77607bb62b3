"""Latencies as an HdrHistogram: three digits from 1 us to 60 s, merged without loss across clients. Pure."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

from bench.errors import Environment

HIGHEST_US = 60_000_000
DIGITS = 3
NAMED = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "max": 100.0}


class Histogram:
    """Counts of durations. Takes nanoseconds, answers milliseconds; negative ones are counted apart."""

    def __init__(self, inner: Any = None) -> None:
        self._inner = inner if inner is not None else HdrHistogram(1, HIGHEST_US, DIGITS)
        self.negative = 0

    def record(self, values_ns: Iterable[int]) -> None:
        """Enter durations. Equal microseconds are entered at once: the library takes 2 us for each call."""
        self.record_counts(Counter(value // 1000 for value in values_ns))

    def record_counts(self, counts_us: Mapping[int, int]) -> None:
        """Enter durations that were counted before: microseconds, and how often each."""
        for value_us, count in counts_us.items():
            if value_us < 0:
                self.negative += count
            else:
                self._inner.record_value(min(max(value_us, 1), HIGHEST_US), count)

    def merge(self, other: Histogram) -> None:
        """Add another histogram's counts."""
        self._inner.add(other._inner)
        self.negative += other.negative

    @property
    def count(self) -> int:
        """How many durations were entered, negative ones left out."""
        return int(self._inner.total_count)

    def at(self, percentile: float) -> float:
        """The duration at a percentile (0-100), in ms; 0 when empty."""
        return float(self._inner.get_value_at_percentile(percentile)) / 1000 if self.count else 0.0

    def summary(self) -> dict[str, float | int | str]:
        """What a result file keeps: the usual percentiles in ms, and the whole histogram as a blob."""
        found = self._inner.get_percentile_to_value_dict(list(NAMED.values())) if self.count else {}
        return {
            "unit": "ms",
            "count": self.count,
            "negative": self.negative,
            "mean": self.mean(),
            **{name: found.get(value, 0) / 1000 for name, value in NAMED.items()},
            "hdr": self.encode(),
        }

    def mean(self) -> float:
        """The mean of the cells' middles, in ms; 0 when empty. (The library's own walks all 60 s of cells slowly.)"""
        inner, total = self._inner, 0
        for index, count in enumerate(inner.counts[:]):
            if count:
                lowest = inner.get_value_from_index(index)
                width = inner.get_highest_equivalent_value(lowest) + 1 - lowest
                total += count * (lowest + (width >> 1))
        return total / self.count / 1000 if self.count else 0.0

    def encode(self) -> str:
        """The base64 blob that every HdrHistogram tool reads."""
        return bytes(self._inner.encode()).decode()

    @classmethod
    def decode(cls, blob: str, negative: int = 0) -> Histogram:
        """The histogram of a blob. Raises Environment for one that is damaged."""
        try:
            histogram = cls(HdrHistogram.decode(blob))
        except (HdrCookieException, HdrLengthException, ValueError, TypeError, zlib.error) as error:
            raise Environment(f"a histogram in it cannot be read: {error}") from None
        histogram.negative = negative
        return histogram


def of(values_ns: Iterable[int]) -> Histogram:
    """A histogram of these durations."""
    histogram = Histogram()
    histogram.record(values_ns)
    return histogram


def merged(summaries: Iterable[dict[str, Any]]) -> Histogram:
    """The histogram of several summaries together: percentiles are never averaged."""
    whole = Histogram()
    for summary in summaries:
        whole.merge(Histogram.decode(str(summary["hdr"]), int(summary["negative"])))
    return whole
