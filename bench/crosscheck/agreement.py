"""What two instruments saw in turn, and whether they agree. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.errors import EXIT_LOSS, EXIT_OK, EXIT_VOID
from bench.statistics import stats

INSTRUMENTS = ("bench", "crosscheck")
AWAKE = ("bench awake", "crosscheck awake")  # the same two as receivers that never sleep between two messages
FORMS = (INSTRUMENTS, AWAKE)
LIMITS = {"us_per_delivery": 0.10, "p50_ms": 0.15}
NAMES = {"us_per_delivery": "CPU per delivery", "p50_ms": "median latency"}


class Sample(NamedTuple):
    """One run of one instrument. `doubts` say why it means nothing; empty when it does."""

    figures: dict[str, float]
    doubts: list[str]
    facts: dict[str, Any]


class Made(NamedTuple):
    """A sample, and which it is."""

    pair: int
    instrument: str
    sample: Sample

    def words(self) -> str:
        """One run in a line; a void one says why."""
        figures = self.sample.figures
        void = f"  VOID: {'; '.join(self.sample.doubts)}" if self.sample.doubts else ""
        return (
            f"pair {self.pair}  {self.instrument:<16}  {figures['us_per_delivery']:6.2f} us"
            f"  p50 {figures['p50_ms']:7.3f} ms{void}"
        )


class Agreement(NamedTuple):
    """The bench's figure divided by the tool's, and what may lie between them (0.1 is 10 %, either way up)."""

    figure: str
    ratio: stats.Ratio
    limit: float
    instruments: tuple[str, str] = INSTRUMENTS

    @property
    def bounds(self) -> tuple[float, float]:
        """The ratios that are just allowed."""
        return 1 / (1 + self.limit), 1 + self.limit

    @property
    def reached(self) -> bool:
        """Whether the mean ratio is within the bounds."""
        low, high = self.bounds
        return low <= self.ratio.value <= high

    @property
    def settled(self) -> bool:
        """Whether the whole interval says the same as the mean; never for a single pair, which has none."""
        low, high = self.ratio.low, self.ratio.high
        return low is not None and high is not None and not any(low < bound < high for bound in self.bounds)

    def words(self) -> str:
        """For a reader."""
        ratio = self.ratio
        said = f"{NAMES[self.figure]}, {' / '.join(self.instruments)}: {ratio.value:.3f} x"
        demanded = f"within {self.limit:.0%} demanded: {'reached' if self.reached else 'MISSED'}"
        if ratio.low is None or ratio.high is None:
            return f"{said} (one pair: no interval); {demanded} by the one pair"
        interval = f"95 % interval {ratio.low:.3f}-{ratio.high:.3f}, {ratio.pairs} pairs"
        unsettled = "" if self.settled else " on average, not settled: run more pairs"
        return f"{said} ({interval}); {demanded}{unsettled}"


def agreements(made: Sequence[Made]) -> list[Agreement]:
    """One for each figure, asleep and awake, over the pairs in which nothing was in doubt: none without such a pair."""
    return [
        Agreement(figure, value, limit, instruments)
        for instruments in FORMS
        for figure, limit in LIMITS.items()
        if (value := ratio(made, figure, *instruments)) is not None
    ]


def ratio(made: Sequence[Made], figure: str, ours: str, theirs: str) -> stats.Ratio | None:
    """One instrument's figure divided by another's, over the pairs in which neither is in doubt; None without any."""
    good: dict[str, dict[int, float]] = {ours: {}, theirs: {}}
    for one in made:
        if one.instrument in good and not one.sample.doubts:
            good[one.instrument][one.pair] = one.sample.figures[figure]
    pairs = sorted(good[ours].keys() & good[theirs].keys())
    if not pairs:
        return None
    return stats.paired_ratio(*([good[name][pair] for pair in pairs] for name in (ours, theirs)))


def of_waking(made: Sequence[Made]) -> dict[str, stats.Ratio]:
    """What it costs the server to wake a receiver: CPU per delivery to one that never sleeps, divided by that to the
    same one when it does, for each instrument."""
    pairs = zip(INSTRUMENTS, AWAKE, strict=True)
    found = {asleep: ratio(made, "us_per_delivery", awake, asleep) for asleep, awake in pairs}
    return {name: value for name, value in found.items() if value is not None}


def waking_words(name: str, found: stats.Ratio) -> str:
    """For a reader."""
    interval = "one pair: no interval"
    if found.low is not None and found.high is not None:
        interval = f"95 % interval {found.low:.3f}-{found.high:.3f}, {found.pairs} pairs"
    return f"CPU per delivery to a receiver that never sleeps, {name} awake / {name}: {found.value:.3f} x ({interval})"


def exit_code(found: Sequence[Agreement]) -> int:
    """0 when they agree, 1 when not, 2 when there is nothing to judge."""
    if not found:
        return EXIT_VOID
    return EXIT_OK if all(one.reached for one in found) else EXIT_LOSS
