"""bench/measure/slo.py: demands are read, checked, and refused with a sentence that says what would do."""

from __future__ import annotations

import pytest

from bench.measure import slo

FIGURES = {"p99_ms": 42.0, "delivered_share": 0.995, "lost": 0.0}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("p99<100ms", True),
        ("p99 < 42 ms", False),
        ("p99<=42ms", True),
        ("p99<0.05s", True),
        ("p99>50ms", False),
        ("delivered>=0.99", True),
        ("delivered>=99.9%", False),
        ("loss==0", True),
        ("p50<1ms", None),
    ],
)
def test_a_demand(text: str, holds: bool | None) -> None:
    (demand,) = slo.parse(text)
    assert demand.holds(FIGURES) is holds


def test_several_and_none() -> None:
    assert slo.parse("") == ()
    demands = slo.parse("p99<10ms, loss==0")
    assert slo.broken(demands, FIGURES) == ["p99<10ms is not met: 42.0"]
    assert slo.broken(slo.parse("returned==1"), FIGURES) == [
        "returned==1 is not met: there is no such figure"
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fast", "'fast' is no demand: say for example p99<100ms"),
        ("p98<1ms", "no demand"),
        ("p99<1", "p99 is given in ms or s"),
        ("p99<1us", "p99 is given in ms or s"),
        ("loss==0ms", "loss is given in no unit"),
        ("p99=1ms", "no demand"),
    ],
)
def test_what_is_no_demand(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        slo.parse(text)
