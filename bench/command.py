"""What the commands of `python -m bench` do, apart from their options."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bench import matrix, output, preflight, reading, result, text
from bench.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, Environment, Unheard
from bench.live import NOBODY, Live
from bench.matrix import Measure
from bench.output import tell
from bench.result import Result, Run
from bench.result_file import check_folder
from bench.scenarios import SCENARIOS, Scenario
from bench.scenarios import plan as plans
from bench.scenarios.plan import Bounds
from bench.session import Options, Session, exit_code
from bench.suite import Cell


class Number(click.ParamType[Any]):
    """What a field of a plan takes: `20`; where it takes several also `10,20,40` or `5..80`."""

    def __init__(self, kind: Any, allowed: Bounds) -> None:
        self._allowed = allowed
        self._several = kind in (tuple[float, ...], tuple[int, ...])
        self._whole = kind in (int, tuple[int, ...])
        self.name = "numbers" if self._several else "integer" if self._whole else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A number, or a tuple of them."""
        if not isinstance(value, str):
            return value
        if self._several:
            found = self._numbers(value, param, ctx)
        else:
            one: click.ParamType[Any] = click.INT if self._whole else click.FLOAT
            found = (one.convert(value, param, ctx),)
        for number in found:
            if not self._allowed.allow(number):
                self.fail(f"{number:g} is not in the range: say {self._allowed}", param, ctx)
        return found if self._several else found[0]

    def _numbers(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        try:
            return plans.numbers(value, self._whole)
        except ValueError as error:
            self.fail(f"{error}; each {self._allowed}", param, ctx)


def kind_of(wanted: Any, allowed: Bounds) -> Any:
    """The click type of a plan's field."""
    if allowed.words:
        return click.Choice(allowed.words)
    return wanted if wanted in (bool, str) else Number(wanted, allowed)


@contextmanager
def as_usage(where: str = "") -> Iterator[None]:
    """What is wrong with words of the command line is a usage error."""
    try:
        yield
    except Environment as error:
        raise click.UsageError(f"{where}{error}") from None


def cells(targets: str, transports: str) -> list[Cell]:
    """`app,floor` and `sse,cable` as rows; what has no row is said. Raises Environment."""
    found, absent = preflight.cells(targets, transports)
    for words in absent:
        tell(words)
    return found


def measure(
    scenario: Scenario, plan: Any, rows: Sequence[Cell], options: Options, *, as_json: bool = False
) -> Result:
    """Measure, with a view on a terminal, and print what came out: tables, or a JSON object for each run as it comes
    and the whole document last."""
    watched = sys.stderr.isatty() and not as_json
    printer = Lines() if as_json else None
    with Live.shown() if watched else NOBODY as live:
        session = Session(
            *(scenario, plan, rows, options),
            live=live,
            tell=live.say if watched else tell,
            on_run=printer.run if printer is not None else lambda run: None,
        )
        made = session.perform()
    if session.kept.path is not None:
        tell(f"raw data in {session.kept.path}")
    if printer is not None:
        printer.end(made)
    else:
        reading.show(text.summary(scenario, made))
    return made


class Lines:
    """JSON lines on stdout. When nobody reads them the measurement goes on, for its file, and `end` says so."""

    def __init__(self) -> None:
        self._unheard: Unheard | None = None

    def run(self, run: Run) -> None:
        """One run."""
        self._say(run.to_json())

    def end(self, made: Result) -> None:
        """The document. Raises Unheard when a line could not be written."""
        self._say(made.to_json())
        if self._unheard is not None:
            raise self._unheard

    def _say(self, found: dict[str, Any]) -> None:
        if self._unheard is not None:
            return
        try:
            output.say(json.dumps(found))
        except Unheard as error:
            self._unheard = error


def end(made: Result) -> None:
    """End the process with the verdict's code."""
    sys.exit(exit_code(made))


# ---- measuring again, or on


def suite(file: Path, out: Path, *, resume: bool, only: Collection[str] | None) -> int:
    """Every entry of a suite file. What is finished already is left alone with `resume`; the worst exit code. Mistakes
    in the file, and results in `out` that would be written over, are found before anything is measured."""
    entries = matrix.chosen(matrix.read(file), only, file)
    rows = {}
    for one in entries:
        try:
            rows[one.id] = cells(one.targets, one.transports)
        except Environment as error:
            raise Environment(f"{file}, {one.id}: {error}") from None
    check_folder(out)
    there = [] if resume else [one.id for one in entries if (out / f"{one.id}.json").exists()]
    if there:
        raise Environment(
            f"{out} has results of {', '.join(there)} already: go on with --resume, or name another --out"
        )
    codes: list[int] = []
    for number, one in enumerate(entries, 1):
        tell(f"[{number}/{len(entries)}] {one.id}: {one.scenario.says}")
        codes.append(_entry(one, rows[one.id], out, resume))
        if codes[-1] == EXIT_INTERRUPTED:
            break
    return max(codes)


def _entry(one: Measure, rows: Sequence[Cell], out: Path, resume: bool) -> int:
    """Its exit code. What cannot be measured here does not keep the others from being measured."""
    options = Options(one.pairs, one.seed, out, label=one.label, id=one.id, resume=resume)
    try:
        return exit_code(measure(one.scenario, one.plan, rows, options))
    except Environment as error:
        tell(f"cannot measure: {error}")
        return EXIT_ENVIRONMENT


def resumed(path: Path) -> Result:
    """Go on with an interrupted result, in its place."""
    left = result.read(path)
    if path.name != f"{left.id}.json":
        raise Environment(
            f"{path} holds the result {left.id}: give it the name {left.id}.json to go on with it"
        )
    options = Options(
        left.pairs, left.seed, path.parent, label=left.label, id=left.id, resume=True, command=left.command
    )
    return again(left, options)


def again(found: Result, options: Options) -> Result:
    """The same scenario, plan and rows."""
    scenario = SCENARIOS[found.scenario]
    rows = [_row(row.get("file") or row["target"], row["transport"]) for row in found.rows]
    if not rows:
        raise Environment(f"{found.id} has no rows: there is nothing to measure")
    return measure(scenario, plans.of(scenario.plan, found.plan), rows, options)


def _row(name: str, transport: str) -> Cell:
    """A row of a result. Raises Environment when its target is not here, or does not speak its transport any more."""
    one = preflight.named(name)
    one.speaking(transport)
    return Cell(one, transport)


def reproduced(path: Path, out: Path, pairs: int | None) -> Result:
    """Measure again with the same seed, and print how the two compare."""
    before = result.read(path)
    after = again(before, Options(pairs or before.pairs, before.seed, out, label=before.label))
    reading.show(reading.delta(before, after))
    return after
