"""`python -m bench`: the commands. Exit codes: 0 ok, 1 loss or a demand not met, 2 void, 3 environment."""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":  # Ctrl-C while the rest is imported: nothing has begun yet, so just end
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import command, matrix, output, reading
from bench.command import as_usage
from bench.errors import EXIT_INTERRUPTED, BenchError, Unheard
from bench.scenarios import ALL, SCENARIOS, Scenario
from bench.scenarios import plan as plans
from bench.scenarios.plan import Bounds
from bench.session import Options, random_seed

QUICK = {"clients": 1000, "rates": (20.0,), "seconds": 3.0, "warmup": 0.5}
PAIRS = click.IntRange(1, matrix.MOST_PAIRS)
SEED = click.IntRange(0, matrix.MOST_SEED)
WITHIN = Bounds(1.0, 86_400.0)


class Commands(click.Group):
    """Turns what the bench raises on purpose into its sentence and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BenchError as error:
            if str(error):
                prefix = "" if isinstance(error, Unheard) else "cannot measure: "
                output.tell(f"{prefix}{error}")
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            output.tell("interrupted")
            ctx.exit(EXIT_INTERRUPTED)


def program() -> None:
    """The process: `main`, on any terminal, pipe or full disk."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output.prepare()
    try:
        main()
    except OSError as error:  # of what click writes by itself, the help above all
        told = output.unheard(error)
        output.tell(str(told))
        sys.exit(told.exit_code)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C more must not change the exit status


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measured answers to "SSE or WebSocket?". Start with: python -m bench doctor && python -m bench quick"""


def _label(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else matrix.label(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _joined(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> str:
    """A list option may be said with commas, or again and again."""
    return ",".join(values)


def shared(made: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that measures."""
    for option in (
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            help="On stdout a JSON object a line: each run, and the document last.",
        ),
        click.option("--label", default=None, callback=_label, help="What this is, for the report."),
        click.option(
            "--out", type=click.Path(path_type=Path), default=Path("results"), help="Where results go."
        ),
        click.option(
            "--seed", type=SEED, default=None, help="Order of the runs; random and printed by default."
        ),
        click.option("--pairs", type=PAIRS, default=None, help="Times that every row is run."),
        click.option(
            "--transport",
            multiple=True,
            callback=_joined,
            default=["sse,cable"],
            show_default=True,
            help="Of sse, cable, cable+ext, cable+deflate.",
        ),
        click.option(
            "--target",
            "targets",
            multiple=True,
            callback=_joined,
            default=["app,floor"],
            show_default=True,
            help="Names (see `bench targets`) or TOML files.",
        ),
    ):
        made = option(made)
    return made


@main.command()
@click.option(
    "--within",
    type=command.Number(float, WITHIN),
    default=70.0,
    show_default=True,
    help=f"Seconds ({WITHIN}); no pair but the first is begun that would end later.",
)
@shared
def quick(within: float, pairs: int | None, **options: Any) -> None:
    """About a minute: CPU, memory and latency of both transports against the floor, with error bars.

    \b
    Example: python -m bench quick --out results/
    """
    scenario = SCENARIOS["fanout"]
    _perform(scenario, plans.of(scenario.plan, QUICK), pairs=pairs or 3, within=within, **options)


@main.group()
def run() -> None:
    """Measure one scenario. `python -m bench run fanout --help` says what can be set."""


def _help(says: str, allowed: Bounds) -> str:
    """The sentence of an option, with its range."""
    return f"{says} [{allowed}]" if str(allowed) and not allowed.words else says


def _offer(scenario: Scenario) -> None:
    def measure(**given: Any) -> None:
        chosen = {name: given.pop(field) for name, field in fields}
        with as_usage():
            plan = plans.of(scenario.plan, chosen)
        _perform(scenario, plan, **given)

    allowed = plans.bounds(scenario.plan)
    fields: list[tuple[str, str]] = []
    for option, field, kind, default, says in reversed(plans.options(scenario.plan)):
        fields.append((field, f"plan_{field}"))
        measure = click.option(
            option,
            f"plan_{field}",
            type=command.kind_of(kind, allowed[field]),
            default=default,
            show_default=True,
            help=_help(says, allowed[field]),
        )(measure)
    given = f"{scenario.name}{scenario.example} --transport sse,cable --pairs {scenario.pairs} --seed 42"
    example = f"python -m bench run {given}"
    run.command(scenario.name, help=f"{scenario.says.capitalize()}.\n\n\b\nExample: {example}")(
        shared(measure)
    )


for _scenario in ALL:
    _offer(_scenario)


