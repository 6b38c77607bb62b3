"""bench/comparison.py, wording.py, html/knee.py, html/questions.py: what is compared, left out, and how it is said."""

from __future__ import annotations

import pytest

from bench import comparison, figures, wording
from bench.comparison import Compared, Comparison
from bench.html import questions, words
from bench.html.knee import knee
from bench.result import Result
from bench.statistics import stats
from tests.bench import documents

CABLE = Comparison("app cable", "app sse", "cable", "sse")
CPU = figures.of("us_per_delivery")


def fanout(**more: object) -> documents.Json:
    return documents.document("fanout", **{"pairs": 3, **more})  # type: ignore[arg-type]


def found(document: documents.Json, figure: str = "us_per_delivery") -> Compared:
    one = comparison.compared(Result.from_json(document), CABLE, figures.of(figure))
    assert one is not None
    return one


def values(document: documents.Json, row: str, figure: str = "us_per_delivery") -> list[float]:
    runs = sorted((run for run in document["runs"] if run["row"] == row), key=lambda run: run["pair"])
    return [run["figures"][figure] for run in runs]


def said(document: documents.Json, question: str) -> list[str]:
    chosen = next(one for one in questions.QUESTIONS if one.text == question)
    answer = questions.answer(chosen, Result.from_json(document))
    return [] if answer is None else [*answer.own, *answer.others]


def test_families_of_the_usual_four_rows() -> None:
    families = comparison.families(Result.from_json(fanout()))
    assert [family.title for family in families] == [
        "app: transports against sse",
        "app against floor",
        "floor: transports against sse",
    ]
    assert [(one.ours, one.theirs) for one in families[1].comparisons] == [
        ("app sse", "floor sse"),
        ("app cable", "floor cable"),
    ]


def test_without_the_app_the_first_target_is_the_main_one_and_without_sse_no_transport_is_compared() -> None:
    document = fanout(targets=["by-hand", "floor"], transports=["cable", "cable+ext"])
    (family,) = comparison.families(Result.from_json(document))
    assert (family.title, family.target, family.against) == ("by-hand against floor", "by-hand", "floor")


def test_the_ratio_is_the_one_of_the_statistics() -> None:
    document = fanout()
    sides = values(document, "app cable"), values(document, "app sse")
    one = found(document)
    assert one.ratio == stats.paired_ratio(*sides)
    assert one.bootstrap == stats.bootstrap_t(*sides, seed=document["seed"])


@pytest.mark.parametrize("spoil", [documents.voided, documents.lossy])
def test_a_pair_with_a_run_that_does_not_count_is_left_out_whole(spoil: documents.Spoil) -> None:
    document = fanout()
    number = next(at for at, run in enumerate(document["runs"]) if run["row"] == "app sse")
    pair = document["runs"][number]["pair"]
    one = found(spoil(document, number))
    ours, theirs = (
        [value for at, value in enumerate(values(document, row)) if at != pair]
        for row in ("app cable", "app sse")
    )
    assert one.ratio == stats.paired_ratio(ours, theirs)
    assert one.left_out == 1
    assert "1 void or lossy pair left out" in wording.sentence(one)


def test_when_no_pair_counts_there_is_no_ratio_and_that_is_said() -> None:
    one = found(documents.voided(fanout()))
    assert one.ratio is None
    assert "not answered, every pair is void or lossy" in wording.sentence(one)
    assert words.short(one) == "no ratio"


def test_a_zero_gives_no_ratio_instead_of_a_choice_of_pairs() -> None:
    document = fanout()
    document["runs"][0]["figures"]["us_per_delivery"] = 0
    found_one = comparison.compared(
        Result.from_json(document),
        Comparison(document["runs"][0]["row"], document["runs"][1]["row"], "x", "y"),
        CPU,
    )
    assert found_one is not None
    assert found_one.ratio is None
    assert "not above 0" in found_one.why


def test_a_loud_machine_compares_nothing() -> None:
    document = fanout()
    document["noise"]["after"] = {**document["noise"]["before"], "verdict": "void", "reasons": ["loud"]}
    assert found(document).why == "the machine was not quiet"


def test_one_pair_has_no_interval_and_that_is_said() -> None:
    one = found(fanout(pairs=1))
    assert words.interval(one.ratio) == "none: one pair"
    assert "1 pair gives no interval" in wording.sentence(one)


def test_a_figure_that_one_side_lacks_is_not_compared() -> None:
    document = documents.without(fanout(), "us_per_delivery")
    assert comparison.compared(Result.from_json(document), CABLE, CPU) is None


def test_figures_come_in_the_order_of_the_registry_and_unknown_ones_last() -> None:
    document = fanout()
    document["runs"][0]["figures"]["brand_new"] = 1.0
    names = [figure.name for figure in comparison.measured(Result.from_json(document))]
    assert names[0] == "us_per_delivery"
    assert names[-1] == "brand_new"


def test_the_answer_about_cpu_quotes_the_decision() -> None:
    (own, _) = said(fanout(pairs=7), "Which transport costs the server more CPU?")
    assert own.startswith("app cable costs ")
    assert "more CPU per delivery than app sse" in own
    assert "7 pairs" in own


def test_answers_about_other_targets_are_kept_apart() -> None:
    chosen = questions.QUESTIONS[0]
    answer = questions.answer(chosen, Result.from_json(fanout()))
    assert answer is not None
    assert [line.split()[0] for line in (*answer.own, *answer.others)] == ["app", "floor"]
    assert questions.answer(chosen, Result.from_json(documents.document("idle", pairs=1))) is None


