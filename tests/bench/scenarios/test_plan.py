"""bench/scenarios/plan.py: parameters from a command line, a suite file or a result file, all checked alike."""

from __future__ import annotations

import json

import pytest

from bench import claims
from bench.errors import Environment
from bench.load import payload
from bench.scenarios import ALL, SCENARIOS
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


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "field", "values", "range_"),
    [
        ("fanout", "clients", (0, -1), "1 or more"),
        ("fanout", "rates", (0, NAN, INF, -5, 1e9, [20, 0]), "0.01 to 10,000"),
        ("fanout", "seconds", (0, -1, NAN, INF, 1e300), "0.1 to 86,400"),
        ("fanout", "warmup", (-1, NAN, INF), "0 to 86,400"),
        ("fanout", "batch", (0, 1001), "1 to 1,000"),
        ("fanout", "size", (0, 329, 65_537), "330 to 65,536"),
        ("fanout", "kind", ("", "state "), "log or state"),
        ("fanout", "finish_timeout", (0, NAN), "0.1 to 3,600"),
        ("burst", "rates", (0, NAN), "0.01 to 10,000"),
        ("burst", "batch", (0,), "1 to 1,000"),
        ("idle", "counts", ([-1, 10],), "0 or more"),
        ("idle", "seconds", (0, NAN), "0.1 to 86,400"),
        ("storm", "clients", (0,), "1 or more"),
        ("storm", "rounds", (0, 101), "1 to 100"),
        ("storm", "in_flight", (-1,), "0 or more"),
        ("storm", "until", ("dawn",), "auto, update or confirmation"),
        ("reconnect", "rate", (0, NAN, -1), "0.01 to 10,000"),
        ("reconnect", "offline", (-1, NAN), "0 to 3,600"),
        ("reconnect", "spread", (-1, INF), "0 to 3,600"),
        ("slow", "clients", (0, 1), "2 or more"),
        ("slow", "stuck", (0, -1), "1 or more"),
        ("slow", "before", (0, NAN), "0.1 to 86,400"),
        ("outage", "away", (-1, NAN), "0 to 3,600"),
        ("drain", "grace", (0, -1, NAN), "0.1 to 3,600"),
        ("soak", "minutes", (0, NAN, INF), "0.01 to 10,080"),
        ("publish", "count", (0, -1), "1 to 100,000"),
        ("publish", "in_flight", (-1, 501), "0 to 500"),
        ("publish", "seconds", (0, NAN), "0.1 to 86,400"),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_range(
    name: str, field: str, values: tuple[object, ...], range_: str
) -> None:
    for value in values:
        with pytest.raises(Environment) as caught:
            plans.of(SCENARIOS[name].plan, {field: value})
        assert str(caught.value).startswith(f"{field} is ") and str(caught.value).endswith(range_)


def test_every_number_has_a_range() -> None:
    for scenario in ALL:
        allowed = plans.bounds(scenario.plan)
        for _, field, kind, _, _ in plans.options(scenario.plan):
            free = kind is bool or field == "slo"
            assert free or str(allowed[field]), f"{scenario.name} takes any {field}"


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("fanout", {"rates": []}, "rates is empty"),
        ("fanout", {"rates": [20, 10]}, "rates 20, 10 do not rise"),
        ("fanout", {"rates": [20, 20]}, "rates 20, 20 do not rise"),
        ("fanout", {"rates": 1, "seconds": 0.5}, "publish for 1 s at least"),
        ("fanout", {"rates": 10_000, "seconds": 86_400}, "more than 10,000,000 publishes"),
        ("fanout", {"batch": 1000, "size": 4000}, "say a batch of 262 at most"),
        ("fanout", {"slo": "fast"}, "is no demand"),
        ("fanout", {"slo": "p99<1.2.3ms"}, "is no demand"),
        ("fanout", {"slo": ","}, "is no demand"),
        ("fanout", {"slo": "returned>0.9"}, "nobody leaves and returns here"),
        ("fanout", {"slo": "memory<3", "clients": 999}, "told from 1,000 clients on"),
        ("burst", {"rates": 0.1}, "publish for 10 s at least"),
        ("idle", {"counts": []}, "counts is empty"),
        ("idle", {"counts": [0]}, "two counts at least"),
        ("idle", {"counts": [7, 7]}, "two counts at least"),
        ("slow", {"stuck": 100}, "100 of 20 clients stop reading: let 19 do so at most"),
        ("slow", {"stuck": 20}, "let 19 do so at most"),
        ("slow", {"rate": 1, "before": 0.5}, "publish for 1 s at least"),
        ("reconnect", {"seconds": 3}, "come back up to 4 s into updates that go out for 3 s"),
        ("outage", {"seconds": 5}, "back 5 s into updates that go out for 5 s"),
        ("drain", {"seconds": 2}, "asked to end 2 s into updates that go out for 2 s"),
        ("soak", {"rate": 0.01, "minutes": 1}, "publish for 100 s at least"),
        ("fanout", 5, "a plan is a table"),
        ("fanout", {"seconds": 10**400}, "401 digits"),
    ],
)
def test_values_without_sense_together_are_refused(
    name: str, given: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Environment, match=sentence):
        plans.of(SCENARIOS[name].plan, given)


def test_what_was_ever_measured_can_be_measured_again() -> None:
    found = [path for path in claims.RESULTS.rglob("*.json") if path.parent.name != "crosscheck"]
    assert found
    for path in found:
        made = json.loads(path.read_text())
        plans.of(SCENARIOS[made["scenario"]].plan, made["plan"])


def test_an_update_of_any_size_in_the_range_has_that_size() -> None:
    for size in (payload.LEAST_SIZE, payload.MOST_SIZE):
        found = {len(payload.update(seq, 10**18, size)) for seq in (1, 99, 9_999_999)}
        assert found == {size}


@pytest.mark.parametrize(
    ("text", "whole", "numbers"),
    [
        ("20", False, (20.0,)),
        ("10,20.5", False, (10.0, 20.5)),
        ("5..80", False, (5.0, 10.0, 20.0, 40.0, 80.0)),
        ("5..79", False, (5.0, 10.0, 20.0, 40.0)),
        ("0,1000", True, (0, 1000)),
        ("1000..4000", True, (1000, 2000, 4000)),
    ],
)
def test_numbers(text: str, whole: bool, numbers: tuple[float, ...]) -> None:
    assert plans.numbers(text, whole) == numbers


@pytest.mark.parametrize("text", ["", "x", "1..", "0..5", "5..1", "1..2..3", "5..inf", "nan..5"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="say 20, or 10,20,40, or"):
        plans.numbers(text)
