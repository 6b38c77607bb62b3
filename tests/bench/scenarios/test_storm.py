"""bench/scenarios/storm.py: what clients wait for is decided before the first run, and figures say which it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import result, text
from bench.errors import Environment
from bench.measure import validity
from bench.scenarios import SCENARIOS, storm
from bench.scenarios.storm import CONFIRMATION, UPDATE, Storm
from bench.serving import target
from tests.bench import results as made
from tests.bench.small_targets import setup

GREETS = target.floor()
SILENT = replace(target.floor(), name="silent", keeps_state=False)


@pytest.mark.parametrize(
    ("until", "targets", "wanted", "words"),
    [
        ("auto", [GREETS], UPDATE, ""),
        (
            "auto",
            [GREETS, SILENT],
            CONFIRMATION,
            "silent greets nobody with the newest update (keeps_state): every",
        ),
        (CONFIRMATION, [GREETS], CONFIRMATION, ""),
        (UPDATE, [GREETS], UPDATE, ""),
    ],
)
def test_all_rows_wait_for_the_same(
    until: str, targets: list[target.Target], wanted: str, words: str
) -> None:
    plan, said = storm.prepared(Storm(until=until), targets)
    assert plan.until == wanted
    assert said.startswith(words) and bool(said) == bool(words)


def test_a_first_update_is_not_waited_for_where_there_is_none() -> None:
    with pytest.raises(Environment, match=r"silent, mute greet nobody .* say --until confirmation"):
        storm.prepared(Storm(until=UPDATE), [GREETS, SILENT, replace(SILENT, name="mute")])


@pytest.mark.live
@pytest.mark.parametrize("transport", ["sse", "cable"])
def test_a_server_that_greets_nobody_is_measured_to_the_confirmation(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validity, "CLIENT_FULL", 10.0)
    plan, _ = storm.prepared(Storm(clients=50, rounds=2), [SILENT])
    (run,) = storm.measure(plan, setup(SILENT, transport))
    assert run.series["ready"]["count"] == 100 and "first_update" not in run.series
    assert run.figures["subscriptions_per_second"] > 0 and run.figures["us_per_subscription"] > 0
    assert 0 < run.figures["confirmed_p50_ms"] <= run.figures["confirmed_p99_ms"]
    assert not {"us_per_connect", "connects_per_second", "p50_ms", "p99_ms"} & run.figures.keys()


def test_both_kinds_of_storm_are_told_with_their_own_names() -> None:
    document = made.result(
        made.run("app", "sse", 0, us_per_connect=70.0),
        made.run("silent", "sse", 0, us_per_subscription=50.0),
        scenario="storm",
    )
    head, *_ = text.overview(SCENARIOS["storm"], document)
    assert "CPU per connect" in head and "CPU per confirmed client" in head


def test_results_from_before_waited_for_the_first_update() -> None:
    old = made.result(made.run("app", "sse", 0, us_per_connect=70.0), scenario="storm", plan={"clients": 5})
    assert result.Result.from_json(old.to_json()).plan == {"clients": 5, "until": "update"}
