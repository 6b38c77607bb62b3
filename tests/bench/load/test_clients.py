"""merge.py and clients.py without servers: several processes speak as one, and lose nothing on the way."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.errors import Environment
from bench.load import merge
from bench.load.clients import LoadClients
from bench.load.comeback import curve
from bench.load.ledger import Account
from bench.load.wire import Wire
from bench.statistics import histogram

WIRE = Wire("sse", "127.0.0.1", 1, "/")


def books(latencies: list[int], **more: Any) -> dict[str, Any]:
    made = {name: histogram.of(latencies).summary() for name in ("latency", "uncorrected", "loop_lag")}
    counts = dict.fromkeys(
        (
            "clients",
            "alive",
            "closed",
            "measured",
            "bytes",
            "pings",
            "reads",
            "updates",
            "memo_hits",
            "status_unheard",
            "broken_promises",
            "unstamped",
        ),
        1,
    )
    return {
        **made,
        **counts,
        "account": Account(4, 3, 1, 0, 0)._asdict(),
        "controls": {"ping": 2},
        "errors": {},
        "extensions": ["none"],
        "cpu_share": 0.1,
        "first_ns": 0,
        "last_ns": 0,
        "gap_ns": 0,
        "clock_steps": 0,
        "kept": None,
        **more,
    }


def test_books_of_several_are_the_books_of_all() -> None:
    chance = random.Random(1)
    shards = [[int(chance.expovariate(1 / 5e6)) for _ in range(500)] for _ in range(3)]
    whole = merge.books([books(shard, cpu_share=0.1 * index) for index, shard in enumerate(shards)])
    alone = histogram.of(value for shard in shards for value in shard).summary()
    assert {**whole["latency"], "hdr": ""} == {**alone, "hdr": ""}
    assert histogram.merged([whole["latency"]]).summary()["p99"] == alone["p99"]
    assert whole["account"] == Account(12, 9, 3, 0, 0)._asdict()
    assert (whole["clients"], whole["controls"], whole["pings"], whole["cpu_share"]) == (
        3,
        {"ping": 6},
        3,
        pytest.approx(0.3),  # they share a core
    )
    assert (whole["kept"], whole["stuck"]) == (None, [])


def test_a_process_that_measured_nothing_does_not_move_the_window() -> None:
    whole = merge.books(
        [books([1]), books([1], first_ns=50, last_ns=90), books([1], first_ns=40, last_ns=80)]
    )
    assert (whole["first_ns"], whole["last_ns"]) == (40, 90)
    assert merge.books([books([1])])["first_ns"] == 0


@pytest.mark.parametrize(
    ("found", "text"),
    [([["none"], ["none"]], "none"), ([["b"], ["a", "b"]], "a | b"), ([[], []], "none")],
)
def test_extensions(found: list[list[str]], text: str) -> None:
    assert merge.extensions({"extensions": one} for one in found) == text


def test_moments_count_from_the_first_of_them_all() -> None:
    def kept(goodbyes: list[int], ends: list[int]) -> dict[str, Any]:
        counts = dict.fromkeys(("goodbyes", "unannounced", "refused", "returns", "final"), 1)
        away = histogram.of([1_000_000]).summary()
        return {**counts, "verdicts": {"fresh": 1}, "away": away, "goodbye_ns": goodbyes, "end_ns": ends}

    whole = merge.kept([kept([2_000_000_000], [2_500_000_000]), kept([1_000_000_000], [3_000_000_000])])
    assert whole is not None
    assert (whole["goodbye_s"], whole["end_s"]) == ([0.0, 1.0], [1.5, 2.0])
    assert (whole["goodbyes"], whole["verdicts"], whole["away"]["count"]) == (2, {"fresh": 2}, 2)


def test_a_curve_of_several_is_of_all_their_clients() -> None:
    def back(moments: list[float], clients: int) -> dict[str, Any]:
        empty = histogram.of([]).summary()
        found = {"clients": clients, "returned": len(moments), "ready": empty, "caught_up": empty}
        return {**found, "verdicts": {"fresh": len(moments), "gap": 0}, "back_s": moments}

    whole = merge.come_back([back([0.5, 0.1], 3), back([0.3], 1)])
    assert whole["curve"] == [[0.1, 0.25], [0.3, 0.5], [0.5, 0.75]]
    assert (whole["clients"], whole["returned"], whole["verdicts"]) == (4, 3, {"fresh": 3, "gap": 0})


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    found = curve([index / 1000 for index in range(1001)], 1001, points=100)
    assert len(found) <= 100
    assert found[-1] == [1.0, 1.0]
    assert found == sorted(found)
    assert curve([], 5) == []


def test_of_peeks_the_slowest_process_speaks() -> None:
    def peek(p99: float | None, received: int) -> dict[str, Any]:
        counts = dict.fromkeys(("alive", "measured", "closed", "doubled", "disordered"), 1)
        return {
            **counts,
            "received": received,
            "p50_ms": 1.0,
            "p99_ms": p99,
            "cpu_share": 0.1,
            "loop_lag_ms": 2.0,
        }

    whole = merge.status([peek(None, 1), peek(9.0, 2), peek(3.0, 3)])
    assert (whole["p99_ms"], whole["received"], whole["alive"]) == (9.0, 6, 3)


def test_library_clients_are_few() -> None:
    with pytest.raises(Environment, match="at most 100 connections, not 101"):
        LoadClients(WIRE, 101, None, kind="library")


def test_a_process_that_cannot_begin_says_why() -> None:
    with (
        pytest.raises(Environment, match="library clients do not compress"),
        LoadClients(WIRE._replace(transport="cable+deflate"), 1, None, kind="library"),
    ):
        pass


def test_a_process_that_died_is_noticed() -> None:
    with LoadClients(WIRE, 1, None) as load:
        load.processes[0].popen.kill()
        load.processes[0].popen.wait()
        with pytest.raises(Environment, match="a load client died"):
            load.peek()


def test_processes_end_with_the_block() -> None:
    with LoadClients(WIRE, 1, None) as load:
        popen = load.processes[0].popen
        assert popen.poll() is None
    assert popen.poll() == 0
