"""A comparison in words that a reader can quote: who costs how much more, or that nothing is known. Pure.

The words never call a difference good or bad: whether more is better, the reader of a figure knows.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Literal, NamedTuple

from bench.statistics.stats import Ratio

Verdict = Literal["more", "less", "none", "unsettled"]
FACTOR_FROM = 2.0  # "110 % more" is read as twice as often as it is read right


class Wording(NamedTuple):
    """How a figure is spoken of: `ours` *costs* more *CPU per delivery* than `theirs`. What can be counted
    ("connections per second") is many and fewer, the rest is much and less."""

    verb: str
    noun: str
    countable: bool = False


class Decision(NamedTuple):
    """A ratio and what it allows to say: "more" or "less" when the interval leaves out 1, "none" (no difference
    detected, which is a result) when it does not, "unsettled" when there is no interval."""

    value: float
    low: float | None
    high: float | None
    pairs: int
    verdict: Verdict
    words: str


def decide(ratio: Ratio, wording: Wording, ours: str, theirs: str) -> Decision:
    """What `ratio`, of the figures of `ours` to those of `theirs`, says about `ours`.

    "cable costs 7 % more CPU per delivery than sse (95 % interval 4-10 %, 7 pairs)"
    """
    verdict = _verdict(ratio)
    match verdict:
        case "unsettled":
            words = _unsettled(ratio, wording.noun, f"{ours}/{theirs}")
        case "none":
            words = _alike(ratio, wording.noun, f"{ours}/{theirs}")
        case "more" | "less":
            words = f"{ours} {wording.verb} {_different(ratio, wording, verdict, theirs)}"
    return Decision(ratio.value, ratio.low, ratio.high, ratio.pairs, verdict, words)


def _verdict(ratio: Ratio) -> Verdict:
    if ratio.low is None or ratio.high is None:
        return "unsettled"
    if ratio.low > 1:
        return "more"
    return "less" if ratio.high < 1 else "none"


def _unsettled(ratio: Ratio, noun: str, between: str) -> str:
    gives = "gives" if ratio.pairs == 1 else "give"
    return f"{noun}: not settled ({between} {_times(ratio.value)} x; {ratio.basis} {gives} no interval, run more)"


def _alike(ratio: Ratio, noun: str, between: str) -> str:
    interval = f"95 % interval {_range(ratio, _times)}, {ratio.basis}"
    return f"{noun}: no difference detected ({between} {_times(ratio.value)} x, {interval})"


def _different(ratio: Ratio, wording: Wording, verdict: Verdict, theirs: str) -> str:
    if ratio.value >= FACTOR_FROM:
        much = "many" if wording.countable else "much"
        claim = f"{_times(ratio.value)} times as {much} {wording.noun} as {theirs}"
        interval = f"{_range(ratio, _times)} times"
    else:
        word = "fewer" if wording.countable and verdict == "less" else verdict
        claim = f"{_percent(ratio.value)} % {word} {wording.noun} than {theirs}"
        interval = f"{_range(ratio, _percent)} %"
    return f"{claim} (95 % interval {interval}, {ratio.basis})"


def _range(ratio: Ratio, text: Callable[[float], str]) -> str:
    """Both bounds as text, the one nearer to 1 first when ratios are told as differences from 1."""
    bounds = sorted(bound for bound in (ratio.low, ratio.high) if bound is not None)
    if text is _percent:
        bounds.sort(key=lambda bound: abs(bound - 1))
    return "-".join(map(text, bounds))


def _times(value: float) -> str:
    """1.02, 3.1, 1,250, 0.0034."""
    if value >= FACTOR_FROM:
        return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.1 else f"{Decimal(f'{value:.2g}'):f}"


def _percent(value: float) -> str:
    """How far a ratio is from 1, in whole percent; 0.4 is not rounded to 0, nor 99.7 to 100."""
    share = abs(value - 1) * 100
    if share < 0.95:
        return f"{Decimal(f'{share:.1g}'):f}"
    if 99 < share < 100:
        return f"{100 - Decimal(f'{100 - share:.1g}'):f}"
    return f"{share:.0f}"
