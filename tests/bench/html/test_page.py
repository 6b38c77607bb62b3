"""bench/html/page.py: one page, the same bytes each time, nothing that runs, nothing hidden, nothing injected."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shlex
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from bench import result
from bench.figures import number
from bench.html import page
from bench.statistics import stats
from tests.bench import documents
from tests.bench.documents import Json

Documents = list[tuple[Path, Json]]


def named(*found: Json) -> Documents:
    """Documents under the names that they have as files."""
    return [(Path(f"{one['id']}.json"), one) for one in found]


def rendered(*found: Json) -> str:
    return page.render(named(*found))


def parsed(text: str) -> ET.Element:
    """The page as a tree: it is well-formed XML too, so any parser agrees on what is in it."""
    assert text.startswith("<!DOCTYPE html>\n<html")
    return ET.fromstring(text.partition("\n")[2])


def texts(element: ET.Element) -> str:
    return "".join(element.itertext())


def elements(root: ET.Element, tag: str, class_: str) -> list[ET.Element]:
    return [one for one in root.iter(tag) if class_ in (one.get("class") or "").split()]


@pytest.fixture(scope="module")
def suite() -> list[Json]:
    return documents.everything(pairs=2)


@pytest.fixture(scope="module")
def whole(suite: list[Json]) -> str:
    return rendered(*suite)


@pytest.fixture(scope="module")
def root(whole: str) -> ET.Element:
    return parsed(whole)


def test_the_documents_of_these_tests_are_results(suite: list[Json]) -> None:
    for found in suite:
        result.check(found, found["id"])


def test_the_same_documents_give_the_same_bytes_in_any_order(suite: list[Json], whole: str) -> None:
    shuffled = random.Random(3).sample(suite, len(suite))
    assert rendered(*json.loads(json.dumps(shuffled))) == whole


def test_results_stand_in_the_order_of_the_questions_and_then_of_time() -> None:
    early = documents.document("storm", label="a", pairs=1, minute=10)
    late = documents.document("fanout", label="b", pairs=1, minute=20)
    later = documents.document("fanout", label="c", pairs=1, minute=30, seed=1)
    sections = [one for one in parsed(rendered(early, later, late)).iter("section") if one.get("id")]
    assert [texts(next(one.iter("h3"))) for one in sections] == ["fanout: b", "fanout: c", "storm: a"]


def test_nothing_may_run_and_nothing_is_loaded(root: ET.Element, whole: str) -> None:
    policy = next(one.get("content") for one in root.iter("meta") if one.get("http-equiv")) or ""
    (style,) = (one.text or "" for one in root.iter("style"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[0] == "default-src 'none'"
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script" not in policy and "unsafe" not in policy
    assert not list(root.iter("script"))
    attributes = {name for one in root.iter() for name in one.attrib}
    assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")]
    assert not re.search(r"url\(|@import|javascript:", whole)


def test_links_go_to_raw_files_and_to_places_on_the_page(root: ET.Element, suite: list[Json]) -> None:
    ids = {one.get("id") for one in root.iter() if one.get("id")}
    links = [one.get("href") or "" for one in root.iter("a")]
    assert {link[1:] for link in links if link.startswith("#")} == ids
    raw = {unquote(link.removeprefix("raw/")) for link in links if not link.startswith("#")}
    assert raw == {f"{found['id']}.json" for found in suite}


def test_every_picture_has_its_table_its_raw_file_and_its_command(
    root: ET.Element, suite: list[Json]
) -> None:
    commands = {shlex.join(found["command"]) for found in suite}
    figures = list(root.iter("figure"))
    assert len(figures) > 40
    for figure in figures:
        assert list(figure.iter("svg"))
        assert list(figure.iter("table"))
        origins = elements(figure, "p", "origin")
        assert origins
        for origin in origins:
            assert (origin[0].get("href") or "").startswith("raw/")
            assert texts(next(origin.iter("code"))) in commands


def test_drawings_speak_to_those_who_do_not_see_them(root: ET.Element) -> None:
    for drawing in root.iter("svg"):
        assert drawing.get("aria-hidden") == "true" or (
            drawing.get("role") == "img" and drawing.get("aria-label")
        )


def test_at_a_glance_are_the_comparisons_of_the_main_target(root: ET.Element) -> None:
    (glance,) = (one for one in root.iter("section") if [texts(h) for h in one.iter("h2")] == ["At a glance"])
    assert [texts(one) for one in glance.iter("h3")] == ["app: transports against sse", "app against floor"]


def test_limits_come_before_findings(root: ET.Element) -> None:
    assert [texts(one) for one in root.iter("h2")][:2] == ["What this does not say", "What was found"]


def test_the_page_is_made_for_phones_and_for_both_schemes(whole: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1" />' in whole
    assert "prefers-color-scheme: dark" in whole
    assert "@media print" in whole


def test_void_and_lossy_runs_are_struck_through_with_the_reason() -> None:
    found = documents.lossy(
        documents.voided(documents.document("storm", pairs=2), 0, message="a noisy hour"), 1
    )
    root = parsed(rendered(found))
    rows = [row for body in root.iter("tbody") for row in body]
    struck = [(row, reason) for row, reason in pairwise(rows) if row.get("class") == "void"]
    assert struck
    for row, reason in struck:
        assert reason.get("class") == "reason"
        assert texts(reason).strip() in (
            "left out: void: a noisy hour",
            "left out: loss: 12 lost, 0 doubled, 0 disordered of 170000",
        )
        assert all([child.tag for child in cell] == ["s"] for cell in row)
    assert "2 of 8 runs are void or lossy" in texts(root)


def test_a_void_result_answers_nothing_but_is_there() -> None:
    found = documents.voided(documents.document("fanout", pairs=2))
    text = texts(parsed(rendered(found)))
    assert "not answered, every pair is void or lossy" in text
    assert "others used 50% of the server core" in text
    assert not re.search(r"app cable costs", text)


def test_many_doubtful_results_are_counted_and_not_listed() -> None:
    found = [documents.document("storm", pairs=1, minute=at) for at in range(10, 14)]
    limits = texts(elements(parsed(rendered(*found)), "section", "limits")[0])
    assert "Measured once, so without an interval: all 4 results." in limits


def test_an_incomplete_result_says_so_first() -> None:
    root = parsed(rendered(documents.incomplete(documents.document("drain", pairs=3))))
    assert "is incomplete: interrupted" in texts(elements(root, "section", "limits")[0])


def test_noise_a_dirty_tree_other_machines_and_single_runs_are_told_first() -> None:
    noisy = documents.document("fanout", pairs=1)
    noisy["noise"]["after"] = {**noisy["noise"]["after"], "verdict": "noisy", "reasons": ["spin loop varied"]}
    noisy["environment"]["git"]["dirty"] = True
    other = documents.document("storm", pairs=2)
    other["environment"]["cpu_model"] = "Another"
    other["cores"] = {"server": None, "client": None}
    root = parsed(rendered(noisy, other))
    limits = texts(elements(root, "section", "limits")[0])
    assert "The machine was noisy after it: spin loop varied." in texts(root)
    for words in (
        "Measured once, so without an interval: fanout",
        "The machine was noisy before or after fanout",
        "2 different machines",
        "changes that were not committed: fanout",
        "without a core for the server alone",
        "Not measured in these files: burst, soak, idle, reconnect, slow, outage, drain and publish",
    ):
        assert words in limits.replace("\xa0", " ")


def test_a_document_of_another_version_is_named_and_not_drawn() -> None:
    old = {"schema_version": 1, "id": "old", "runs": []}
    text = texts(parsed(page.render([(Path("old.json"), old), *named(documents.document("storm", pairs=1))])))
    assert "old.json is not drawn: old.json is a result of version 1" in text.replace(
        "\N{NON-BREAKING HYPHEN}", "-"
    )
    assert "storm: 4,000 clients" in text


def test_without_results_there_is_still_a_page() -> None:
    assert "measure something first" in texts(parsed(page.render([])))


@pytest.mark.parametrize("scenario", ["fanout", "idle", "slow"])
def test_nothing_can_be_injected(scenario: str) -> None:
    evil = documents.HOSTILE
    found = documents.document(scenario, label=evil, pairs=2, targets=[evil, "floor"])
    found["command"] = ["python", evil]
    found["stopped_by"] = evil
    found["plan"] = {evil: evil}
    found["environment"]["cpu_model"] = evil
    found["runs"][0]["figures"][evil] = 1.0
    found = documents.voided(found, 1, message=evil)
    root = parsed(rendered(found))
    assert not list(root.iter("script"))
    assert not [name for one in root.iter() for name in one.attrib if name.startswith("on")]
    assert "<script>alert(1)</script>" in texts(root)
    assert "\u202e" not in texts(root)


def test_the_ratio_on_the_page_is_the_one_of_the_statistics() -> None:
    found = documents.document("fanout", pairs=7)
    sides = [
        [
            next(
                run["figures"]["p99_ms"] for run in found["runs"] if (run["row"], run["pair"]) == (row, pair)
            )
            for pair in range(7)
        ]
        for row in ("app cable", "app sse")
    ]
    ratio = stats.paired_ratio(*sides)
    assert ratio.low is not None and ratio.high is not None
    bounds = f"{number(ratio.low)}\N{EN DASH}{number(ratio.high)}"
    rows = [[texts(cell) for cell in row] for row in parsed(rendered(found)).iter("tr")]
    mine = [row for row in rows if row[:2] == ["latency p99", "app cable / app sse"]]
    assert len(mine) == 2  # at a glance, and with the result
    assert all(row[2:4] == [f"{number(ratio.value)} \N{MULTIPLICATION SIGN}", bounds] for row in mine)


def test_writing_copies_the_raw_files_as_they_are(tmp_path: Path) -> None:
    made = documents.files([documents.document("storm", pairs=1)], tmp_path / "one")
    twin = documents.files([documents.document("storm", pairs=1, seed=7)], tmp_path / "two")
    clash = (tmp_path / "two" / made[0][0].name, twin[0][1])
    clash[0].write_text(json.dumps(clash[1], indent=2))
    assert clash[1]["id"] < made[0][1]["id"]
    index = page.write([*made, clash], tmp_path / "site")
    assert index == tmp_path / "site" / "index.html"
    assert index.read_text(encoding="utf-8") == page.render([*made, clash])
    copies = sorted((tmp_path / "site" / "raw").iterdir())
    assert [copy.name for copy in copies] == [f"{made[0][0].stem}-2.json", made[0][0].name]
    assert copies[0].read_bytes() == made[0][0].read_bytes()
    assert copies[1].read_bytes() == clash[0].read_bytes()
    assert page.render([clash, *made]) == page.render([*made, clash])


def test_writing_twice_gives_the_same_site(tmp_path: Path) -> None:
    made = documents.files([documents.document("storm", pairs=1)], tmp_path / "results")
    first = page.write(made, tmp_path / "site").read_bytes()
    assert page.write(made, tmp_path / "site").read_bytes() == first


def test_a_site_can_be_made_from_its_own_raw_files(tmp_path: Path) -> None:
    made = documents.files([documents.document("storm", pairs=1)], tmp_path / "results")
    index = page.write(made, tmp_path / "site")
    raw = [(path, json.loads(path.read_text())) for path in sorted((tmp_path / "site" / "raw").iterdir())]
    first = index.read_bytes()
    assert page.write(raw, tmp_path / "site").read_bytes() == first


@pytest.mark.parametrize("factor", [1e9, 1e-9, 0, -1])
def test_huge_tiny_and_negative_values_are_drawn_too(factor: float) -> None:
    some = (documents.document(scenario, pairs=2) for scenario in ("fanout", "idle", "slow", "publish"))
    root = parsed(rendered(*(documents.scaled(one, factor) for one in some)))
    numbers = [
        value for one in root.iter() for name, value in one.attrib.items() if name in ("x", "y", "cx", "x1")
    ]
    assert numbers
    assert all(abs(float(value)) < 10_000 for value in numbers)
