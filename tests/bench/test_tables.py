"""bench/tables.py: tables of our documents say what the results say, and what does not count is struck through."""

from __future__ import annotations

from bench import tables
from bench.figures import FIGURES, number
from bench.html.table import Entry, Table
from bench.result import Result
from bench.statistics import stats
from tests.bench import documents
from tests.bench import results as made


def read(document: documents.Json) -> Result:
    return Result.from_json(document)


def values(found: Result, row: str, figure: str) -> list[float]:
    return [run.figures[figure] for run in found.of(row) if run.valid]


def test_markdown_strikes_out_what_does_not_count() -> None:
    table = Table(
        ("row", "p50", "remark"), (Entry(("a", "1 ms", "")), Entry(("b", "9 ms", ""), "void: loud"))
    )
    assert tables.markdown(table) == (
        "| row | p50 | remark |\n| --- | ---: | ---: |\n| a | 1 ms |  |\n"
        "| <del>b</del> | <del>9 ms</del> | void: loud |\n"
    )


def test_the_verdict_has_means_the_paired_ratio_and_names_each_situation_once() -> None:
    found = [read(documents.document(name, pairs=2, label=name)) for name in ("fanout", "storm")]
    entries = tables.verdict(found).entries
    assert [entry.cells[0] for entry in entries] == ["fanout", "", "", "", "storm"]
    sides = [values(found[0], row, "us_per_delivery") for row in (tables.CABLE, tables.SSE)]
    ratio = stats.paired_ratio(*sides)
    assert ratio.low is not None and ratio.high is not None
    assert entries[0].cells[1:] == (
        "CPU per delivery",
        FIGURES["us_per_delivery"].text(stats.mean(sides[1])),
        FIGURES["us_per_delivery"].text(stats.mean(sides[0])),
        f"{number(ratio.value)} \N{MULTIPLICATION SIGN}",
        f"{number(ratio.low)}\N{EN DASH}{number(ratio.high)}",
        "2",
    )


def test_the_bill_holds_every_other_row_against_this_app_on_the_same_transport() -> None:
    found = read(documents.document("fanout", pairs=2))
    bills = {entry.cells[0]: entry.cells for entry in tables.bill([found]).entries}
    assert bills["app sse"][-2:] == ("", "")
    ratio = stats.paired_ratio(
        values(found, "app cable", "us_per_delivery"), values(found, "floor cable", "us_per_delivery")
    )
    assert bills["floor cable"][-2] == f"{number(ratio.value)} \N{MULTIPLICATION SIGN}"


def test_an_outage_has_a_column_for_each_row_and_the_books_below() -> None:
    found = read(documents.document("outage", pairs=1, targets=["app"]))
    table = tables.outage([found])
    assert table.head == ("", "app sse", "app cable")
    lines = {entry.cells[0]: entry.cells[1:] for entry in table.entries}
    assert lines["away max"] == ("900 ms", "900 ms")
    assert lines["lost"] == lines["doubled"] == lines["out of order"] == ("0", "0")


def test_of_an_outage_on_a_noisy_machine_times_are_struck_through_and_books_are_not() -> None:
    found = read(documents.voided(documents.document("outage", pairs=1, targets=["app"]), 0))
    table = tables.outage([found])
    at, other = (table.head.index(run.row) for run in found.runs)
    lines = {entry.cells[0]: entry.cells for entry in table.entries}
    assert (lines["away max"][at], lines["away max"][other]) == ("~~900 ms~~", "900 ms")
    assert (lines["lost"][at], lines["came back"][at]) == ("0", "0")
    assert (lines["left out"][at], lines["left out"][other]) == (
        "void: others used 50% of the server core",
        "",
    )


def test_a_rate_at_which_no_run_counts_says_why() -> None:
    found = made.result(
        made.run("app", "sse", 0, point=20.0, p50_ms=3.0, p99_ms=5.0, server_share=0.2),
        made.run("app", "sse", 1, made.VOID, point=20.0, p50_ms=90.0),
        made.run("app", "sse", 0, made.VOID, point=80.0, p50_ms=7.0),
    )
    good, bad = tables.sweep([found]).entries
    assert good == Entry(("app sse", "20", "3 ms", "5 ms", "20 %", "1 of 2 runs do not count"))
    assert bad.cells[:3] == ("app sse", "80", "7 ms") and bad.void == f"void: {made.VOID.message}"


def test_memory_is_a_slope_and_what_the_server_needs_without_clients() -> None:
    found = read(documents.document("idle", pairs=2))
    cells = next(entry.cells for entry in tables.memory([found]).entries if entry.cells[0] == "app sse")
    slopes = [run.facts["fit"]["slope"] for run in found.of("app sse")]
    assert cells[1] == f"{number(stats.mean(slopes))} KiB" and cells[3].endswith("MiB")
