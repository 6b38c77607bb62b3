"""bench/crosscheck/agreement.py: what the pairs of two instruments say, and that the README says the same."""

from __future__ import annotations

import re

import orjson
import pytest

from bench.crosscheck import agreement
from bench.crosscheck.agreement import Agreement, Made, Sample
from bench.statistics.stats import Ratio
from tests.bench.crosscheck.tool import SOURCE
from tests.bench.small_targets import ROOT


def made(pair: int, instrument: str, us: float, p50: float, *doubts: str) -> Made:
    return Made(pair, instrument, Sample({"us_per_delivery": us, "p50_ms": p50}, list(doubts), {}))


def test_agreement_is_judged_on_the_pairs_in_which_nothing_is_in_doubt() -> None:
    runs = [
        made(0, "bench", 7.0, 3.0),
        made(0, "crosscheck", 7.0, 3.0),
        made(1, "crosscheck", 7.0, 3.0),
        made(1, "bench", 99.0, 99.0, "noise"),
        made(2, "bench", 8.4, 2.7),
        made(2, "crosscheck", 7.0, 3.0),
    ]
    cpu, median = agreement.agreements(runs)
    assert (cpu.ratio.pairs, median.ratio.pairs) == (2, 2)
    assert cpu.ratio.value == pytest.approx(1.2**0.5)
    assert median.ratio.value == pytest.approx(0.9**0.5)
    assert agreement.exit_code([cpu, median]) == 0
    assert agreement.agreements(runs[2:4]) == []
    assert agreement.exit_code([]) == 2


def test_what_waking_costs_is_told_apart_from_agreement() -> None:
    costs = {"bench": 8.0, "crosscheck": 10.0, "bench awake": 8.0, "crosscheck awake": 8.0}
    runs = [made(pair, name, us, 3.0) for pair in (0, 1) for name, us in costs.items()]
    waking = agreement.of_waking(runs)
    assert {name: one.value for name, one in waking.items()} == pytest.approx(
        {"bench": 1.0, "crosscheck": 0.8}
    )
    words = agreement.waking_words("crosscheck", waking["crosscheck"])
    assert "crosscheck awake / crosscheck: 0.800 x" in words
    assert "one pair" in agreement.waking_words("bench", agreement.of_waking(runs[:4])["bench"])
    asleep, _, awake, _ = agreement.agreements(runs)
    assert [asleep.ratio.value, awake.ratio.value] == pytest.approx([0.8, 1.0])
    assert "bench / crosscheck: 0.800 x" in asleep.words()
    assert "bench awake / crosscheck awake: 1.000 x" in awake.words()
    assert agreement.of_waking([one for one in runs if "awake" not in one.instrument]) == {}


@pytest.mark.parametrize(
    ("value", "low", "high", "reached", "settled"),
    [
        (1.00, 0.95, 1.05, True, True),
        (1.09, 1.05, 1.13, True, False),
        (1.11, 1.05, 1.17, False, False),
        (1.20, 1.15, 1.25, False, True),
        (0.90, 0.89, 0.905, False, True),
        (0.92, None, None, True, False),
    ],
)
def test_what_an_interval_lets_one_say(
    value: float, low: float | None, high: float | None, reached: bool, settled: bool
) -> None:
    one = Agreement("us_per_delivery", Ratio(value, low, high, 3), 0.10)
    assert (one.reached, one.settled) == (reached, settled)
    assert ("MISSED" in one.words()) == (not reached)
    assert ("run more pairs" in one.words()) == (not settled and low is not None)
    assert agreement.exit_code([one]) == (0 if reached else 1)


def said_by_the_readme() -> dict[tuple[str, str], list[str]]:
    """The cells behind "app over SSE": CPU asleep and awake, median asleep and awake."""
    rows = re.findall(r"(?m)^\| (app|floor) over (SSE|cable) \| (.+) \|$", (SOURCE / "README.md").read_text())
    return {(target, transport.lower()): cells.split(" | ") for target, transport, cells in rows}


def found_in_the_results() -> dict[tuple[str, str], list[str]]:
    """The same, computed anew from the runs of each file."""
    found = {}
    for path in sorted((ROOT / "bench" / "results" / "crosscheck").glob("*.json")):
        document = orjson.loads(path.read_bytes())
        runs = [
            Made(run["pair"], run["instrument"], Sample(run["figures"], run["doubts"], {}))
            for run in document["runs"]
        ]
        ratios = {(one.figure, one.instruments): one.ratio for one in agreement.agreements(runs)}
        wanted = [ratios[figure, form] for figure in agreement.LIMITS for form in agreement.FORMS]
        cells = [f"{one.value:.3f} ({one.low:.3f}-{one.high:.3f})" for one in wanted]
        found[document["plan"]["target"], document["plan"]["transport"]] = cells
    return found


def test_the_readme_says_what_the_result_files_say() -> None:
    said = said_by_the_readme()
    assert len(said) == 4
    assert said == found_in_the_results()
