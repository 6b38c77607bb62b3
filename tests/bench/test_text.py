"""bench/text.py and bench/explain.py: what a terminal is told, with nothing hidden."""

from __future__ import annotations

from bench import explain, text
from bench.measure.validity import Flag
from bench.result import Run
from bench.scenarios import SCENARIOS
from tests.bench import results as made

FANOUT = SCENARIOS["fanout"]
LOSS = Flag("loss", "sequence", "1 lost, 0 doubled, 0 disordered of 10")


def two_rows() -> list[Run]:
    return [
        *made.series("app", "sse", "us_per_delivery", [7.0, 7.2, 6.8]),
        *made.series("floor", "sse", "us_per_delivery", [6.0, 6.1, 5.9]),
    ]


def test_the_overview_has_a_row_for_each_row_and_its_mean() -> None:
    head, app, floor = text.overview(FANOUT, made.result(*two_rows()))
    assert "CPU per delivery" in head and "void" in head
    assert app.split()[:3] == ["app", "sse", "7"] and floor.split()[:3] == ["floor", "sse", "6"]
    assert app.endswith("0/3")


def test_the_overview_has_cpu_per_write_where_a_result_has_it() -> None:
    old = made.run("app", "sse", 0, us_per_delivery=7.0)
    new = made.run("app", "cable", 0, us_per_delivery=8.0, us_per_write=6.0)
    assert "CPU per write" not in text.overview(FANOUT, made.result(old))[0]
    head, sse, cable = text.overview(FANOUT, made.result(old, new))
    assert "CPU per delivery  CPU per write" in head
    assert (sse.split()[4], cable.split()[4:6]) == ("-", ["6", "µs"])


def test_the_bill_has_cpu_per_write_where_a_result_has_it() -> None:
    run = made.run("app", "cable", 0, us_per_delivery=8.0, us_per_write=6.0)
    (bill,) = [line for line in explain.explained(made.result(run)) if line.startswith("app cable  ")]
    assert bill.split()[-3:] == ["-", "6", "µs"]


def test_the_bill_has_services_beside_where_a_row_has_them() -> None:
    app = made.run("app", "sse", 0, us_per_delivery=8.0)
    shared = made.run("app-redis-postgres", "sse", 0, us_per_delivery=8.0, redis_us=0.25, postgres_us=1.5)
    assert not [line for line in explain.explained(made.result(app)) if "PostgreSQL" in line]
    lines = explain.explained(made.result(app, shared))
    head, alone, both = (line for line in lines if "beside" in line or "µs" in line)
    assert head.endswith("Redis beside  PostgreSQL beside")
    assert alone.split()[-2:] == ["-", "-"]
    assert both.split()[-4:] == ["0.250", "µs", "1.50", "µs"]


def test_how_clients_were_spread_over_processes_is_told() -> None:
    runs = [made.run("app", "sse", pair, us_per_delivery=8.0) for pair in (0, 1)]
    assert not [line for line in explain.explained(made.result(*runs)) if "processes" in line]
    runs[0].facts["connections_by_process"] = [463, 538]
    runs[1].facts["connections_by_process"] = [487, 514]
    assert explain.explained(made.result(*runs))[-1] == (
        "app sse: 2 processes, each with 463 to 538 of the connections"
    )


def test_rows_are_compared_in_sentences() -> None:
    (words,) = text.comparisons(FANOUT, made.result(*two_rows()))
    assert words.startswith("app sse costs 17 % more CPU per delivery than floor sse (95 % interval")


def test_a_void_pair_is_left_out_and_said() -> None:
    runs = [*two_rows(), made.run("app", "sse", 3, made.VOID, us_per_delivery=50.0)]
    runs.append(made.run("floor", "sse", 3, us_per_delivery=6.0))
    document = made.result(*runs, verdict="void")
    (words,) = text.comparisons(FANOUT, document)
    assert words.endswith("1 void or lossy pair left out.")
    assert text.doubts(document) == ["VOID  pair 3 app sse: others used 50% of the server core"]
    assert text.ending(document).startswith("VOID: these numbers mean nothing")


def test_a_noisy_machine_voids_the_whole() -> None:
    noise = {"verdict": "void", "reasons": ["equal work varies by 50%"]}
    document = made.result(*two_rows(), noise={"before": None, "after": noise})
    assert text.doubts(document) == ["VOID  the machine was not quiet after: equal work varies by 50%"]


def test_a_run_in_a_line_with_its_doubts() -> None:
    run = made.run("app", "sse", 0, LOSS, point=40.0, us_per_delivery=7.0)
    assert text.line(FANOUT, run) == (
        "app sse at 40/s: CPU per delivery 7 µs  loss: 1 lost, 0 doubled, 0 disordered of 10"
    )


def test_points_of_a_sweep_are_rows() -> None:
    runs = [made.run("app", "sse", 0, point=rate, us_per_delivery=7.0) for rate in (5.0, 10.0)]
    assert [row.split()[2] for row in text.overview(FANOUT, made.result(*runs))[1:]] == ["5/s", "10/s"]


def test_where_nothing_was_measured_there_is_no_table() -> None:
    left = made.result(verdict="incomplete", stopped_by="no room")
    assert text.summary(FANOUT, left) == ["INCOMPLETE: no room (seed 42, 0 runs)"]


def test_endings() -> None:
    assert "the demand p99<1ms is not met" in text.ending(made.result(verdict="slo", plan={"slo": "p99<1ms"}))
    assert "INCOMPLETE: interrupted" in text.ending(
        made.result(verdict="incomplete", stopped_by="interrupted")
    )


def test_the_bill_and_the_limits() -> None:
    parts = {"user_us": 2.0, "system_us": 5.0, "softirq_us": 1.0}
    app = made.run("app", "sse", 0, us_per_delivery=8.0, **parts)
    app.limiter = "server CPU"
    floor = made.run("floor", "sse", 0, us_per_delivery=6.0, **parts)
    lines = explain.explained(made.result(app, floor, label="a label"))
    assert lines[0].endswith("seed 42, a label")
    (bill,) = [line for line in lines if line.startswith("app sse  ")]
    assert bill.split()[-2:] == ["75%", "-"], "what of it is the floor's, and no CPU per write"
    assert "app sse: capped by server CPU" in lines
    assert "floor sse: capped by nothing: there was headroom" in lines
