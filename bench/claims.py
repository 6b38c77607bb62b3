"""Claims: sentences with a number in them, each bound to a result file; `claims.toml` lists them.

Others' claims get a verdict here. Ours are the numbers in our documents: see quotes.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench import figures, result
from bench.errors import Environment
from bench.measure import validity
from bench.result import Result
from bench.statistics import stats
from bench.statistics.stats import Ratio

FILE = Path(__file__).with_name("claims.toml")
DIGITS = "0123456789.,>"
RESULTS = Path(__file__).with_name("results")


class Claim(NamedTuple):
    """`of` is `original` or `ours`. What it is about is a figure of a row, or of a row against another (a paired
    ratio). `low` and `high` are what an `original` claims; `tolerance` is how far ours may be off in another run."""

    id: str
    of: str
    text: str
    result: str = ""
    figure: str = ""
    row: str = ""
    against: str = ""
    point: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float = 0.25
    form: str = ""
    untestable: str = ""


class Measured(NamedTuple):
    """What the result file says: a value, and its 95 % interval where there are several runs, or pairs of them."""

    value: float
    low: float | None = None
    high: float | None = None
    pairs: int = 0


class Origin(NamedTuple):
    """Of which commit a result is, of which day and machine, and what the noise gate said of it."""

    commit: str
    date: str
    machine: str
    noise: str


class Verdict(NamedTuple):
    """`word` is confirmed, refuted, not settled, not testable here or not measured."""

    claim: Claim
    word: str
    measured: Measured | None
    why: str = ""


@cache
def load(path: Path = FILE) -> tuple[Claim, ...]:
    """All claims. Raises Environment with a sentence for an entry that says nothing."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    claims = tuple(Claim(**entry) for entry in found["claim"])
    for claim in claims:
        if not claim.untestable and not (claim.result and claim.figure and claim.row):
            raise Environment(f"{path.name}: {claim.id} needs result, figure and row, or `untestable`")
    if len({claim.id for claim in claims}) != len(claims):
        raise Environment(f"{path.name}: an id is there twice")
    return claims


def measure(claim: Claim, results: Path = RESULTS) -> Measured | None:
    """The number that a claim is about, from its result file; None when it was not measured."""
    path = results / claim.result
    if claim.untestable or not path.is_file():
        return None
    return of_result(claim, _read(path))


def origin(claim: Claim, results: Path = RESULTS) -> Origin | None:
    """Where a claim's number comes from, as its result file says; None when it was not measured."""
    path = results / claim.result
    if claim.untestable or not path.is_file():
        return None
    made = _read(path)
    found, git = made.environment, made.environment.get("git") or {}
    changed = " with changes that were not committed" if git.get("dirty") else ""
    commit = f"{str(git['sha'])[:7]}{changed}" if git.get("sha") else "unknown"
    cpu = " ".join(str(found["cpu_model"]).replace("(R)", "").split())
    return Origin(commit, made.created_at[:10], f"{cpu}, {found['cores']} cores", _noise(made))


def _noise(made: Result) -> str:
    """ "noisy before, quiet after"; "quiet before and after"."""
    before, after = (str((made.noise[when] or {}).get("verdict", "unknown")) for when in ("before", "after"))
    return f"{before} before and after" if before == after else f"{before} before, {after} after"


@cache
def _read(path: Path) -> Result:
    return result.read(path)


def of_result(claim: Claim, made: Result) -> Measured | None:
    """The mean over a row's clean runs, or the paired ratio of two rows; None from a result that is not whole, or of
    a machine that was not quiet."""
    if made.verdict == "incomplete" or validity.machine(**made.noise):
        return None
    ours = _by_pair(made, claim.row, claim)
    if not claim.against:
        values = list(ours.values())
        return Measured(stats.mean(values), *stats.bounds(values), len(values)) if values else None
    theirs = _by_pair(made, claim.against, claim)
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None
    ratio: Ratio = stats.paired_ratio([ours[pair] for pair in both], [theirs[pair] for pair in both])
    return Measured(ratio.value, ratio.low, ratio.high, ratio.pairs)


def _by_pair(made: Result, row: str, claim: Claim) -> dict[int, float]:
    return {
        run.pair: run.figures[claim.figure]
        for run in made.of(row, claim.point)
        if run.valid and claim.figure in run.figures
    }


def judge(claim: Claim, measured: Measured | None) -> Verdict:
    """Others' claims by their range; a ratio only when its interval is wholly inside or outside."""
    if claim.untestable:
        return Verdict(claim, "not testable here", None, claim.untestable)
    if measured is None:
        return Verdict(claim, "not measured", None, f"{claim.result} has no clean run for it")
    if measured.low is None or measured.high is None:
        return Verdict(claim, "not settled", measured, "one run, or one pair, has no interval: run more")
    low, high = measured.low, measured.high
    least, most = claim.low or float("-inf"), float("inf") if claim.high is None else claim.high
    if least <= low and high <= most:
        return Verdict(claim, "confirmed", measured)
    if high < least or low > most:
        return Verdict(claim, "refuted", measured)
    return Verdict(claim, "not settled", measured, "the interval reaches over the claim's edge")


def verdicts(results: Path = RESULTS) -> Iterator[Verdict]:
    """Of all claims that are not ours, and of those of ours that set themselves a range (the goals)."""
    for claim in load():
        if claim.of != "ours" or claim.low is not None or claim.high is not None:
            yield judge(claim, measure(claim, results))


def shown(claim: Claim, measured: Measured) -> str:
    """A number as a document shows it."""
    if claim.form or claim.against:
        return (claim.form or "{:.2f} x").format(measured.value)
    return figures.of(claim.figure).text(measured.value)


def interval(claim: Claim, measured: Measured) -> str:
    """Its bounds as a document shows them."""
    if measured.low is None or measured.high is None:
        return "no interval"
    low, high = (shown(claim, Measured(bound)) for bound in (measured.low, measured.high))
    return f"{low[: -len(low.lstrip(DIGITS)) or None]}-{high}"


def in_words(verdict: Verdict) -> str:
    """A line for a terminal."""
    found = verdict.measured
    value = "" if found is None else f" measured {_value(verdict.claim, found)}"
    why = f" ({verdict.why})" if verdict.why else ""
    return f"{verdict.word.upper():<17} {verdict.claim.text}:{value}{why}"


def _value(claim: Claim, found: Measured) -> str:
    text = f"{found.value:.2f} x" if claim.against else figures.of(claim.figure).text(found.value)
    return text if found.low is None else f"{text} (95 % interval {found.low:.2f}-{found.high:.2f})"


def holds_elsewhere(claim: Claim, here: Measured, there: Measured) -> bool:
    """Whether another run of the same suite agrees within the claim's tolerance."""
    return abs(there.value / here.value - 1) <= claim.tolerance if here.value else there.value == 0
