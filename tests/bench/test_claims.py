"""bench/claims.py and bench/quotes.py: claims get their verdict, and our documents say what the results say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench import claims, quotes, result
from bench.claims import Claim, Measured
from bench.errors import Environment
from tests.bench import results as made

COST = Claim("cost", "ours", "CPU per delivery", "a.json", "us_per_delivery", "app sse", form="{:.1f} us")
RATIO = Claim(
    "ratio", "original", "SSE costs five times", "a.json", "us_per_delivery", "app sse", "app cable", low=4
)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runs = made.series("app", "sse", "us_per_delivery", [7.0, 7.2]) + made.series(
        "app", "cable", "us_per_delivery", [7.0, 6.0]
    )
    result.write(
        made.result(*runs, made.run("app", "sse", 2, made.VOID, us_per_delivery=99.0), id="a"), tmp_path
    )
    monkeypatch.setattr(claims, "load", lambda: (COST, RATIO))
    return tmp_path


def test_a_value_is_the_mean_of_the_clean_runs(results: Path) -> None:
    found = claims.measure(COST, results)
    assert found is not None and found.low is not None and found.high is not None
    assert found.value == pytest.approx(7.1)
    assert found.low < found.value < found.high
    assert claims.measure(COST._replace(row="rails sse"), results) is None
    assert claims.measure(COST._replace(result="b.json"), results) is None


def test_what_is_not_whole_or_of_a_loud_machine_proves_nothing() -> None:
    runs = made.series("app", "sse", "us_per_delivery", [7.0, 7.2])
    loud = {"verdict": "void", "reasons": ["loud"]}
    assert claims.of_result(COST, made.result(*runs)) is not None
    assert claims.of_result(COST, made.result(*runs, verdict="incomplete")) is None
    assert claims.of_result(COST, made.result(*runs, noise={"before": None, "after": loud})) is None


@pytest.mark.parametrize(
    ("values", "low", "high"), [([7.0], None, None), ([0.0, 0.0], 0, 0), ([0.0, 2.0], 0, 2)]
)
def test_what_never_varies_or_is_zero_has_the_interval_of_its_runs(
    values: list[float], low: float | None, high: float | None
) -> None:
    found = claims.of_result(COST, made.result(*made.series("app", "sse", "us_per_delivery", values)))
    assert found is not None and (found.low, found.high) == (low, high)


def test_a_ratio_is_paired_and_has_its_interval(results: Path) -> None:
    found = claims.measure(RATIO, results)
    assert found is not None and found.value == pytest.approx((1.2) ** 0.5)
    assert found.low is not None and found.high is not None and found.low < found.value < found.high


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        (Measured(5.0, 4.5, 6.0), "confirmed"),
        (Measured(1.1, 0.9, 1.3), "refuted"),
        (Measured(4.2, 3.5, 5.0), "not settled"),
        (Measured(5.0), "not settled"),
        (None, "not measured"),
    ],
)
def test_verdicts(measured: Measured | None, word: str) -> None:
    assert claims.judge(RATIO, measured).word == word


def test_what_names_no_hardware_cannot_be_tested() -> None:
    found = claims.judge(Claim("x", "original", "5 % CPU", untestable="no hardware is named"), None)
    assert found.word == "not testable here"
    assert claims.in_words(found) == "NOT TESTABLE HERE 5 % CPU: (no hardware is named)"


def test_an_upper_bound_alone() -> None:
    most = RATIO._replace(low=None, high=1.15)
    assert claims.judge(most, Measured(1.1, 1.05, 1.14)).word == "confirmed"
    assert claims.judge(most, Measured(1.3, 1.2, 1.4)).word == "refuted"


def test_our_own_claims_are_complete() -> None:
    claims.load.cache_clear()
    for claim in claims.load():
        assert claim.of in ("ours", "original") and claim.text
        assert claim.untestable or claims.measure(claim) is not None, f"{claim.id} is measured nowhere"


def test_the_documents_are_true_now() -> None:
    faults = [fault for one in quotes.documents() for fault in quotes.faults(one.name, one.read_text())]
    assert faults == []


def test_numbers_are_written_into_documents(results: Path) -> None:
    text = "It costs <!--claim cost-->?<!--/claim--> each."
    written = quotes.written(text, results)
    assert written == "It costs <!--claim cost-->7.1 us<!--/claim--> each."
    assert list(quotes.faults("d.md", written, results)) == []
    (fault,) = quotes.faults("d.md", text, results)
    assert "claim cost says '?', its result '7.1 us'" in fault


def test_intervals_are_written_too(results: Path) -> None:
    text = quotes.written("<!--claim cost interval--><!--/claim-->", results)
    assert re.fullmatch(r"<!--claim cost interval-->[\d.]+-[\d.]+ us<!--/claim-->", text)
    assert list(quotes.faults("d.md", text, results)) == []
    assert "-->refuted<!--" in quotes.written("<!--claim ratio verdict--><!--/claim-->", results)
    assert claims.interval(COST, Measured(7.0, 6.9, 7.1)) == "6.9-7.1 us"
    assert claims.interval(COST, Measured(7.0)) == "no interval"


@pytest.mark.parametrize(
    "loose", ["7 us", "1.5 KB", "20 %", "3 x", "10,500/s", "2 ms", "11 s", "381 bytes", "0.4 ns"]
)
def test_a_measured_number_that_is_no_claim_is_found(results: Path, loose: str) -> None:
    words = f"{loose!r} is measured, but bound to no result: make it a claim"
    (fault,) = quotes.faults("d.md", f"<!--measured-->It is {loose} fast.<!--/measured-->", results)
    assert fault == f"d.md: {words}"
    assert list(quotes.faults("d.md", f"Pings every {loose}.", results)) == []
    for name in quotes.WHOLE:
        assert list(quotes.faults(name, f"Pings every {loose}.", results)) == [f"{name}: {words}"]
        assert list(quotes.faults(name, f"<!--stated-->Pings every {loose}.<!--/stated-->", results)) == []


def test_a_number_without_a_unit_is_a_claim_or_of_a_plan(tmp_path: Path) -> None:
    run = made.run("app", "sse", 0)
    result.write(made.result(run, plan={"clients": 1000, "rates": [1.25], "awake": True}), tmp_path)
    text = "<!--measured-->Of 1,000 clients with 1.25 updates {} came back.<!--/measured-->"
    assert list(quotes.faults("d.md", text.format("all"), tmp_path)) == []
    for found in ("999", "140", "25.1"):
        (fault,) = quotes.faults("d.md", text.format(found), tmp_path)
        assert fault == f"d.md: {found!r} is in no result's plan, and no claim: make it one, or leave it out"


@pytest.mark.parametrize(
    "harmless",
    [
        "95 % interval",
        "`--rate 20 --seconds 3s`",
        "```\n3 ms\n```",
        "HTTP/1.1",
        "2 cores",
        "AnyCable 1.6.16",
        "\n1. the first",
        "[here](../a/2026.json)",
        '<img src="a.svg" alt="7 pictures">',
        "<!--stated-->15 seconds, 16 times<!--/stated-->",
        "<!--table verdict-->\n| 3 ms |\n<!--/table-->",
    ],
)
def test_other_numbers_may_stand(results: Path, harmless: str) -> None:
    assert list(quotes.faults("d.md", f"<!--measured-->{harmless}<!--/measured-->", results)) == []


def test_where_a_number_comes_from_is_written_too(results: Path) -> None:
    text = quotes.written(
        "".join(
            f"<!--claim cost {one}--><!--/claim-->;"
            for one in ("commit", "date", "machine", "pairs", "noise")
        ),
        results,
    )
    wanted = ["aaaaaaa", "2026-11-24", "A, 2 cores", "2", "unknown before and after"]
    assert re.findall(r"-->([^<]+)<!--/claim", text) == wanted
    assert list(quotes.faults("d.md", text, results)) == []
    assert len(list(quotes.faults("d.md", text.replace("aaaaaaa", "bbbbbbb"), results))) == 1


def test_what_the_noise_gate_said_is_quoted(tmp_path: Path) -> None:
    looked = {"spin_cov": 0.1, "jitter_p99_us": 1.0, "steal_share": 0.0, "load": 0.0, "reasons": []}
    noise: dict[str, Any] = {
        "before": {"verdict": "noisy", **looked},
        "after": {"verdict": "quiet", **looked},
    }
    result.write(made.result(made.run("app", "sse", 0), id="a", noise=noise), tmp_path)
    found = claims.origin(COST, tmp_path)
    assert found is not None and found.noise == "noisy before, quiet after"


def test_a_figure_of_a_noisy_machine_is_not_quoted_without_that(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = quotes.written("It costs <!--claim cost--><!--/claim-->", results)
    assert list(quotes.faults("d.md", text, results)) == []
    noisy = claims.Origin("aaaaaaa", "2026-11-24", "A", "noisy before, quiet after")
    monkeypatch.setattr(claims, "origin", lambda claim, results: noisy)
    (fault,) = quotes.faults("d.md", text, results)
    assert fault == (
        "d.md: the noise gate of a.json says noisy before, quiet after: quote it, by <!--claim cost noise-->"
    )
    told = quotes.written(f"{text}, <!--claim cost noise--><!--/claim-->", results)
    assert list(quotes.faults("d.md", told, results)) == []


def test_a_commit_with_changes_is_called_so(tmp_path: Path) -> None:
    environment = {**made.ENVIRONMENT, "git": {"sha": "b" * 40, "dirty": True}}
    result.write(made.result(made.run("app", "sse", 0), id="a", environment=environment), tmp_path)
    found = claims.origin(COST, tmp_path)
    assert found is not None and found.commit == "bbbbbbb with changes that were not committed"
    assert claims.origin(COST._replace(result="b.json"), tmp_path) is None


def test_a_claim_that_begins_a_line_would_cut_its_paragraph(results: Path) -> None:
    claim = "<!--claim cost-->7.1 us<!--/claim-->"
    cut = "{} begins with a claim, which cuts its paragraph: put a word in front of it"
    assert list(quotes.faults("d.md", f"It costs\n  {claim} each.", results)) == [cut.format("d.md: line 2")]
    assert list(quotes.faults("d.md", f"{claim} each,\nor so.", results)) == [cut.format("d.md: line 1")]
    assert list(quotes.faults("d.md", f"It costs {claim} each,\nor {claim}.", results)) == []


def test_a_count_over_many_results_is_bound_as_a_claim_is(results: Path) -> None:
    text = "It was quiet <!--tally gates-quiet-->?<!--/tally--> times."
    (fault,) = quotes.faults("d.md", text)
    assert fault.startswith("d.md: tally gates-quiet says '?', the results ")
    assert list(quotes.faults("d.md", quotes.written(text))) == []
    with pytest.raises(Environment, match="quotes the count 'nope': there are ratios"):
        quotes.written("<!--tally nope--><!--/tally-->")


def test_an_unknown_claim_is_said(results: Path) -> None:
    with pytest.raises(Environment, match=r"'nope', which claims\.toml does not have"):
        quotes.written("<!--claim nope-->1<!--/claim-->", results)


def test_another_run_may_differ_by_its_tolerance() -> None:
    assert claims.holds_elsewhere(COST, Measured(10.0), Measured(12.0))
    assert not claims.holds_elsewhere(COST, Measured(10.0), Measured(13.0))
