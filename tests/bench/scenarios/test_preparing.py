"""bench/scenarios: what each is asked before anything is started: who cannot be measured so, and what to expect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.errors import Environment
from bench.scenarios import SCENARIOS
from bench.serving import target
from bench.serving.broadcast import RedisPublish
from bench.serving.target_type import Outside
from tests.bench.small_targets import relay

FLOOR = target.floor()
MUTE = replace(FLOOR, name="mute", broadcast=RedisPublish())


@pytest.mark.parametrize(
    ("name", "plan", "spoilt", "sentence"),
    [
        ("outage", {}, FLOOR, "floor has no service 'redis' to lose"),
        ("outage", {"service": "postgres"}, FLOOR, "relay has no service 'postgres' to lose"),
        ("drain", {}, replace(FLOOR, outside=Outside("127.0.0.1", 1, 1)), "floor runs outside the bench"),
    ],
)
def test_a_target_that_cannot_be_measured_so(
    name: str, plan: dict[str, object], spoilt: target.Target, sentence: str
) -> None:
    scenario = SCENARIOS[name]
    with pytest.raises(Environment, match=sentence):
        scenario.prepare(scenario.plan(**plan), [relay(), spoilt])


@pytest.mark.parametrize(
    ("name", "plan", "targets", "words"),
    [
        ("fanout", {"rates": (200.0,)}, [FLOOR], ""),
        (
            "fanout",
            {"rates": (500.0,)},
            [FLOOR],
            "500,000 deliveries a second: a load client handles about 100,000",
        ),
        ("fanout", {"rates": (5.0, 500.0)}, [FLOOR], ""),
        ("burst", {"rates": (5.0,)}, [FLOOR], "500,000 deliveries a second"),
        ("soak", {"rate": 300.0}, [FLOOR], "300,000 deliveries a second"),
        ("publish", {}, [FLOOR], ""),
        (
            "publish",
            {},
            [FLOOR, MUTE],
            "mute: not published to over HTTP, so only lone publishes are measured",
        ),
        ("publish", {"in_flight": 0}, [MUTE], ""),
        ("outage", {}, [relay()], ""),
    ],
)
def test_what_to_expect_is_said(
    name: str, plan: dict[str, object], targets: list[target.Target], words: str
) -> None:
    wanted = SCENARIOS[name].plan(**plan)
    made, said = SCENARIOS[name].prepare(wanted, targets)
    assert made == wanted
    assert said.startswith(words) and bool(said) == bool(words)
