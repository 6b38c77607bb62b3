"""Numbers in our documents: each is a claim, and says what its result file says.

A measured number stands between `<!--claim ID-->` and `<!--/claim-->` and is written there by `python -m bench claims
--write`; behind `<!--claim ID interval-->` stands its 95 % interval, behind `<!--claim ID verdict-->` what became of
it, behind `pairs` in the same place of how many runs or pairs it is, behind `commit`, `date`, `machine` and `noise`
what its result file says of its origin; that the noise gate found the machine noisy has to be told. Counts over many
files stand between `<!--tally NAME-->` and `<!--/tally-->` (see tallies.py).

Between `<!--measured-->` and `<!--/measured-->` no other number may stand, but for tables (see pictures.py) and the
parameters of what was measured: "1,000 clients" and the like, which are in the plan of some result. README.md and
results.md are about measurements all over: in them no number with a unit may stand anywhere, unless between
`<!--stated-->` and `<!--/stated-->`, where others' numbers are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from bench import claims, tallies
from bench.claims import RESULTS, Claim
from bench.errors import Environment

ROOT = Path(__file__).parent.parent
REMEDY = "run `python -m bench claims --write`"
ORIGINS = claims.Origin._fields
ASPECTS = "|".join(("interval", "verdict", "pairs", *ORIGINS))
MARK = re.compile(rf"<!--claim ([a-z0-9-]+(?: (?:{ASPECTS}))?)-->(.*?)<!--/claim-->", re.DOTALL)
TALLY = re.compile(r"<!--tally ([a-z-]+)-->(.*?)<!--/tally-->", re.DOTALL)
TABLE = re.compile(r"<!--table [a-z-]+-->.*?<!--/table-->", re.DOTALL)
SECTION = re.compile(r"<!--measured-->(.*?)<!--/measured-->", re.DOTALL)
STATED = re.compile(r"<!--stated-->.*?<!--/stated-->", re.DOTALL)
WHOLE = {"README.md", "results.md"}
UNITS = r"us|\u00b5s|ns|ms|s|seconds|bytes|KB|KiB|MB|MiB|GB|%|x|times|/s|per second|a second"
CONSTANTS = {"95 %", "100 %"}  # of intervals, of all
LOOSE = re.compile(rf"(?<![\w.-])\d[\d,]*(?:\.\d+)?\s?(?:{UNITS})(?![\w/])")
BARE = re.compile(r"(?<![\w.,:/#-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w:/]|[.,]\d| cores)")
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
# What is no text: links, tags (their `alt` tells of a picture, whose table is bound), the number of a list's item.
ASIDE = re.compile(r"\]\([^)]*\)|<[^>]*>|^\s*\d+\. ", re.MULTILINE)


def written(text: str, results: Path = RESULTS) -> str:
    """A document with every marked number as the result files have it. Raises Environment for an unknown claim."""

    def value(match: re.Match[str]) -> str:
        return f"<!--claim {match[1]}-->{_number(match[1], results)}<!--/claim-->"

    def count(match: re.Match[str]) -> str:
        return f"<!--tally {match[1]}-->{_tally(match[1], results)}<!--/tally-->"

    return TALLY.sub(count, MARK.sub(value, text))


def _tally(name: str, results: Path) -> str:
    known = tallies.load(results)
    if name not in known:
        raise Environment(f"a document quotes the count {name!r}: there are {', '.join(known)}")
    return known[name]


def _number(mark: str, results: Path) -> str:
    by_id: Mapping[str, Claim] = {claim.id: claim for claim in claims.load()}
    name, _, wanted = mark.partition(" ")
    if name not in by_id:
        raise Environment(f"a document quotes the claim {name!r}, which claims.toml does not have")
    measured = claims.measure(by_id[name], results)
    if wanted == "verdict":
        return claims.judge(by_id[name], measured).word
    origin = claims.origin(by_id[name], results)
    if wanted in ORIGINS and origin is not None:
        return str(getattr(origin, wanted))
    if measured is None:
        raise Environment(
            f"a document quotes the claim {name!r}, but {by_id[name].result} does not measure it"
        )
    if wanted == "pairs":
        return str(measured.pairs)
    return claims.interval(by_id[name], measured) if wanted else claims.shown(by_id[name], measured)


def faults(name: str, text: str, results: Path = RESULTS) -> Iterator[str]:
    """What is wrong with a document: numbers that its result does not have, measured numbers that are no claim."""
    for match in MARK.finditer(text):
        wanted = _number(match[1], results)
        if match[2] != wanted:
            yield f"{name}: claim {match[1]} says {match[2]!r}, its result {wanted!r}: {REMEDY}"
    for match in TALLY.finditer(text):
        wanted = _tally(match[1], results)
        if match[2] != wanted:
            yield f"{name}: tally {match[1]} says {match[2]!r}, the results {wanted!r}: {REMEDY}"
    yield from _cut_paragraphs(name, text)
    yield from _unbound(name, text, results)
    yield from _silent(name, text, results)


def _unbound(name: str, text: str, results: Path) -> Iterator[str]:
    text = STATED.sub("", text)
    sections = "\n".join(section[1] for section in SECTION.finditer(text))
    for loose in LOOSE.finditer(_bare(text if name in WHOLE else sections)):
        if loose[0] not in CONSTANTS:
            yield f"{name}: {loose[0]!r} is measured, but bound to no result: make it a claim"
    for bare in BARE.finditer(LOOSE.sub("", _bare(sections))):
        if bare[0] not in _planned(results):
            yield f"{name}: {bare[0]!r} is in no result's plan, and no claim: make it one, or leave it out"


def _silent(name: str, text: str, results: Path) -> Iterator[str]:
    """A figure of a machine that was not quiet is not quoted without that."""
    by_id = {claim.id: claim for claim in claims.load()}
    marks = [match[1].partition(" ") for match in MARK.finditer(text)]
    told = {by_id[id_].result for id_, _, wanted in marks if wanted == "noise"}
    for file, claim in {by_id[id_].result: by_id[id_] for id_, *_ in marks}.items():
        origin = claims.origin(claim, results)
        if file not in told and origin is not None and "noisy" in origin.noise:
            yield f"{name}: the noise gate of {file} says {origin.noise}: quote it, by <!--claim {claim.id} noise-->"


@cache
def _planned(results: Path) -> frozenset[str]:
    """All numbers in the plans of the results, and how often their rows ran, as a document writes them."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in results.rglob("*.json")]
    values = [value for one in found for value in (one.get("pairs"), *one["plan"].values())]
    listed = [value for one in values for value in (one if isinstance(one, list) else [one])]
    return frozenset(f"{value:,.10g}" for value in listed if isinstance(value, int | float))


def _cut_paragraphs(name: str, text: str) -> Iterator[str]:
    """A comment that begins a line begins an HTML block (CommonMark, section 4.6), in the middle of a paragraph too."""
    lines = ["", *text.splitlines(), ""]
    for at, (before, line, behind) in enumerate(zip(lines, lines[1:], lines[2:], strict=False), 1):
        if line.lstrip().startswith(("<!--claim", "<!--tally")) and (before.strip() or behind.strip()):
            yield f"{name}: line {at} begins with a claim, which cuts its paragraph: put a word in front of it"


def _bare(text: str) -> str:
    """Without claims, counts and tables, what is code (commands, their parameters, others' words), links and tags."""
    for bound in (MARK, TALLY, TABLE, CODE, ASIDE):
        text = bound.sub("", text)
    return text


def documents() -> list[Path]:
    """The documents that may quote results."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
