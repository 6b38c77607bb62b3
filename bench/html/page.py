"""The page: limits first, then answers in sentences, then the pictures. A pure function of result documents.

One file without scripts. The style is inline under its own hash, so that a browser runs nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import result as results_
from bench import wording
from bench.errors import Environment
from bench.html import glance, limits, looks, section, words
from bench.html.markup import Markup, tag
from bench.html.picture import Source
from bench.html.questions import QUESTIONS, Question, answer
from bench.result import Result

STYLES = tuple(map(Path(__file__).with_name, ("drawing.css", "style.css")))
TITLE = "SSE or Action Cable? What was measured"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M2 13 6 8l3 2 5-7' fill='none' stroke='%230072b2' stroke-width='2'/%3E%3C/svg%3E"
)
MOST_SENTENCES = 6  # of one result to one question; the others are folded
Document = tuple[Path, Mapping[str, Any]]


def write(documents: Sequence[tuple[Path, dict[str, Any]]], site: Path) -> Path:
    """Write `site/index.html` and a raw copy of each document's file under `site/raw/`; answers the index's path.

    Documents of another schema version are named on the page and not drawn. Raises OSError for a file that cannot be
    read or written.
    """
    raw = site / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, path, _ in _named(documents):
        (raw / name).write_bytes(path.read_bytes())
    index = site / "index.html"
    index.write_text(render(documents), encoding="utf-8")
    return index


def _named(documents: Sequence[Document]) -> list[tuple[str, Path, Mapping[str, Any]]]:
    """A name for the raw copy of each document: its file's own, with a number when another one has it too."""
    named: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for path, found in sorted(documents, key=lambda one: (one[0].name, str(one[1].get("id")))):
        name, number = path.name, 1
        while name in named:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        named[name] = path, found
    return [(name, *one) for name, one in named.items()]


def render(documents: Sequence[Document]) -> str:
    """The page as text. The same documents give the same bytes, in whatever order they come."""
    sources, unread = _read(documents)
    sources.sort(key=_rank)
    style = Markup("\n".join(path.read_text(encoding="utf-8") for path in STYLES))
    head = (
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", TITLE),
        tag("link", rel="icon", href=ICON),
        tag("style", style),
    )
    return "<!DOCTYPE html>\n" + tag(
        "html", tag("head", *head), tag("body", *_body(sources, unread)), lang="en"
    )


def _read(documents: Sequence[Document]) -> tuple[list[Source], list[tuple[str, str]]]:
    """The documents that can be drawn, and why the others cannot."""
    sources, unread = [], []
    for name, _, found in _named(documents):
        try:
            results_.check(dict(found), name)
        except Environment as error:
            unread.append((name, str(error)))
        else:
            sources.append(Source(name, Result.from_json(found)))
    return sources, unread


def _rank(source: Source) -> tuple[int, str, str]:
    """Scenarios in the order of their questions, then by time."""
    order = list(glance.HEADLINES)
    scenario = source.result.scenario
    place = order.index(scenario) if scenario in order else len(order)
    return place, source.result.created_at, source.name


def _policy(style: str) -> str:
    """Nothing may be loaded and nothing may run; this one style may be applied (CSP Level 3, section 6.7.3)."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self' data:; base-uri 'none'; form-action 'none'"


def _body(sources: list[Source], unread: list[tuple[str, str]]) -> Iterator[Markup]:
    measured = [source.result for source in sources]
    legend = looks.legend(measured)
    yield tag("header", tag("h1", TITLE), tag("p", _scope(measured)))
    yield tag(
        "main",
        tag("section", tag("h2", "What this does not say"), limits.shown(measured, unread), class_="limits"),
        tag("section", tag("h2", "What was found"), *_answers(sources), class_="answers"),
        tag("section", tag("h2", "At a glance"), glance.strips(sources, legend)),
        tag("nav", tag("h2", "The results"), tag("ul", section.contents(sources))),
        *(section.shown(source, legend, section.anchor(at)) for at, source in enumerate(sources)),
    )
    yield tag(
        "footer", tag("p", "Made from the raw files alone; they are beside this page, in the folder raw.")
    )


def _scope(measured: Sequence[Result]) -> str:
    if not measured:
        return "There are no results: measure something first, for example with python -m bench quick."
    days = sorted(result.created_at[:10] for result in measured)
    span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    runs = sum(len(result.runs) for result in measured)
    targets = dict.fromkeys(row["target"] for result in measured for row in result.rows)
    made = f"{wording.plural(len(measured), 'result')} with {wording.plural(runs, 'run')}"
    return f"{made} of {words.listed(list(targets))}, {span}."


def _answers(sources: Sequence[Source]) -> Iterator[Markup]:
    for question in QUESTIONS:
        parts = [part for at, source in enumerate(sources) if (part := _answer(question, at, source))]
        if parts:
            yield tag("article", tag("h3", question.text), *parts)


def _answer(question: Question, at: int, source: Source) -> Markup | None:
    """What a result says, under its name as a link; what it says of other servers is folded."""
    found = answer(question, source.result)
    if found is None:
        return None
    link = tag("a", words.title(source.result), href=f"#{section.anchor(at)}")
    first, more = found.own[:MOST_SENTENCES], found.own[MOST_SENTENCES:] + found.others
    folded = tag("details", tag("summary", f"{len(more)} more, about other rows"), _sentences(more))
    return tag("div", tag("p", link, class_="from"), _sentences(first), folded if more else "")


def _sentences(lines: Sequence[str]) -> Markup:
    return tag("ul", *(tag("li", words.tied(line)) for line in lines)) if lines else Markup("")
