"""One result on the page: what was done, its verdict, its pictures, its doubts, its machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from bench import wording
from bench.comparison import families, main_target
from bench.html import picture, table, words
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
from bench.html.markup import Markup, joined, tag
from bench.html.picture import Picture, Source
from bench.result import Result

Maker = Callable[[Result, Legend], Picture | None]
SPECIAL: tuple[Maker, ...] = (
    percentiles.picture,
    sweep.picture,
    bill.picture,
    memory.picture,
    curve.picture,
    stuck.picture,
    outage.picture,
    timeline.picture,
)
VERDICTS = {
    "ok": "ok: every run counts, nothing was lost",
    "loss": "loss: a server lost, doubled or disordered updates",
    "void": "void: some runs mean nothing",
    "slo": "a demand was not met",
    "incomplete": "incomplete: it was cut short",
}


def shown(source: Source, legend: Legend, anchor: str) -> Markup:
    """The whole section: what matters most is open, the rest is folded."""
    result = source.result
    special = [one for make in SPECIAL if (one := make(result, legend)) is not None]
    dotted, ordered = dots.picture(result, legend), order.picture(result, legend)
    front, back = _strips(result, legend)
    front += special or [dotted]
    back += [dotted] if special else []
    return tag(
        "section",
        tag("h3", words.title(result)),
        tag("p", tag("strong", VERDICTS[result.verdict], class_=f"verdict {result.verdict}"), _when(result)),
        *(tag("p", doubt, class_="doubt") for doubt in _doubts(result)),
        *_drawn([*front, ordered], source, legend),
        _folded(list(_drawn(back, source, legend))),
        _flags(result),
        _details(result),
        id=anchor,
    )


def _drawn(pictures: Iterable[Picture | None], source: Source, legend: Legend) -> Iterator[Markup]:
    return (picture.shown(one, legend, [source]) for one in pictures if one is not None)


def _folded(pictures: Sequence[Markup]) -> Markup:
    if not pictures:
        return Markup("")
    return tag(
        "details", tag("summary", "Other servers, and every figure of every run"), *pictures, class_="more"
    )


def _when(result: Result) -> str:
    counted = sum(run.valid for run in result.runs)
    made = f"{wording.plural(result.pairs, 'pair')} of {wording.plural(len(result.rows), 'row')}"
    return (
        f" {words.moment(result.created_at)}, {made}, {counted} of {wording.plural(len(result.runs), 'run')} count,"
        f" seed {result.seed}"
    )


def _doubts(result: Result) -> Iterator[str]:
    """What speaks against the whole."""
    if result.stopped_by:
        yield f"It was stopped: {result.stopped_by}"
    for when, verdict, reasons in words.noise(result):
        yield f"The machine was {verdict} {when} it: {reasons or 'no reason was kept'}."


def _strips(result: Result, legend: Legend) -> tuple[list[Picture | None], list[Picture | None]]:
    """The main target's comparisons, and those of the others."""
    main = main_target(result)
    front = [strip.picture(result, one, legend) for one in families(result) if one.target == main]
    return front, [strip.picture(result, one, legend) for one in families(result) if one.target != main]


def _flags(result: Result) -> Markup:
    """Every reason to doubt a run, word by word."""
    lines = [
        tag("li", tag("strong", flag.severity), f" pair {run.pair}, {run.row}: {flag.message}")
        for run in result.runs
        for flag in run.flags
    ]
    if not lines:
        return tag("p", "Nothing speaks against any of these runs.")
    return tag("details", tag("summary", f"Flags ({len(lines)})"), tag("ul", *lines, class_="flags"))


def _details(result: Result) -> Markup:
    """The plan and the machine, for whoever wants to make it again."""
    facts = [
        *(("plan: " + name, _said(value)) for name, value in result.plan.items()),
        *((f"command of {row['key']}", " ".join(row["command"])) for row in result.rows),
        *(
            (f"environment of {row['key']}", _said(row["environment"]))
            for row in result.rows
            if row["environment"]
        ),
        *((name, _said(value)) for name, value in result.environment.items()),
        *((f"noise {when}", _said(noise)) for when, noise in result.noise.items() if noise is not None),
    ]
    return tag("details", tag("summary", "Plan, commands and machine"), table.facts(facts))


def _said(value: object) -> str:
    """Plain text of what a document holds: `name value` pairs, lists with commas."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(inner) for inner in value) or words.DASH
    return value if isinstance(value, str) else json.dumps(value)


def contents(sources: Sequence[Source]) -> Markup:
    """Links to all sections."""
    return joined(
        tag("li", tag("a", words.title(source.result), href=f"#{anchor(at)}"))
        for at, source in enumerate(sources)
    )


def anchor(at: int) -> str:
    """The name of the section of the result at that place."""
    return f"result-{at + 1}"