def _perform(
    scenario: Scenario,
    plan: Any,
    *,
    targets: str,
    transport: str,
    pairs: int | None,
    seed: int | None,
    out: Path,
    label: str | None,
    as_json: bool,
    within: float | None = None,
) -> None:
    with as_usage():
        rows = command.cells(targets, transport)
    chosen = random_seed() if seed is None else seed
    options = Options(pairs or scenario.pairs, chosen, out, label=label, within=within)
    command.end(command.measure(scenario, plan, rows, options, as_json=as_json))


@run.command("suite")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("results"), help="Where results go.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted run of this suite in --out stopped.")
@click.option("--only", default=None, help="Ids of entries, with commas between; all by default.")
def suite(file: Path, out: Path, resume: bool, only: str | None) -> None:
    """Measure a whole matrix from a TOML file, a result for each entry.

    \b
    Example: python -m bench run suite bench/suites/headline.toml --out results/headline --resume
    """
    names = None if only is None else [name.strip() for name in only.split(",")]
    sys.exit(command.suite(file, out, resume=resume, only=names))


@main.command()
@click.argument("result", type=click.Path(exists=True, path_type=Path))
def resume(result: Path) -> None:
    """Go on with a result that was interrupted.

    \b
    Example: python -m bench resume results/20261124T171026Z-fanout-1a2b.json
    """
    command.end(command.resumed(result))


@main.command()
def doctor() -> None:
    """What would spoil a measurement on this machine, and what to do about it.

    \b
    Example: python -m bench doctor && python -m bench quick
    """
    sys.exit(reading.doctor())


@main.command("targets")
def targets_() -> None:
    """What can be measured here, and what is missing for the rest."""
    reading.show(reading.listing())


@main.command()
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
def compare(before: Path, after: Path) -> None:
    """Two results of the same scenario, or two folders of a suite: ratio, interval and decision for every figure,
    and for what each of the two says about its own rows against each other.

    \b
    Example: python -m bench compare before.json after.json
    """
    reading.show(reading.compared(before, after))


@main.command()
@click.argument("result", type=click.Path(exists=True, path_type=Path))
def explain(result: Path) -> None:
    """What capped each row of a result, the bill per layer, its doubts.

    \b
    Example: python -m bench explain results/20261124T171026Z-fanout-1a2b.json
    """
    reading.show(reading.explained(result))


@main.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--html", "site", type=click.Path(path_type=Path), help="Write a page into this folder.")
def report(results: tuple[Path, ...], site: Path | None) -> None:
    """Tables, or a page, from result files only.

    \b
    Example: python -m bench report results/ --html site/
    """
    reading.show(reading.reported(results, site))


@main.command()
@click.argument("result", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("results"), help="Where the new one goes."
)
@click.option("--pairs", type=PAIRS, default=None, help="As many as the old one by default.")
def reproduce(result: Path, out: Path, pairs: int | None) -> None:
    """Measure a result again on this machine, and hold the two against each other.

    \b
    Example: python -m bench reproduce bench/results/headline/fanout.json
    """
    command.end(command.reproduced(result, out, pairs))


@main.command()
@click.option("--check", is_flag=True, help="Fail when a document and its result files disagree.")
@click.option("--write", is_flag=True, help="Write the numbers of the result files into the documents.")
@click.option(
    "--against",
    type=click.Path(exists=True, path_type=Path),
    help="A folder with headline/ of another run in it: do our numbers hold there, within their tolerance?",
)
def claims(check: bool, write: bool, against: Path | None) -> None:
    """The original project's claims and our goals, line by line: confirmed, refuted, or not testable here.

    \b
    Example: python -m bench claims
    """
    if against is not None and (check or write):
        raise click.UsageError("--against holds another run against ours: leave out --check and --write")
    sys.exit(reading.claims_(check=check, write=write, against=against))


@main.command()
@click.option("--check", is_flag=True, help="Fail when a picture or a table is not what its results say.")
@click.option("--write", is_flag=True, help="Make them anew from the result files.")
def pictures(check: bool, write: bool) -> None:
    """The pictures in docs/pictures, the tables beside them in the documents, and docs/report, from result files only.

    \b
    Example: python -m bench pictures --check
    """
    if check == write:
        raise click.UsageError("say --check or --write")
    sys.exit(reading.pictures_(write=write))


@main.command()
@click.option("--check", is_flag=True, help="Fail when the calculator and the result files disagree.")
@click.option("--write", is_flag=True, help="Write what the result files say into docs/calculator.")
def coefficients(check: bool, write: bool) -> None:
    """What the break-even calculator reckons with, from the result files.

    \b
    Example: python -m bench coefficients --check
    """
    sys.exit(reading.coefficients(check=check, write=write))


if __name__ == "__main__":
    program()
