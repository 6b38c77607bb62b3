"""bench/statistics/decision.py: the sentence says what the interval allows, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.decision import Decision, Wording, decide
from bench.statistics.stats import Ratio

CPU = Wording("costs", "CPU per delivery")
CONNECTS = Wording("accepts", "connections per second", countable=True)


def words(ratio: Ratio, wording: Wording = CPU) -> str:
    return decide(ratio, wording, "cable", "sse").words


def test_more() -> None:
    expected = "cable costs 7 % more CPU per delivery than sse (95 % interval 4-10 %, 7 pairs)"
    assert words(Ratio(1.07, 1.04, 1.10, 7)) == expected


def test_fewer_of_what_can_be_counted_and_less_of_what_cannot() -> None:
    ratio = Ratio(0.88, 0.85, 0.91, 7)
    expected = "cable accepts 12 % fewer connections per second than sse (95 % interval 9-15 %, 7 pairs)"
    assert words(ratio, CONNECTS) == expected
    assert "12 % less CPU per delivery" in words(ratio)


def test_no_difference() -> None:
    expected = "CPU per delivery: no difference detected (cable/sse 1.02 x, 95 % interval 0.97-1.07, 7 pairs)"
    assert words(Ratio(1.02, 0.97, 1.07, 7)) == expected


def test_from_twice_on_it_is_told_as_a_factor() -> None:
    assert words(Ratio(3.1, 2.9, 3.3, 7)) == (
        "cable costs 3.1 times as much CPU per delivery as sse (95 % interval 2.9-3.3 times, 7 pairs)"
    )
    assert "3.1 times as many connections per second as sse" in words(Ratio(3.1, 2.9, 3.3, 7), CONNECTS)
    assert "90 % more" in words(Ratio(1.9, 1.2, 2.9, 7))
    assert "interval 20-190 %" in words(Ratio(1.9, 1.2, 2.9, 7))
    assert "1,250 times as much" in words(Ratio(1250, 900, 1700, 7))


@pytest.mark.parametrize(
    ("ratio", "says"),
    [
        (Ratio(1.5, None, None, 1), "1 pair gives no interval"),
        (Ratio(1.5, None, None, 3), "3 pairs give no interval"),
        (Ratio(1.5, None, None, 0, (1, 7)), "1 and 7 runs give no interval"),
    ],
)
def test_without_an_interval_nothing_is_settled(ratio: Ratio, says: str) -> None:
    found = decide(ratio, CPU, "cable", "sse")
    assert found.verdict == "unsettled"
    assert found.words == f"CPU per delivery: not settled (cable/sse 1.50 x; {says}, run more)"


def test_groups_that_were_not_paired_are_told_as_runs() -> None:
    assert words(Ratio(1.07, 1.04, 1.10, 0, (7, 5))).endswith("(95 % interval 4-10 %, 7 and 5 runs)")


@pytest.mark.parametrize(
    ("ratio", "says"),
    [
        (Ratio(1.004, 1.0002, 1.009, 7), "0.4 % more CPU per delivery than sse (95 % interval 0.02-0.9 %"),
        (Ratio(0.003, 0.002, 0.0045, 7), "99.7 % less CPU per delivery than sse (95 % interval 99.6-99.8 %"),
        (Ratio(0.0034, 0.0012, 1.2, 7), "(cable/sse 0.0034 x, 95 % interval 0.0012-1.20, 7 pairs)"),
    ],
)
def test_a_small_difference_is_not_rounded_away(ratio: Ratio, says: str) -> None:
    assert says in words(ratio)


def test_the_numbers_come_along() -> None:
    ratio = Ratio(1.07, 1.04, 1.10, 7)
    assert decide(ratio, CPU, "a", "b")[:5] == (1.07, 1.04, 1.10, 7, "more")
    assert isinstance(decide(ratio, CPU, "a", "b"), Decision)


@given(st.floats(0.001, 1000), st.floats(1.0001, 100), st.floats(1.0001, 100))
def test_the_verdict_is_that_of_the_interval_and_turns_over_with_the_sides(
    value: float, under: float, over: float
) -> None:
    ratio = Ratio(value, value / under, value * over, 7)
    turned = Ratio(1 / value, 1 / (value * over), under / value, 7)
    found = decide(ratio, CPU, "a", "b")
    assert (found.verdict == "none") == (not ratio.differs) == ("no difference" in found.words)
    opposite = {"more": "less", "less": "more", "none": "none"}[found.verdict]
    assert decide(turned, CPU, "b", "a").verdict == opposite
    assert "e-" not in found.words.partition("(")[2]
