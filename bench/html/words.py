"""Numbers and findings as people say them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench import wording
from bench.comparison import Compared
from bench.figures import Figure, number
from bench.result import Result, Run
from bench.statistics.stats import Ratio

TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
_RANGE = re.compile(r"(?<=\d)-(?=\d)")
PLAN = (
    ("clients", "{} clients"),
    ("counts", "{} connections"),
    ("rate", "{}/s"),
    ("rates", "{}/s"),
    ("batch", "batches of {}"),
    ("in_flight", "{} in flight"),
)


def ratio(value: float) -> str:
    """A ratio: "1.07 \N{MULTIPLICATION SIGN}"."""
    return f"{number(value)} {TIMES}"


def interval(found: Ratio | None) -> str:
    """The bounds of a ratio, or why there are none."""
    if found is None:
        return DASH
    if found.low is None or found.high is None:
        return "none: one pair" if found.pairs == 1 else "none: too few pairs"
    return f"{number(found.low)}{DASH}{number(found.high)}"


def short(found: Compared) -> str:
    """A ratio with its bounds, for the margin of a picture."""
    if found.ratio is None:
        return "no ratio"
    if found.ratio.low is None:
        return f"{ratio(found.ratio.value)} (1 pair)"
    return f"{ratio(found.ratio.value)} ({interval(found.ratio)})"


def tied(sentence: str) -> str:
    """A sentence in which numbers stay with their per cent signs, and intervals whole, where the line breaks."""
    return _RANGE.sub("\N{NON-BREAKING HYPHEN}", sentence.replace(" %", "\N{NO-BREAK SPACE}%"))


def listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def moment(stamp: str) -> str:
    """ "2026-11-24 17:10 UTC" from "2026-11-24T17:10:26Z"."""
    return f"{stamp[:10]} {stamp[11:16]} UTC"


def noise(result: Result) -> list[tuple[str, str, str]]:
    """When the machine was not quiet, its verdict, and why."""
    return [
        (when, found["verdict"], "; ".join(found["reasons"]))
        for when, found in result.noise.items()
        if found is not None and found["verdict"] != "quiet"
    ]


def faults(run: Run) -> str:
    """Why a run does not count; empty when it does."""
    return "; ".join(f"{flag.severity}: {flag.message}" for flag in run.flags if flag.severity != "warn")


def warnings(run: Run) -> str:
    """What is doubtful about a run that counts all the same."""
    return "; ".join(flag.message for flag in run.flags if flag.severity == "warn")


def books(run: Run) -> str:
    """Updates lost, doubled and disordered: "0/0/0"."""
    if run.account is None:
        return DASH
    return "/".join(f"{run.account[name]:,}" for name in ("lost", "doubled", "disordered"))


def title(result: Result) -> str:
    """What was done, from its label, or from its plan."""
    return f"{result.scenario}: {result.label or plan(result)}"


def plan(result: Result) -> str:
    """What of a plan tells results apart; of several values the first and the last."""
    told = {name: _numbers(result.plan.get(name)) for name, _ in PLAN}
    said = [form.format(_ends(told[name])) for name, form in PLAN if told[name] not in ([], [1])]
    return ", ".join(said) or wording.plural(result.pairs, "pair")


def _numbers(value: object) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, int | float)]


def _ends(values: Sequence[float]) -> str:
    return DASH.join(dict.fromkeys(number(value) for value in (values[0], values[-1])))


def spread(figure: Figure, values: Iterable[float]) -> str:
    """The least and the greatest of some values, as an interval."""
    found = sorted(values)
    return f"{figure.text(found[0])} {DASH} {figure.text(found[-1])}" if len(found) > 1 else DASH
