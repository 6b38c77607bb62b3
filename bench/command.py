"""What the commands of `python -m bench` do, apart from their options."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click

from bench import matrix, reading, result, text
from bench.errors import EXIT_ENVIRONMENT, Environment
from bench.live import NOBODY, Live
from bench.matrix import Measure
from bench.result import Result
from bench.scenarios import SCENARIOS, Scenario
from bench.scenarios import plan as plans
from bench.serving import target
from bench.session import EXIT_INTERRUPTED, Options, Session, exit_code
from bench.suite import Cell

TRANSPORTS = ("sse", "cable", "cable+ext", "cable+deflate")


class Numbers(click.ParamType[tuple[float, ...]]):
    """`20`, `10,20,40` or `5..80`."""

    name = "numbers"

    def __init__(self, whole: bool) -> None:
        self._whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A tuple of numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return plans.numbers(value, self._whole)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def kind_of(wanted: Any) -> Any:
    """The click type of a plan's field."""
    if wanted == tuple[float, ...]:
        return Numbers(whole=False)
    return Numbers(whole=True) if wanted == tuple[int, ...] else wanted


def cells(targets: str, transports: str) -> list[Cell]:
    """`app,floor` and `sse,cable` as rows. Raises a usage error for names that do not exist; a target that does not
    offer a transport has no row for it, and that is said."""
    found: list[Cell] = []
    for transport in transports.split(","):
        if transport not in TRANSPORTS:
            raise click.UsageError(f"no transport {transport!r}; there are {', '.join(TRANSPORTS)}")
    for one in (_target(name) for name in targets.split(",")):
        for transport in transports.split(","):
            if transport in one.transports:
                found.append(Cell(one, transport))
            else:
                tell(f"{one.name} does not offer {transport}")
    if not found:
        raise click.UsageError("no target offers any of these transports")
    return found


def _target(name: str) -> target.Target:
    try:
        return target.by_name(name)
    except KeyError as error:
        raise click.UsageError(str(error.args[0])) from None


def tell(words: str) -> None:
    """Progress goes to stderr, results to stdout."""
    click.echo(words, err=True)


def measure(
    scenario: Scenario, plan: Any, rows: Sequence[Cell], options: Options, *, as_json: bool = False
) -> Result:
    """Measure, with a view on a terminal, and print what came out."""
    watched = sys.stderr.isatty() and not as_json
    with Live.shown() if watched else NOBODY as live:
        made = Session(scenario, plan, rows, options, live=live, tell=live.say if watched else tell).perform()
    if as_json:
        click.echo(json.dumps(made.to_json()))
    else:
        reading.show(text.summary(scenario, made))
    if made.runs:
        tell(f"raw data in {options.out / made.id}.json")
    return made


def end(made: Result) -> None:
    """End the process with the verdict's code."""
    sys.exit(exit_code(made))


# ---- measuring again, or on


def suite(file: Path, out: Path, *, resume: bool, only: Collection[str] | None) -> int:
    """Every entry of a suite file. What is finished already is left alone with `resume`; the worst exit code."""
    entries = [one for one in matrix.read(file).measures if only is None or one.id in only]
    if not entries:
        raise Environment(f"{file} has no entry of these: {', '.join(only or ())}")
    codes: list[int] = []
    for number, one in enumerate(entries, 1):
        tell(f"[{number}/{len(entries)}] {one.id}: {one.scenario.says}")
        codes.append(_entry(one, out, resume))
        if codes[-1] == EXIT_INTERRUPTED:
            break
    return max(codes)


def _entry(one: Measure, out: Path, resume: bool) -> int:
    """Its exit code. What cannot be measured here does not keep the others from being measured."""
    options = Options(one.pairs, one.seed, out, label=one.label, id=one.id, resume=resume)
    try:
        return exit_code(measure(one.scenario, one.plan, cells(one.targets, one.transports), options))
    except Environment as error:
        tell(f"cannot measure: {error}")
        return EXIT_ENVIRONMENT


def resumed(path: Path) -> Result:
    """Go on with an interrupted result, in its place."""
    left = result.read(path)
    options = Options(
        left.pairs, left.seed, path.parent, label=left.label, id=left.id, resume=True, command=left.command
    )
    return again(left, options)


def again(found: Result, options: Options) -> Result:
    """The same scenario, plan and rows."""
    scenario = SCENARIOS[found.scenario]
    rows = [Cell(_target(row["target"]), row["transport"]) for row in found.rows]
    return measure(scenario, plans.of(scenario.plan, found.plan), rows, options)


def reproduced(path: Path, out: Path, pairs: int | None) -> Result:
    """Measure again with the same seed, and print how the two compare."""
    before = result.read(path)
    after = again(before, Options(pairs or before.pairs, before.seed, out, label=before.label))
    reading.show(reading.delta(before, after))
    return after
