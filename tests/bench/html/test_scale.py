"""bench/html/scale.py: axes that are never cut, and ticks that never collide."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.html import scale
from bench.html.scale import Scale
from bench.html.svg import room

POSITIVE = st.floats(min_value=1e-6, max_value=1e9)
LISTS = st.lists(POSITIVE, min_size=1, max_size=8)
PIXELS = st.sampled_from([(74.0, 314.0), (74.0, 694.0), (300.0, 28.0)])


def size(text: str) -> float:
    return room(text)


@given(LISTS, PIXELS, st.sampled_from([scale.from_zero, scale.by_magnitude, scale.fitting]))
def test_ticks_lie_on_the_axis_and_never_touch(
    values: list[float], pixels: tuple[float, float], make: type
) -> None:
    axis: Scale = make(values, *pixels)
    ticks = axis.ticks(scale.with_unit("ms"), size)
    least, most = sorted(pixels)
    assert all(least - 0.1 <= tick.at <= most + 0.1 for tick in ticks)
    for before, after in pairwise(ticks):
        assert abs(after.at - before.at) >= (room(before.text) + room(after.text)) / 2


@given(LISTS, PIXELS)
def test_every_value_is_on_the_axis_and_order_is_kept(
    values: list[float], pixels: tuple[float, float]
) -> None:
    for axis in (scale.from_zero(values, *pixels), scale.by_magnitude(values, *pixels)):
        places = [axis.at(value) for value in sorted(values)]
        least, most = sorted(pixels)
        assert all(least - 1e-6 <= place <= most + 1e-6 for place in places)
        assert places == sorted(places, reverse=pixels[0] > pixels[1])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_a_straight_axis_is_never_cut(values: list[float]) -> None:
    axis = scale.from_zero(values, 0, 100)
    assert axis.low <= 0 <= axis.high
    assert axis.low < axis.high


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (Scale(0, 1000, 0, 300), ["0 ms", "250 ms", "500 ms", "750 ms", "1,000 ms"]),
        (Scale(0, 1, 0, 300), ["0 ms", "0.2 ms", "0.4 ms", "0.6 ms", "0.8 ms", "1 ms"]),
        (Scale(0.9, 1100, 0, 300, log=True), ["1 ms", "10 ms", "100 ms", "1,000 ms"]),
        (Scale(0.8, 1.25, 0, 300, log=True), ["0.8 ms", "0.9 ms", "1 ms", "1.1 ms", "1.2 ms"]),
    ],
)
def test_ticks_are_round(axis: Scale, texts: list[str]) -> None:
    assert [tick.text for tick in axis.ticks(scale.with_unit("ms"), size)] == texts


def test_far_apart_values_are_shown_by_magnitude_and_zero_forbids_it() -> None:
    assert scale.fitting([1, 1000], 0, 1).log
    assert not scale.fitting([1, 2], 0, 1).log
    assert not scale.fitting([0, 1000], 0, 1).log
    assert not scale.fitting([], 0, 1).log


@given(POSITIVE)
def test_rounding_up_goes_no_further_than_half_as_much_again(value: float) -> None:
    assert value * (1 - 1e-8) <= scale.rounded_up(value) <= value * 1.5


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1000, "1,000"), (0.25, "0.25"), (0.1 + 0.2, "0.3"), (-0.0, "0"), (2e-6, "2e-06")],
)
def test_plain_numbers(value: float, text: str) -> None:
    assert scale.plain(value) == text


def test_units() -> None:
    assert scale.with_unit("%")(0.995) == "99.5 %"
    assert scale.with_unit("/s")(640) == "640/s"
    assert scale.with_unit("")(5000) == "5,000"


def test_a_logarithmic_axis_spaces_by_ratio() -> None:
    axis = Scale(1, 100, 0, 200, log=True)
    assert axis.at(10) == pytest.approx(100)
    assert axis.at(math.sqrt(10)) == pytest.approx(50)


def test_a_value_that_readers_look_for_has_a_tick() -> None:
    axis = Scale(0.8, 6.38, 250.0, 555.0, log=True)
    plain = scale.with_unit("x")
    assert "1 x" not in [tick.text for tick in axis.ticks(plain, size)]
    assert "1 x" in [tick.text for tick in axis.ticks(plain, size, through=1.0)]
    assert axis.ticks(plain, size, through=99.0) == axis.ticks(plain, size)
