"""Numbers in our documents: each is a claim, and says what its result file says.

A measured number stands between `<!--claim ID-->` and `<!--/claim-->` and is written there by `python -m bench claims
--write`; behind `<!--claim ID interval-->` stands its 95 % interval, behind `<!--claim ID verdict-->` what became of
it, behind `commit`, `date` and `machine` in the same place what its result file says of its origin. Between
`<!--measured-->` and `<!--/measured-->` no other number with a unit may stand, but for tables (see pictures.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import claims
from bench.claims import RESULTS, Claim
from bench.errors import Environment

ROOT = Path(__file__).parent.parent
REMEDY = "run `python -m bench claims --write`"
ORIGINS = claims.Origin._fields
ASPECTS = "|".join(("interval", "verdict", *ORIGINS))
MARK = re.compile(rf"<!--claim ([a-z0-9-]+(?: (?:{ASPECTS}))?)-->(.*?)<!--/claim-->", re.DOTALL)
TABLE = re.compile(r"<!--table [a-z-]+-->.*?<!--/table-->", re.DOTALL)
SECTION = re.compile(r"<!--measured-->(.*?)<!--/measured-->", re.DOTALL)
UNITS = r"us|\u00b5s|ms|KB|KiB|MB|MiB|%|x|times|/s|per second|a second"
CONSTANTS = {"95 %", "100 %"}  # of intervals, of all
LOOSE = re.compile(rf"(?<![\w.-])\d[\d,]*(?:\.\d+)?\s?(?:{UNITS})(?![\w/])")


def written(text: str, results: Path = RESULTS) -> str:
    """A document with every marked number as the result files have it. Raises Environment for an unknown claim."""

    def value(match: re.Match[str]) -> str:
        return f"<!--claim {match[1]}-->{_number(match[1], results)}<!--/claim-->"

    return MARK.sub(value, text)


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
    return claims.interval(by_id[name], measured) if wanted else claims.shown(by_id[name], measured)


def faults(name: str, text: str, results: Path = RESULTS) -> Iterator[str]:
    """What is wrong with a document: numbers that its result does not have, measured numbers that are no claim."""
    for match in MARK.finditer(text):
        wanted = _number(match[1], results)
        if match[2] != wanted:
            yield f"{name}: claim {match[1]} says {match[2]!r}, its result {wanted!r}: {REMEDY}"
    yield from _cut_paragraphs(name, text)
    for section in SECTION.finditer(text):
        for loose in LOOSE.finditer(_bare(section[1])):
            if loose[0] in CONSTANTS:
                continue
            yield f"{name}: {loose[0]!r} is measured, but bound to no result: make it a claim"


def _cut_paragraphs(name: str, text: str) -> Iterator[str]:
    """A comment that begins a line begins an HTML block (CommonMark, section 4.6), in the middle of a paragraph too."""
    lines = ["", *text.splitlines(), ""]
    for number, (before, line, behind) in enumerate(zip(lines, lines[1:], lines[2:], strict=False), 1):
        if line.lstrip().startswith("<!--claim") and (before.strip() or behind.strip()):
            yield f"{name}: line {number} begins with a claim, which cuts its paragraph: put a word in front of it"


def _bare(text: str) -> str:
    """Without the claims, the tables, and what is code (commands and their parameters)."""
    for bound in (MARK, TABLE):
        text = bound.sub("", text)
    return re.sub(r"`[^`]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def documents() -> list[Path]:
    """The documents that may quote results."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
