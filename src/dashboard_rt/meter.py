"""Counters and gauges for the hot paths: plain numbers, shown to prometheus_client when it asks.

Its own take a lock and five calls to add one, which was a tenth of the cost of a connect. Ours may only be touched
on the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


class Tally:
    """One number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take away."""
        self.value -= amount

    def set(self, value: float) -> None:
        """Set."""
        self.value = value


class Meter(Collector):
    """A metric: a number for each combination of label values, made when it is first asked for."""

    def __init__(
        self,
        family: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        says: str,
        labels: tuple[str, ...] = (),
    ) -> None:
        self._family = family
        self._name = name
        self._says = says
        self._labels = labels
        self._numbers: dict[tuple[str, ...], Tally] = {}
        if not labels:
            only = self.labels()
            self.inc, self.set = only.inc, only.set  # of a metric without labels

    def labels(self, *values: str) -> Tally:
        """The number of these label values, given in the order of the label names."""
        tally = self._numbers.get(values)
        if tally is None:
            if len(values) != len(self._labels):
                raise ValueError(f"{self._name} has the labels {self._labels}, not {values}")
            tally = self._numbers[values] = Tally()
        return tally

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All of them, for the registry."""
        family = self._family(self._name, self._says, labels=self._labels)
        for values, tally in self._numbers.items():
            family.add_metric([str(value) for value in values], tally.value)
        yield family
