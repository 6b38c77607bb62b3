"""The pictures in our documents and the tables beside them: each is made from result files, and from nothing else.

A picture is two files in docs/pictures, one for a wide column and one for a phone. Its table stands in a document
between `<!--table NAME-->` and `<!--/table-->`. docs/report is the report of the quoted headline. `python -m bench
pictures --write` makes all of these, `--check` tells which are not what their results say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench import claims, quotes, result, tables
from bench.errors import Environment
from bench.html import looks, page, svg_file
from bench.html.charts import bill, memory, outage, percentiles, strip, sweep
from bench.html.looks import Legend
from bench.html.picture import SIZES, Picture
from bench.html.table import Table
from bench.result import Result

FOLDER = quotes.ROOT / "docs" / "pictures"
REPORT, REPORTED = quotes.ROOT / "docs" / "report", "headline"
REMEDY = "run `python -m bench pictures --write`"
MARK = re.compile(r"<!--table ([a-z-]+)-->\n(.*?)<!--/table-->", re.DOTALL)
Maker = Callable[[Result, Legend], Picture | None]


class Drawn(NamedTuple):
    """A picture of our documents: the name of its files and its table, the results that both are made from. Without a
    `table` it is that of the report's picture."""

    name: str
    results: tuple[str, ...]
    picture: Callable[[Sequence[Result], Legend], Picture | None]
    table: Callable[[Sequence[Result]], Table] | None = None


def _verdict(results: Sequence[Result], legend: Legend) -> Picture:
    """Cable against SSE, in all situations in one strip."""
    lanes = [strip.lane([one], found.label or found.scenario) for found, one in tables.transports(results)]
    return strip.of("Cable against SSE", "SSE", lanes, legend)._replace(rows=())


def _of_one(make: Maker, *, named: bool = False) -> Callable[[Sequence[Result], Legend], Picture | None]:
    """A picture of the report. `named`: it says beside its marks what they are, so a legend would repeat it."""

    def picture(results: Sequence[Result], legend: Legend) -> Picture | None:
        (found,) = results
        made = make(found, legend)
        return made._replace(rows=()) if made is not None and named else made

    return picture


ALL = (
    Drawn(
        "verdict",
        ("headline/fanout.json", "headline/burst.json", "headline/idle.json", "headline/storm.json"),
        _verdict,
        tables.verdict,
    ),
    Drawn("latency", ("headline/fanout.json",), _of_one(percentiles.picture)),
    Drawn("rate", ("headline/sweep.json",), _of_one(sweep.picture, named=True), tables.sweep),
    Drawn("memory", ("headline/idle.json",), _of_one(memory.picture, named=True), tables.memory),
    Drawn("redis-outage", ("redis/outage.json",), _of_one(outage.picture), tables.outage),
    Drawn("bill", ("peers/fanout.json",), _of_one(bill.picture, named=True), tables.bill),
)


def files(results: Path = claims.RESULTS) -> dict[str, str]:
    """All picture files by name. The same results give the same bytes. Raises Environment for results that do not
    hold what a picture shows."""
    made: dict[str, str] = {}
    for drawn in ALL:
        picture, legend = _picture(drawn, results)
        for width, size in SIZES:
            made[f"{drawn.name}-{size}.svg"] = svg_file.render(picture, width, legend)
    return made


@cache
def _picture(drawn: Drawn, results: Path) -> tuple[Picture, Legend]:
    found = _results(drawn, results)
    legend = looks.legend(found)
    picture = drawn.picture(found, legend)
    if picture is None:
        raise Environment(f"{', '.join(drawn.results)}: nothing to draw for the picture {drawn.name!r}")
    return picture, legend


@cache
def _results(drawn: Drawn, results: Path) -> tuple[Result, ...]:
    return tuple(result.read(results / name) for name in drawn.results)


def written(text: str, results: Path = claims.RESULTS) -> str:
    """A document with its tables as the results have them. Raises Environment for a table that is none of ours."""
    return MARK.sub(lambda match: f"<!--table {match[1]}-->\n{_table(match[1], results)}<!--/table-->", text)


def _table(name: str, results: Path) -> str:
    for drawn in ALL:
        if drawn.name == name:
            own = drawn.table(_results(drawn, results)) if drawn.table else _picture(drawn, results)[0].table
            return tables.markdown(own)
    known = ", ".join(drawn.name for drawn in ALL)
    raise Environment(f"a document shows the table {name!r}: there are {known}")


def write(folder: Path = FOLDER, results: Path = claims.RESULTS) -> None:
    """Make the files anew, without those of pictures that are no more."""
    made = files(results)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


def faults(folder: Path = FOLDER, results: Path = claims.RESULTS) -> Iterator[str]:
    """What is not byte for byte as its results make it, what is missing, and what nobody makes."""
    made = files(results)
    there = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg"))}
    for name in sorted(made.keys() | there.keys()):
        if name not in there:
            yield f"{name} is missing: {REMEDY}"
        elif name not in made:
            yield f"{name} is the picture of no result: {REMEDY}"
        elif made[name] != there[name]:
            yield f"{name} is not what its result says: {REMEDY}"


def write_report(folder: Path = REPORT, results: Path = claims.RESULTS) -> None:
    """Make docs/report anew, without what is no more in it."""
    documents = _reported(results)
    page.write(documents, folder)
    for old in (folder / "raw").iterdir():
        if old.name not in {path.name for path, _ in documents}:
            old.unlink()


def report_faults(folder: Path = REPORT, results: Path = claims.RESULTS) -> Iterator[str]:
    """What of docs/report is not byte for byte as its results make it."""
    documents = _reported(results)
    made = {"index.html": page.render(documents).encode()}
    made |= {f"raw/{path.name}": path.read_bytes() for path, _ in documents}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(made.keys() | there):
        if name not in there or name not in made or (folder / name).read_bytes() != made[name]:
            yield f"{folder.name}/{name} is not what its result says: {REMEDY}"


def _reported(results: Path) -> list[tuple[Path, result.Json]]:
    return [(path, result.read_json(path)) for path in sorted((results / REPORTED).glob("*.json"))]


def table_faults(name: str, text: str, results: Path = claims.RESULTS) -> Iterator[str]:
    """The tables of a document that are not what their results say."""
    for match in MARK.finditer(text):
        if match[2] != _table(match[1], results):
            yield f"{name}: the table {match[1]} is not what its result says: {REMEDY}"
