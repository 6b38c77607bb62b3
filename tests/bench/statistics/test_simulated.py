"""How often stats.py is right, over many experiments whose truth is known, and that the test would see it if not.

The noise of a run is lognormal with a deviation of 4 %, on top of what its pair has in common (5 %). Claims are
counted against an exact bound, see `allowed`. Seeds are fixed: a failure is a change of the code, not of the weather.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from bench.statistics import stats
from bench.statistics.student import tail

Noise = Callable[[random.Random], float]
Experiment = tuple[list[float], list[float]]
Judge = Callable[[list[float], list[float]], bool]

PAIRS = 7
TEN_PERCENT = math.log(1.10)
SURPRISE = 0.001  # how often a right procedure may be taken for a wrong one, or the other way round


def plain(chance: random.Random) -> float:
    return chance.gauss(0, 0.04)


def heavy(chance: random.Random) -> float:
    """One run in ten is disturbed, by 30 % on average: a neighbour on the core."""
    return plain(chance) + (chance.expovariate(1 / 0.3) if chance.random() < 0.1 else 0.0)


def lopsided(chance: random.Random) -> float:
    """Never much below its mean, at times far above."""
    return 0.1 * (chance.expovariate(1) - 1)


def steady(chance: random.Random) -> float:
    return chance.gauss(0, 0.01)


def experiments(
    count: int,
    seed: int,
    *,
    effect: float = 0.0,
    ours: Noise = plain,
    theirs: Noise = plain,
    pairs: int = PAIRS,
) -> Iterator[Experiment]:
    """The figures of both sides, pair by pair; `effect` is the true difference of their logs."""
    chance = random.Random(seed)
    for _ in range(count):
        common = [chance.gauss(0, 0.05) for _ in range(pairs)]
        yield (
            [math.exp(effect + shared + ours(chance)) for shared in common],
            [math.exp(shared + theirs(chance)) for shared in common],
        )


def at_most(claims: int, count: int, rate: float) -> float:
    """How likely `count` experiments give no more than `claims`, each with probability `rate` (exact binomial)."""
    return math.fsum(
        math.comb(count, found) * rate**found * (1 - rate) ** (count - found) for found in range(claims + 1)
    )


def allowed(count: int, rate: float = 0.05) -> int:
    """The fewest claims that a procedure with this true rate exceeds in less than one of a thousand such tests."""
    return next(claims for claims in range(count) if 1 - at_most(claims, count, rate) < SURPRISE)


def student(ours: list[float], theirs: list[float]) -> bool:
    return bool(stats.paired_ratio(ours, theirs).differs)


def by_normal_quantile(ours: list[float], theirs: list[float]) -> bool:
    """Wrong: 1.96 in place of Student's t."""
    found = stats.paired_ratio(ours, theirs)
    half = math.log((found.high or 0) / found.value) * 1.96 / stats.t975(len(ours) - 1)
    return abs(math.log(found.value)) > half


def by_percentiles(ours: list[float], theirs: list[float]) -> bool:
    """Wrong for so few pairs: the percentiles of resampled means."""
    logs = [math.log(mine / other) for mine, other in zip(ours, theirs, strict=True)]
    chance = random.Random(1)
    means = sorted(sum(chance.choices(logs, k=len(logs))) for _ in range(199))
    return means[4] > 0 or means[-5] < 0


def unpaired(ours: list[float], theirs: list[float]) -> bool:
    return bool(stats.welch_ratio(ours, theirs).differs)


def bootstrap(ours: list[float], theirs: list[float]) -> bool:
    return bool(stats.bootstrap_t(ours, theirs, seed=1, resamples=199).differs)


def claims(judge: Judge, found: Iterable[Experiment]) -> int:
    """In how many experiments a difference is claimed."""
    return sum(judge(ours, theirs) for ours, theirs in found)


# ---- between equals


@pytest.mark.parametrize(("count", "rate"), [(2000, 0.05), (1800, 0.06)])
def test_the_bounds_let_a_right_procedure_pass_and_none_with_one_in_ten(count: int, rate: float) -> None:
    assert 1 - at_most(allowed(count, rate), count, rate) < SURPRISE
    assert at_most(allowed(count, rate), count, 0.10) < SURPRISE


def test_the_paired_t_claims_a_difference_between_equals_one_time_in_twenty() -> None:
    assert claims(student, experiments(2000, seed=1)) <= allowed(2000)


@pytest.mark.slow
def test_the_bootstrap_t_claims_one_hardly_more_often() -> None:
    """Its bound is 6 %: over 12,000 experiments it was 5.5 %, which is what it is worth with 7 pairs."""
    assert claims(bootstrap, experiments(1800, seed=2)) <= allowed(1800, 0.06)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [by_normal_quantile, by_percentiles])
def test_wrong_procedures_do_not_pass(wrong: Judge) -> None:
    assert claims(wrong, experiments(1000, seed=1)) > allowed(1000)


def test_the_mildest_of_the_wrong_ones_is_wrong_one_time_in_ten() -> None:
    """So the bound does catch a procedure with a true rate of 10 %."""
    assert 2 * tail(1.96, PAIRS - 1) == pytest.approx(0.098, abs=0.001)


