"""bench/html/charts: what the pictures draw and what their tables say is what is in the documents."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from bench.comparison import families
from bench.figures import FIGURES, number
from bench.html import looks
from bench.html.charts import (
    bill,
    curve,
    dots,
    memory,
    order,
    outage,
    percentiles,
    strip,
    stuck,
    sweep,
    timeline,
)
from bench.html.looks import Legend
from bench.html.picture import NARROW, WIDE, Picture
from bench.result import Result
from bench.statistics import histogram, stats
from tests.bench import documents
from tests.bench.document_runs import WIRE

Maker = Callable[[Result, Legend], Picture | None]


def made(maker: Maker, document: documents.Json) -> Picture:
    result = Result.from_json(document)
    picture = maker(result, looks.legend([result]))
    assert picture is not None
    return picture


def strip_of(document: documents.Json) -> Picture:
    return made(lambda result, legend: strip.picture(result, families(result)[0], legend), document)


def drawn(picture: Picture, width: float = WIDE) -> ET.Element:
    return ET.fromstring(f"<div>{picture.draw(width)}</div>")


def titles(picture: Picture) -> list[str]:
    return [element.text or "" for element in drawn(picture).iter("title")]


def crosses(picture: Picture) -> int:
    return sum(element.get("class") == "mark void" for element in drawn(picture).iter("g"))


def column(picture: Picture, name: str) -> list[str]:
    at = picture.table.head.index(name)
    return [entry.cells[at] for entry in picture.table.entries]


PICTURES: list[tuple[str, Maker]] = [
    ("fanout", percentiles.picture),
    ("fanout", bill.picture),
    ("fanout", order.picture),
    ("fanout", dots.picture),
    ("idle", memory.picture),
    ("reconnect", curve.picture),
    ("slow", stuck.picture),
    ("slow", timeline.picture),
    ("outage", outage.picture),
]


@pytest.mark.parametrize(("scenario", "maker"), PICTURES)
def test_void_runs_are_drawn_and_struck_through_with_the_reason(scenario: str, maker: Maker) -> None:
    picture = made(maker, documents.voided(documents.document(scenario, pairs=2), message="a noisy hour"))
    assert picture.table.entries
    assert all(entry.void == "void: a noisy hour" for entry in picture.table.entries)
    void = [element for element in drawn(picture).iter() if "void" in (element.get("class") or "").split()]
    assert len(void) >= 4  # a cross or a dotted line for each row at least


@pytest.mark.parametrize(("scenario", "maker"), PICTURES)
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_everything_drawn_lies_inside_the_picture(scenario: str, maker: Maker, width: float) -> None:
    for drawing in drawn(made(maker, documents.document(scenario, pairs=3)), width).iter("svg"):
        _, _, right, bottom = map(float, (drawing.get("viewBox") or "").split())
        for line in drawing.iter("polyline"):
            for x, y in re.findall(r"([-\d.]+),([-\d.]+)", line.get("points") or ""):
                assert 0 <= float(x) <= right
                assert 0 <= float(y) <= bottom
        for text in drawing.iter("text"):
            assert 0 <= float(text.get("x") or 0) <= right
            assert 0 < float(text.get("y") or 0) <= bottom


@pytest.mark.parametrize(("scenario", "maker"), PICTURES)
def test_a_result_without_its_kind_of_data_has_no_such_picture(scenario: str, maker: Maker) -> None:
    document = documents.incomplete(documents.document(scenario, pairs=1), runs=0)
    result = Result.from_json(document)
    assert maker(result, looks.legend([result])) is None


def test_the_strip_prints_the_statistics() -> None:
    document = documents.document("fanout", pairs=7)
    sides = [
        [
            run["figures"]["us_per_delivery"]
            for pair in range(7)
            for run in document["runs"]
            if (run["row"], run["pair"]) == (row, pair)
        ]
        for row in ("app cable", "app sse")
    ]
    ratio = stats.paired_ratio(*sides)
    picture = strip_of(document)
    assert column(picture, "figure")[0] == "CPU per delivery"
    assert column(picture, "ratio")[0] == f"{number(ratio.value)} \N{MULTIPLICATION SIGN}"
    assert ratio.low is not None and ratio.high is not None
    assert column(picture, "95 % interval (t)")[0] == f"{number(ratio.low)}\N{EN DASH}{number(ratio.high)}"
    assert column(picture, "remark")[0] == "worse"


def test_the_strip_leaves_out_what_is_no_finding_and_marks_what_is_better_when_more() -> None:
    assert not {"load client's core", "deliveries offered"} & set(
        column(strip_of(documents.document("fanout")), "figure")
    )
    assert "clients taken in \N{UPWARDS ARROW}" in column(strip_of(documents.document("storm")), "figure")


def test_no_difference_is_hollow_and_a_difference_is_not() -> None:
    document = documents.document("publish", pairs=7)  # the wire plays no part in a publish
    picture = strip_of(document)
    classes = [element.get("class") or "" for element in drawn(picture).iter("g")]
    remarks = column(picture, "remark")
    assert remarks.count("no difference detected") == sum("undecided" in name for name in classes) > 0


def test_the_percentile_plot_merges_the_histograms_of_the_runs_that_count() -> None:
    document = documents.document("fanout", pairs=3)
    number_ = next(at for at, run in enumerate(document["runs"]) if run["row"] == "app sse")
    document = documents.voided(document, number_)
    kept = [run for run in document["runs"] if run["row"] == "app sse" and not run["flags"]]
    whole = histogram.merged(run["series"]["latency"] for run in kept)
    picture = made(percentiles.picture, document)
    at = column(picture, "row").index("app sse")
    assert column(picture, "p99")[at] == FIGURES["p99_ms"].text(whole.at(99))
    assert column(picture, "deliveries")[at] == f"{whole.count:,}"
    assert (column(picture, "runs")[at], column(picture, "runs left out")[at]) == ("2", "1")
    assert f"app sse p99: {FIGURES['p99_ms'].text(whole.at(99))}" in titles(picture)


def test_the_memory_slope_of_several_runs_is_their_mean_with_an_interval_over_runs() -> None:
    document = documents.document("idle", pairs=3)
    slopes = [run["facts"]["fit"]["slope"] for run in document["runs"] if run["row"] == "app sse"]
    result = Result.from_json(document)
    found = memory.slope("app sse", result.of("app sse"))
    assert found is not None
    assert found.line.slope == pytest.approx(stats.mean(slopes))
    assert (found.line.low, found.line.high) == stats.bounds(slopes)
    assert found.text.startswith(f"{number(found.line.slope)} KiB per connection (95 % interval ")


def test_the_memory_slope_of_one_run_is_its_own_fit() -> None:
    result = Result.from_json(documents.document("idle", pairs=1))
    (run,) = result.of("app sse")
    found = memory.slope("app sse", [run])
    assert found is not None
    assert found.line.slope == run.facts["fit"]["slope"]
    assert found.origin == "from the points of one run"


def test_every_weighing_of_every_run_is_a_mark() -> None:
    document = documents.document("idle", pairs=2)
    marks = [title for title in titles(made(memory.picture, document)) if "connections" in title]
    assert len(marks) == 2 * 4 * 5


@pytest.mark.parametrize(
    ("apart", "said"), [(True, "come on top"), (False, "are charged"), (None, "may be charged")]
)
def test_soft_interrupts_are_stacked_only_where_they_are_not_in_the_bar_already(
    apart: bool | None, said: str
) -> None:
    document = documents.document("fanout", pairs=2)
    document["environment"]["interrupts_apart"] = apart
    picture = made(bill.picture, document)
    assert said in picture.caption
    heights = {
        element.get("height")
        for element in drawn(picture).iter("rect")
        if element.get("class") == "part softirq"
    }
    assert ("6" in heights) is (apart is not True)


def test_the_bill_adds_up() -> None:
    document = documents.document("fanout", pairs=2)
    picture = made(bill.picture, document)
    runs = [run["figures"]["us_per_delivery"] for run in document["runs"] if run["row"] == "floor cable"]
    at = column(picture, "row").index("floor cable")
    assert column(picture, "user + system, mean")[at] == FIGURES["us_per_delivery"].text(stats.mean(runs))
    user, system = (
        [one for one in drawn(picture).iter("rect") if one.get("class") == f"part {name}" and len(one)]
        for name in ("user", "system")
    )
    for below, above in zip(user, system, strict=True):
        end = float(below.get("x") or 0) + float(below.get("width") or 0)
        assert float(above.get("x") or 0) == pytest.approx(end, abs=0.2)


def test_runs_stand_in_the_order_of_time() -> None:
    document = documents.document("fanout", pairs=2)
    picture = made(order.picture, {**document, "runs": document["runs"][::-1]})
    assert column(picture, "row") == [run["row"] for run in document["runs"]]
    assert column(picture, "run") == [str(at) for at in range(1, 9)]


def test_one_void_run_is_crossed_out_and_not_in_the_mean() -> None:
    document = documents.document("fanout", pairs=3)
    document["runs"][0]["figures"]["us_per_delivery"] *= 50
    row = document["runs"][0]["row"]
    rest = [run["figures"]["us_per_delivery"] for run in document["runs"][1:] if run["row"] == row]
    picture = made(order.picture, documents.voided(document, 0))
    assert crosses(picture) == 1
    multiple = document["runs"][0]["figures"]["us_per_delivery"] / stats.mean(rest)
    assert column(picture, "of its row's mean")[0] == f"{number(multiple)} \N{MULTIPLICATION SIGN}"


def test_the_curve_says_when_each_share_was_back_and_who_never_came() -> None:
    document = documents.document("reconnect", pairs=1)
    points = document["runs"][0]["facts"]["curve"]
    document["runs"][1]["facts"]["curve"] = points[:50]
    picture = made(curve.picture, document)
    assert column(picture, "50 % back")[0] == f"{number(points[49][0])} s"
    assert column(picture, "99 % back")[1] == "never"
    assert column(picture, "back at last") == ["100 %", "50 %", "100 %", "100 %"]


def test_an_outage_is_drawn_over_its_time_with_what_the_server_said() -> None:
    document = documents.document("outage", pairs=1, targets=["app"])
    picture = made(outage.picture, document)
    assert column(picture, "away max") == ["900 ms", "900 ms"]
    assert column(picture, "not ready for") == ["2.20 s", "2.20 s"]
    assert column(picture, "came back") == column(picture, "lost") == ["0", "0"]
    bands = [
        element for element in drawn(picture).iter("rect") if "Redis is away" in "".join(element.itertext())
    ]
    lines = list(drawn(picture).iter("polyline"))
    assert len(bands) == 1 and len(lines) == 2 * 2, "of each row the worst and the median"
    said = [title for title in titles(picture) if ": 503 from " in title]
    assert {title.partition(":")[0] for title in said} == {"app sse", "app cable"}


def test_a_result_without_a_timeline_has_no_picture_of_its_outage() -> None:
    document = documents.document("outage", pairs=1)
    for run in document["runs"]:
        del run["facts"]["timeline"]
    result = Result.from_json(document)
    assert outage.picture(result, looks.legend([result])) is None


def test_a_stuck_reader_is_shown_beside_the_time_before() -> None:
    document = documents.document("slow", pairs=1)
    picture = made(stuck.picture, document)
    first = document["runs"][[run["row"] for run in document["runs"]].index("app sse")]["figures"]
    before, beside = (FIGURES[name].text(first[name]) for name in ("healthy_p99_before_ms", "healthy_p99_ms"))
    assert f"app sse, pair 0: {before} before, {beside} beside" in titles(picture)
    changes = [line for line in drawn(picture).iter("line") if "sse filled" in (line.get("class") or "")]
    (change,) = changes
    assert float(change.get("x1") or 0) < float(
        change.get("x2") or 0
    )  # it got worse, and to the right is more


def test_memory_over_time_skips_what_was_not_read_and_keeps_peaks() -> None:
    document = documents.document("soak", pairs=1)
    rows = document["runs"][0]["samples"]["rows"]
    assert any(row[3] is None for row in rows)
    rows[123] = [123.0, 0.0, 0.0, None]
    rows[333] = [333.0, 0.0, 0.0, 900 * 1024]
    picture = made(timeline.picture, document)
    assert column(picture, "most")[0] == "900.0 MiB"
    lines = [line.get("points") or "" for line in drawn(picture).iter("polyline")]
    tops = [float(y) for points in lines for y in re.findall(r",([-\d.]+)", points)]
    assert min(tops) < 60  # 900 MiB is drawn near the top: the peak was not thinned away
    longest = max(len((line.get("points") or "").split()) for line in drawn(picture).iter("polyline"))
    assert longest <= 60


def test_a_sweep_names_knee_and_limiter_and_shows_the_demand() -> None:
    picture = made(sweep.picture, documents.sweep(pairs=1))
    texts = [text.text for text in drawn(picture).iter("text")]
    assert any(
        text and text.startswith("app sse: good up to 320/s; at 640/s: server CPU 100 %") for text in texts
    )
    assert "demanded: 100 ms" in texts
    assert "server CPU" in column(picture, "limiter")
    rings = [element for element in drawn(picture).iter("circle") if element.get("class") == "ring"]
    assert len(rings) == 4 * 2


def test_dot_plots_show_each_figure_and_each_run() -> None:
    document = documents.document("storm", pairs=2)
    picture = made(dots.picture, document)
    names = set(document["runs"][0]["figures"])
    assert len(list(drawn(picture).iter("svg"))) == len(names)
    assert sum("pair" in title for title in titles(picture)) == len(names) * 8
    assert set(picture.table.head) >= {FIGURES[name].title for name in names}


def test_the_mean_of_a_dot_plot_leaves_void_runs_out() -> None:
    document = documents.document("outage", pairs=2)
    mine = [run for run in document["runs"] if run["row"] == "app sse"]
    mine[0]["figures"]["stalled_seconds"] = 99.0
    picture = made(dots.picture, documents.voided(document, document["runs"].index(mine[0])))
    texts = [text.text for text in drawn(picture).iter("text") if text.get("class") == "value"]
    assert FIGURES["stalled_seconds"].text(mine[1]["figures"]["stalled_seconds"]) in texts


def test_a_sweep_has_no_dot_plots() -> None:
    result = Result.from_json(documents.sweep(pairs=1))
    assert dots.picture(result, looks.legend([result])) is None


def test_rows_differ_by_shape_or_filling_and_not_by_colour_alone() -> None:
    document = documents.document(
        "fanout", pairs=1, targets=["app", "floor", "by-hand"], transports=list(WIRE)
    )
    legend = looks.legend([Result.from_json(document)])
    without_colour = {(look.shape, look.classes.split()[1]) for look in legend.values()}
    assert len(without_colour) == len(legend) == 12