def test_void_runs_answer_nothing() -> None:
    lines = said(documents.voided(documents.document("drain", pairs=2)), "How does a server leave?")
    assert len(lines) == 4
    assert all("not answered, every run is void or lossy" in line for line in lines)


def test_values_are_means_of_the_runs_that_count() -> None:
    document = documents.document("outage", pairs=3)
    kept = [run for run in document["runs"] if run["row"] == "app sse"]
    spoiled = document["runs"].index(kept[0])
    line = said(documents.voided(document, spoiled), "What does a broker or a database that dies cost?")[0]
    mean = stats.mean([run["figures"]["stalled_seconds"] for run in kept[1:]])
    assert f"nothing delivered for {figures.of('stalled_seconds').text(mean)}" in line
    assert "mean of 2 runs, 1 void or lossy left out" in line


def test_a_knee_is_the_last_rate_at_which_all_was_good() -> None:
    document = documents.sweep()
    one = knee(Result.from_json(document), "app sse")
    assert one is not None
    assert (one.last, one.first_bad) == (320, 640)
    assert one.limiter == "server CPU"
    p99 = min(
        (run["pair"], run["figures"]["p99_ms"])
        for run in document["runs"]
        if (run["row"], run["point"]) == ("app sse", 640)
    )[1]
    assert one.text == (
        f"good up to 320/s; at 640/s: server CPU 100 %, p99 > 100 ms ({p99:,.4g} ms) (3 of 3 runs)"
    )
    assert one.short == "320/s, then server CPU"


def test_one_bad_run_of_several_ends_it_and_is_counted() -> None:
    document = documents.sweep()
    run = next(run for run in document["runs"] if (run["row"], run["point"]) == ("app sse", 80))
    run["figures"]["delivered_share"] = 0.9
    one = knee(Result.from_json(document), "app sse")
    assert one is not None
    assert one.text == "good up to 40/s; at 80/s: delivered 0.90 of offered (1 of 3 runs)"
    assert one.short == "40/s, then delivery"


def test_a_sweep_without_an_end_says_so() -> None:
    document = documents.sweep(slo="", pairs=1)
    document["runs"] = [run for run in document["runs"] if run["limiter"] is None]
    one = knee(Result.from_json(document), "app sse")
    assert one is not None
    assert one.text == "good up to the highest rate tried, 320/s: no limit found"


def test_a_knee_that_the_load_client_set_is_not_blamed_on_the_server() -> None:
    document = documents.sweep(slo="", pairs=1)
    for run in document["runs"]:
        run["figures"]["client_share"] = 0.85 if run["limiter"] else 0.1
    one = knee(Result.from_json(document), "app sse")
    assert one is not None
    assert one.limiter == "load client"
    assert "load client 85 % of its core (the server may do more)" in one.text


@pytest.mark.parametrize(
    ("slo", "reason"),
    [("p99<0.001ms", "p99 > 0.001 ms"), ("p50<0.001ms", "p50<0.001ms not met"), ("", "limited by publisher")],
)
def test_what_the_first_rate_breaks_leaves_no_good_rate(slo: str, reason: str) -> None:
    document = documents.sweep(slo=slo, pairs=1)
    if not slo:
        document["runs"][0]["limiter"] = "publisher"
    one = knee(Result.from_json(document), document["runs"][0]["row"])
    assert one is not None
    assert one.last is None
    assert one.text.startswith(f"no good rate found; at 20/s: {reason}")


def test_a_void_run_is_no_bad_run_but_where_all_are_void_nothing_is_known() -> None:
    document = documents.sweep()
    at = [n for n, run in enumerate(document["runs"]) if (run["row"], run["point"]) == ("app sse", 80)]
    some = knee(Result.from_json(documents.voided(document, *at[:1])), "app sse")
    assert some is not None
    assert (some.last, some.limiter) == (320, "server CPU")
    none = knee(Result.from_json(documents.voided(document, *at[1:])), "app sse")
    assert none is not None
    assert none.text == "good up to 40/s; at 80/s: not known, void: others used 50% of the server core"


def test_a_loss_in_a_sweep_ends_it() -> None:
    document = documents.sweep(pairs=1)
    at = next(n for n, run in enumerate(document["runs"]) if (run["row"], run["point"]) == ("app sse", 80))
    one = knee(Result.from_json(documents.lossy(document, at)), "app sse")
    assert one is not None
    assert (one.last, one.first_bad, one.limiter) == (40, 80, "loss")


def test_a_row_without_points_has_no_knee() -> None:
    assert knee(Result.from_json(fanout()), "app sse") is None


@pytest.mark.parametrize(
    ("label", "plan", "title"),
    [
        ("mine", {}, "fanout: mine"),
        (None, {"clients": 1000, "rates": [20.0]}, "fanout: 1,000 clients, 20/s"),
        (
            None,
            {"clients": 1000, "rates": [20.0, 40.0, 80.0], "batch": 5},
            "fanout: 1,000 clients, 20\N{EN DASH}80/s, batches of 5",
        ),
        (None, {"clients": "many", "rate": None}, "fanout: 3 pairs"),
    ],
)
def test_titles(label: str | None, plan: documents.Json, title: str) -> None:
    document = {**fanout(), "label": label, "plan": plan}
    assert words.title(Result.from_json(document)) == title