@pytest.mark.slow
def test_deliveries_as_the_unit_would_find_a_difference_between_most_equals() -> None:
    """Twenty deliveries of a run share the luck of the run."""
    chance = random.Random(3)

    def deliveries() -> list[float]:
        runs = [plain(chance) for _ in range(PAIRS)]
        return [math.exp(run + chance.gauss(0, 0.01)) for run in runs for _ in range(20)]

    assert claims(unpaired, ((deliveries(), deliveries()) for _ in range(200))) > 100


# ---- a difference that is there


def test_ten_per_cent_are_found_by_seven_pairs() -> None:
    found = claims(student, experiments(1000, seed=4, effect=TEN_PERCENT))
    assert found >= 900


def test_pairing_takes_out_what_a_pair_has_in_common() -> None:
    made = list(experiments(400, seed=4, effect=TEN_PERCENT))
    assert 400 - claims(unpaired, made) > 4 * (400 - claims(student, made))


def test_the_interval_holds_the_truth_in_19_of_20() -> None:
    missed = sum(
        not (found.low or 0) <= 1.10 <= (found.high or 0)
        for found in (stats.paired_ratio(*one) for one in experiments(2000, seed=5, effect=TEN_PERCENT))
    )
    assert missed <= allowed(2000)


# ---- noise that is not plain


@pytest.mark.slow
def test_heavy_tails_make_the_paired_t_careful_and_half_blind() -> None:
    """Between equals it claims a difference in 2 %, but of 10 % it overlooks about half. The noise gate is there to
    keep such runs out."""
    assert claims(student, experiments(1000, seed=6, ours=heavy, theirs=heavy)) <= allowed(1000, 0.03)
    found = claims(student, experiments(400, seed=7, effect=TEN_PERCENT, ours=heavy, theirs=heavy))
    assert 0.35 * 400 < found < 0.70 * 400


@pytest.mark.slow
def test_heavy_tails_make_the_bootstrap_t_too_bold_with_many_pairs() -> None:
    made = list(experiments(300, seed=8, ours=heavy, theirs=heavy, pairs=20))
    assert claims(bootstrap, made) > allowed(300) > claims(student, made)


@pytest.mark.slow
def test_lopsided_noise_on_one_side_is_what_the_bootstrap_t_is_for() -> None:
    """Both claim too much then, the bootstrap-t less so: 7 % against 11 % with 7 pairs."""
    made = list(experiments(800, seed=9, ours=lopsided, theirs=steady))
    assert claims(bootstrap, made) < 0.09 * 800 < claims(student, made)


# ---- without pairs


def pooled(ours: list[float], theirs: list[float]) -> bool:
    """Wrong for unequal spreads: one deviation for both sides."""
    a, b = ([math.log(value) for value in side] for side in (ours, theirs))
    degrees = len(a) + len(b) - 2
    within = ((len(a) - 1) * stats.deviation(a) ** 2 + (len(b) - 1) * stats.deviation(b) ** 2) / degrees
    half = stats.t975(degrees) * math.sqrt(within * (1 / len(a) + 1 / len(b)))
    return abs(stats.mean(a) - stats.mean(b)) > half


@pytest.mark.slow
def test_welch_bears_unequal_spreads_and_numbers_where_a_pooled_t_does_not() -> None:
    """Four noisy runs against twelve quiet ones."""
    chance = random.Random(10)

    def runs(number: int, spread: float) -> list[float]:
        return [math.exp(chance.gauss(0, spread)) for _ in range(number)]

    made = [(runs(4, 0.10), runs(12, 0.02)) for _ in range(2000)]
    assert claims(unpaired, made) <= allowed(2000)
    assert claims(pooled, made) > 2 * allowed(2000)


# ---- lines


def test_the_slope_interval_holds_the_truth_in_19_of_20() -> None:
    chance = random.Random(11)
    found = [stats.line([(x, 2 * x + chance.gauss(0, 5)) for x in (0, 10, 20, 50, 100)]) for _ in range(2000)]
    missed = sum(not (one.low or 0) <= 2 <= (one.high or 0) for one in found)
    assert 2000 * 0.05 - 3 * math.sqrt(2000 * 0.05) <= missed <= allowed(2000)


def series(chance: random.Random, seconds: int, slope: float = 0.0) -> list[tuple[float, float]]:
    """A sample a second, deviation 1, each correlated with the one before by 0.8."""
    value, samples = chance.gauss(0, 1), []
    for second in range(seconds):
        value = 0.8 * value + 0.6 * chance.gauss(0, 1)
        samples.append((float(second), value + slope * second))
    return samples


@pytest.mark.slow
def test_drift_is_not_fooled_by_samples_that_resemble_their_neighbours() -> None:
    """300 seconds: a line through all samples drifts in half of all level series, the blocks' in one of sixteen."""
    chance = random.Random(12)
    made = [series(chance, 300) for _ in range(400)]
    assert sum(bool(stats.line(one).tilted) for one in made) > 0.4 * 400
    assert sum(bool(stats.drift(one).tilted) for one in made) <= allowed(400, 0.065)


@pytest.mark.slow
def test_a_drift_that_is_there_is_found_and_bounded() -> None:
    chance = random.Random(13)
    found = [stats.drift(series(chance, 300, slope=0.01)) for _ in range(200)]
    assert sum(bool(one.tilted) for one in found) > 0.95 * 200
    assert sum((one.low or 0) <= 0.01 <= (one.high or 0) for one in found) > 0.88 * 200
