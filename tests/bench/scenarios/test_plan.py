"""bench/scenarios/plan.py: parameters from a command line, a suite file or a result file, all checked alike."""

from __future__ import annotations

import pytest

from bench.errors import Environment
from bench.scenarios import ALL
from bench.scenarios import plan as plans
from bench.scenarios.fanout import Burst, Fanout
from bench.scenarios.idle import Idle


@pytest.mark.parametrize("scenario", ALL, ids=lambda one: one.name)
def test_every_plan_is_json_and_back(scenario: object) -> None:
    kind = scenario.plan  # type: ignore[attr-defined]
    assert plans.of(kind, plans.to_json(kind())) == kind()
    for option, _, _, _, says in plans.options(kind):
        assert option.startswith("--") and says.endswith(".")


def test_values_become_what_the_field_wants() -> None:
    made = plans.of(Fanout, {"rates": 40, "seconds": 3, "clients": 10})
    assert made == Fanout(rates=(40.0,), seconds=3.0, clients=10)
    assert isinstance(made.seconds, float)
    assert plans.of(Idle, {"counts": [0, 5]}).counts == (0, 5)
    assert plans.of(Burst, {}).batch == 100


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"subs": 1}, "fanout has no 'subs'; it has clients, rates"),
        ({"clients": "many"}, "clients is 'many': it has to be int"),
        ({"clients": True}, "clients is True: it has to be int"),
        ({"clients": 1.5}, "clients is 1.5: it has to be int"),
        ({"rates": ["x"]}, "rates is 'x': it has to be float"),
        ({"weigh_in_window": 1}, "weigh_in_window is 1: it has to be bool"),
    ],
)
def test_what_does_not_fit_is_said(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(Environment, match=sentence):
        plans.of(Fanout, given)


@pytest.mark.parametrize(
    ("text", "whole", "numbers"),
    [
        ("20", False, (20.0,)),
        ("10,20.5", False, (10.0, 20.5)),
        ("5..80", False, (5.0, 10.0, 20.0, 40.0, 80.0)),
        ("5..79", False, (5.0, 10.0, 20.0, 40.0)),
        ("0,1000", True, (0, 1000)),
    ],
)
def test_numbers(text: str, whole: bool, numbers: tuple[float, ...]) -> None:
    assert plans.numbers(text, whole) == numbers


@pytest.mark.parametrize("text", ["", "x", "1..", "0..5", "5..1", "1..2..3"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="say 20, or 10,20,40, or"):
        plans.numbers(text)
