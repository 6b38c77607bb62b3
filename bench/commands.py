"""What all commands share: check the machine, make and tell the runs, write the result, choose the exit code."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from bench import environment, report, result, target, validity
from bench.cores import Cores, choose
from bench.errors import EXIT_ENVIRONMENT, BenchError
from bench.run import Run
from bench.suite import Cell, Step, order, runs

EXIT_INTERRUPTED = 130


def tell(text: str) -> None:
    """Progress goes to stderr, results to stdout."""
    click.echo(text, err=True)


def cells(targets: str, transports: str) -> list[Cell]:
    """`app,floor` and `sse,cable` as rows; raises a usage error for names that do not exist."""
    try:
        chosen = [target.by_name(name) for name in targets.split(",")]
    except KeyError as error:
        raise click.UsageError(str(error.args[0])) from None
    for name in transports.split(","):
        if name not in target.TRANSPORTS:
            raise click.UsageError(f"no transport {name!r}; there are {', '.join(target.TRANSPORTS)}")
    return [Cell(one, name) for name in transports.split(",") for one in chosen]


class Session:
    """One command: its seed, its cores, its runs so far."""

    def __init__(self, scenario: str, seed: int | None, out: Path) -> None:
        self.scenario = scenario
        self.seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
        self.out = out
        self.cores: Cores = choose()
        self.made: list[Run] = []
        self.started = time.monotonic()
        tell(f"seed {self.seed}, server on core {self.cores.server}, load on core {self.cores.client}")

    def add(self, run_: Run) -> Run:
        """Keep a run."""
        self.made.append(run_)
        return run_

    def finish(self, lines: Sequence[str], **more: Any) -> int:
        """Print the tables and the doubts, write the file, answer the exit code."""
        flags = [flag for run_ in self.made for flag in run_.flags]
        found = result.document(self.scenario, self.cores, self.seed, self.made, **more)
        for text in (*lines, *report.flags(self.made)):
            click.echo(text)
        path = result.write(found, self.out)
        click.echo(f"{found['verdict']} in {time.monotonic() - self.started:.0f} s, raw data in {path}")
        return validity.exit_code(flags)


@contextmanager
def session(scenario: str, seed: int | None, out: Path, clients: int) -> Iterator[Session]:
    """Ends the process with the right code; on Ctrl-C or SIGTERM what was measured is written all the same."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        environment.check(clients)
        current = Session(scenario, seed, out)
    except BenchError as error:
        tell(f"cannot measure: {error}")
        raise SystemExit(EXIT_ENVIRONMENT) from None
    try:
        yield current
    except BenchError as error:
        tell(f"cannot measure: {error}")
        _keep(current, str(error))
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        tell("interrupted")
        _keep(current, "interrupted")
        raise SystemExit(EXIT_INTERRUPTED) from None


def _keep(current: Session, why: str) -> None:
    """A command that was cut short is never "ok", however clean its runs were."""
    if current.made:
        current.finish([], verdict="incomplete", stopped_by=why)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def compare(
    current: Session,
    rows: Sequence[Cell],
    one: Callable[[Step], Run],
    line: Callable[[Run], str],
    *,
    pairs: int = 1,
    within: float | None = None,
) -> list[str]:
    """Make one kind of run on every row, interleaved; tells and answers a line for each."""
    steps = order(rows, pairs, current.seed)
    total = sum(map(len, steps))
    lines: list[str] = []
    for run in runs(steps, one, within):
        current.add(run)
        lines.append(line(run))
        doubts = "".join(f"  {flag.severity}: {flag.message}" for flag in run.flags)
        tell(f"[{len(lines)}/{total}] {lines[-1]}{doubts}")
    if len(lines) < total:
        tell(f"stopped after {len(lines)} runs: another pair would not have ended within {within:.0f} s")
    return lines


def leave(code: int) -> None:
    """End the process."""
    sys.exit(code)
