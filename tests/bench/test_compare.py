"""bench/compare.py: two results of the same rows, and what is not the same about them."""

from __future__ import annotations

import pytest

from bench import compare, reading
from bench.result import Result
from tests.bench import results as made

STEADY = [7.0, 7.1, 6.9, 7.05, 6.95]


def cost(*values: float) -> Result:
    return made.result(*made.series("app", "sse", "us_per_delivery", values))


def test_equal_results_show_no_difference() -> None:
    (delta,) = compare.deltas(cost(*STEADY), cost(*reversed(STEADY)), ("us_per_delivery",))
    assert delta.ratio is not None and delta.ratio.value == pytest.approx(1)
    assert "no difference detected" in delta.words
    assert compare.agree([delta]) == (1, 1)


def test_a_difference_is_found_and_named() -> None:
    slower = [value * 1.3 for value in STEADY]
    (delta,) = compare.deltas(cost(*STEADY), cost(*slower), ("us_per_delivery",))
    assert delta.ratio is not None and delta.ratio.value == pytest.approx(1.3)
    assert "app sse, CPU per delivery" in delta.words and "1.30" in delta.words
    assert compare.agree([delta]) == (0, 1)


def test_void_runs_and_single_ones_cannot_be_compared() -> None:
    before = made.result(*made.series("app", "sse", "us_per_delivery", [7.0]))
    (delta,) = compare.deltas(before, before, ("us_per_delivery",))
    assert delta.ratio is None and delta.words.endswith("too few clean runs")
    assert compare.agree([delta]) == (0, 0)


def test_a_figure_that_one_result_is_too_old_for_is_not_compared() -> None:
    before = made.result(made.run("app", "sse", 0, us_per_delivery=7.0))
    after = made.result(made.run("app", "sse", 0, us_per_delivery=7.0, us_per_write=6.0))
    names = ("us_per_delivery", "us_per_write")
    assert compare.shared(before, after, names) == compare.shared(after, before, names) == names[:1]
    assert compare.shared(after, after, names) == names
    lines = reading.delta(before, after)
    assert "not compared, a result lacks it: CPU per write" in lines
    assert not [line for line in lines if line.startswith("app sse, CPU per write")]


def test_points_of_a_sweep_are_compared_each_with_its_own() -> None:
    runs = [made.run("app", "sse", pair, point=rate, p99_ms=rate) for pair in (0, 1) for rate in (5.0, 10.0)]
    found = list(compare.deltas(made.result(*runs), made.result(*runs), ("p99_ms",)))
    assert [(delta.point, delta.words.split(",")[0]) for delta in found] == [
        (5.0, "app sse at 5/s"),
        (10.0, "app sse at 10/s"),
    ]


def test_what_is_not_the_same_is_said() -> None:
    before = made.result(plan={"rates": [20.0], "clients": 10})
    other = {**made.ENVIRONMENT, "cpu_model": "B", "git": {"sha": "b" * 40, "dirty": False}}
    after = made.result(plan={"rates": [40.0], "clients": 10}, environment=other)
    assert compare.differences(before, before) == []
    assert compare.differences(before, after) == [
        "cpu_model: A / B",
        "the plan differs in rates",
        f"code: {'a' * 10} / {'b' * 10}",
    ]


def test_what_two_results_say_about_their_own_rows_does_not_hang_on_the_machine() -> None:
    def both(speed: float) -> Result:
        sse = made.series("app", "sse", "us_per_delivery", [value * speed for value in STEADY])
        cable = made.series("app", "cable", "us_per_delivery", [value * speed * 1.2 for value in STEADY])
        return made.result(*sse, *cable)

    slower = (both(1.0), both(1.7), ("us_per_delivery",))
    assert compare.agree(list(compare.deltas(*slower))) == (0, 2)
    (delta,) = compare.ratio_deltas(*slower)
    assert delta.row == "app cable / app sse"
    assert delta.ratio is not None and delta.ratio.value == pytest.approx(1)
    assert compare.agree([delta]) == (1, 1)
