"""bench/measure/validity.py: each reason to throw a run away is seen and named."""

from __future__ import annotations

from typing import Any

import pytest

from bench.measure import validity
from bench.measure.validity import Flag


def load(**changed: Any) -> dict[str, Any]:
    fine = {"negative": 0, "p99": 1.0}
    account = {"expected": 100, "received": 100, "lost": 0, "doubled": 0, "disordered": 0}
    facts = {"account": account, "closed": 0, "errors": {}, "latency": fine, "uncorrected": fine}
    books = {"reads": 100, "updates": 100, "unstamped": 0, "broken_promises": 0}
    return {**facts, **books, "loop_lag": fine, "cpu_share": 0.1, **changed}


def published(**changed: Any) -> dict[str, Any]:
    return {"refused": 0, "own_delay": {"p99": 0.1}, **changed}


def account(**changed: int) -> dict[str, int]:
    return {**load()["account"], **changed}


def test_a_clean_run_has_no_flags() -> None:
    assert validity.judge(load(), published(), {"server": 0.01, "client": 0.0}) == []
    assert validity.exit_code([]) == 0


@pytest.mark.parametrize(
    ("facts", "books", "foreign", "severity", "code"),
    [
        (load(account=account(lost=1)), published(), {}, "loss", "sequence"),
        (load(account=account(doubled=1)), published(), {}, "loss", "sequence"),
        (load(account=account(disordered=1)), published(), {}, "loss", "sequence"),
        (load(closed=2), published(), {}, "loss", "closed"),
        (load(), published(refused=1), {}, "loss", "refused"),
        (load(latency={"negative": 1, "p99": 1.0}), published(), {}, "void", "clock"),
        (load(cpu_share=0.81), published(), {}, "void", "client"),
        (load(unstamped=2), published(), {}, "void", "stamps"),
        (load(loop_lag={"negative": 0, "p99": 300.0}), published(), {}, "void", "loop"),
        (load(), published(own_delay={"p99": 21.0}), {}, "void", "publisher"),
        (load(), published(), {"server": 0.5}, "void", "neighbour"),
        (load(), published(), {"client": 0.1}, "warn", "neighbour"),
    ],
)
def test_each_doubt_is_named(
    facts: dict[str, Any], books: dict[str, Any], foreign: dict[str, float], severity: str, code: str
) -> None:
    (flag,) = validity.judge(facts, books, foreign)
    assert (flag.severity, flag.code) == (severity, code)
    assert validity.exit_code([flag]) == {"loss": 1, "void": 2, "warn": 0}[severity]


def test_a_wrong_server_outweighs_a_void_run() -> None:
    assert validity.exit_code([Flag("void", "client", ""), Flag("loss", "sequence", "")]) == 1


def test_server_and_load_need_a_core_each() -> None:
    assert validity.of_cores(0, 1) == []
    for shared in ((None, None), (1, 1)):
        (flag,) = validity.of_cores(*shared)
        assert (flag.severity, flag.code) == ("void", "cores")


def test_a_promise_a_return_and_a_stamp_are_doubted_by_name() -> None:
    assert validity.of_promises(load()) == validity.of_returns(5, 5) == validity.of_stamps(load()) == []
    assert validity.of_client(0.8) == validity.of_publisher(0.8) == []
    found = [
        *validity.of_promises(load(broken_promises=3)),
        *validity.of_returns(4, 5),
        *validity.of_stamps(load(updates=110)),
        *validity.of_client(0.9),
        *validity.of_publisher(0.9),
    ]
    assert [(flag.severity, flag.code) for flag in found] == [
        ("loss", "promise"),
        ("loss", "away"),
        ("warn", "reads"),
        ("void", "client"),
        ("warn", "publisher"),
    ]


def test_processes_without_a_client_void_what_is_told_of_all_of_them() -> None:
    assert (
        validity.of_spread(2, [460, 541]) == validity.of_spread(1, [1001]) == validity.of_spread(2, []) == []
    )
    (flag,) = validity.of_spread(2, [1001])
    assert flag == Flag("void", "spread", "1 of 2 processes had clients: run it again")


def test_a_neighbour_tells_nothing_about_a_rate_but_our_own_limit_does() -> None:
    assert validity.telling([]) and validity.telling([Flag("loss", "sequence", "")])
    assert validity.telling([Flag("void", "client", ""), Flag("warn", "neighbour", "")])
    assert not validity.telling([Flag("void", "neighbour", "")])


def test_a_series_that_ends_early_is_told() -> None:
    samples = {"columns": ["t_s"], "rows": [[0.5], [420.0]]}
    assert validity.whole(samples, 424.0) == []
    assert [flag.code for flag in validity.whole(samples, 600.0)] == ["samples"]
    assert validity.whole({"columns": ["t_s"], "rows": []}, 600.0)


def test_halves_that_differ_are_told_where_ticks_can_tell() -> None:
    def samples(cost_ms: float) -> dict[str, object]:
        rows = [(None, cost_ms * (3 if half else 1), 0.0) for half in (0, 1) for _ in range(8)]
        return {"columns": ["pss_kb", "user_ms", "system_ms"], "rows": rows}

    (flag,) = validity.steady(samples(100.0))
    assert flag.severity == "warn" and "the second half of the window cost 3" in flag.message
    assert validity.steady(samples(10.0)) == []  # a tick more or less
