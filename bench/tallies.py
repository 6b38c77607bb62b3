"""Counts over the two runs of the headline suite that our documents quote: how often the two agree, how often the
machine was quiet. quotes.py writes them between `<!--tally NAME-->` and `<!--/tally-->`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from bench import compare, result
from bench.claims import RESULTS
from bench.compare import Delta
from bench.figures import percent
from bench.measure.noise import SPIN_COV
from bench.result import Json, Result
from bench.scenarios import SCENARIOS

QUOTED, AGAIN = "headline", "headline-again"
BY_CHANCE = 0.05  # of comparisons between equals, with 95 % intervals


@cache
def load(results: Path = RESULTS) -> Mapping[str, str]:
    """All counts by their names, as a document shows them."""
    both = list(_both(results))
    ratios = [delta for before, after in both for delta in _deltas(before, after, of_ratios=True)]
    figures = [delta for before, after in both for delta in _deltas(before, after, of_ratios=False)]
    (alike, compared), (same, known) = compare.agree(ratios), compare.agree(figures)
    gates = [gate for pair in both for one in pair for gate in _gates(one)]
    uneven = [gate["spin_cov"] for gate in gates if gate["spin_cov"] > SPIN_COV.noisy]
    found = {
        "ratios": compared,
        "ratios-alike": alike,
        "ratios-apart": compared - alike,
        "ratios-by-chance": round(compared * BY_CHANCE),
        "figures": known,
        "figures-apart": known - same,
        "gates": len(gates),
        "gates-quiet": sum(gate["verdict"] == "quiet" for gate in gates),
        "gates-uneven": len(uneven),
    }
    most = {
        "gates-spread": percent(max(uneven, default=0.0), 2),
        "gates-steal": percent(max((gate["steal_share"] for gate in gates), default=0.0), 2),
    }
    return {name: f"{count:,}" for name, count in found.items()} | most


def _both(results: Path) -> Iterator[tuple[Result, Result]]:
    """Each measurement of the suite, as the other run and as the quoted one have it."""
    for path in sorted((results / QUOTED).glob("*.json")):
        other = results / AGAIN / path.name
        if other.is_file():
            yield result.read(other), result.read(path)


def _deltas(before: Result, after: Result, *, of_ratios: bool) -> Iterator[Delta]:
    """What `python -m bench compare` holds against each other."""
    names = compare.shared(before, after, SCENARIOS[before.scenario].compared)
    return (compare.ratio_deltas if of_ratios else compare.deltas)(before, after, names)


def _gates(made: Result) -> Iterator[Json]:
    yield from (gate for gate in made.noise.values() if gate is not None)
