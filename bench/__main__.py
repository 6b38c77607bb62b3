"""`python -m bench`: the commands. Exit codes: 0 ok, 1 an update lost, doubled or disordered, 2 void, 3 environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import memory as memory_
from bench import publish as publish_
from bench import report
from bench import storm as storm_
from bench.commands import cells, compare, leave, session
from bench.run import Plan, Run, run
from bench.suite import Step

FANOUT_GOAL, BURST_GOAL, STORM_GOAL = 1.15, 0.30, 0.30


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every command has."""
    for option in (
        click.option(
            "--out", type=click.Path(path_type=Path), default=Path("results"), help="Where results go."
        ),
        click.option(
            "--seed", type=int, default=None, help="Order of the runs; random and printed by default."
        ),
        click.option("--transport", default="sse,cable", show_default=True),
        click.option("--target", "targets", default="app,floor", show_default=True),
    ):
        command = option(command)
    return command


def load(
    clients: int, rate: float, seconds: float, pairs: int
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a command that publishes on a schedule, with its defaults."""

    def options(command: Callable[..., None]) -> Callable[..., None]:
        for option in (
            click.option("--size", default=350, show_default=True, help="Bytes of JSON in an update."),
            click.option("--pairs", default=pairs, show_default=True, help="Times every row is run."),
            click.option("--seconds", default=seconds, show_default=True, help="Measured window of a run."),
            click.option("--rate", default=rate, show_default=True, help="Publishes a second."),
            click.option("--clients", default=clients, show_default=True),
        ):
            command = option(command)
        return command

    return options


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measured answers to "SSE or WebSocket?". Start with: python -m bench quick"""


@main.command()
@click.option(
    "--within", default=75.0, show_default=True, help="Seconds; no pair is begun that would end later."
)
@load(clients=1000, rate=20.0, seconds=3.0, pairs=3)
@shared
def quick(**options: Any) -> None:
    """About a minute: CPU, memory and latency of both transports against the floor.

    Example: python -m bench quick --pairs 2 --out results/
    """
    _fan_out("quick", FANOUT_GOAL, batch=1, **options)


@main.command()
@load(clients=1000, rate=20.0, seconds=10.0, pairs=3)
@shared
def fanout(**options: Any) -> None:
    """Every update to every client, at one rate.

    Example: python -m bench fanout --clients 1000 --rate 20 --seconds 10 --pairs 3 --transport sse,cable
    """
    _fan_out("fanout", FANOUT_GOAL, batch=1, **options)


@main.command()
@click.option("--batch", default=100, show_default=True, help="Updates in one NDJSON body.")
@load(clients=1000, rate=0.5, seconds=8.0, pairs=3)
@shared
def burst(**options: Any) -> None:
    """Many updates in one publish: CPU per delivery against one write per client and message.

    Example: python -m bench burst --batch 100 --target app,floor,floor-joined
    """
    _fan_out("burst", BURST_GOAL, **options)


def _fan_out(
    scenario: str,
    goal: float,
    *,
    targets: str,
    transport: str,
    seed: int | None,
    out: Path,
    pairs: int,
    within: float | None = None,
    **plan: Any,
) -> None:
    rows = cells(targets, transport)
    clients = plan["clients"]
    counts = tuple(sorted({max(1, clients // 5), max(1, clients * 3 // 5)}))
    with session(scenario, seed, out, clients) as current:
        whole = Plan(counts=counts, **plan)
        compare(
            current,
            rows,
            lambda step: run(whole, step.cell.target, step.cell.transport, current.cores, step.pair),
            report.line,
            pairs=pairs,
            within=within,
        )
        leave(current.finish([*report.overview(current.made), *report.comparisons(current.made, goal)]))


@main.command()
@click.option(
    "--counts", default="0,1000,2000,5000,10000,16000", show_default=True, help="Connections to weigh at."
)
@shared
def memory(*, targets: str, transport: str, seed: int | None, out: Path, counts: str) -> None:
    """PSS per idle connection, as a slope.

    Example: python -m bench memory --counts 0,1000,5000,16000 --target app
    """
    rows = cells(targets, transport)
    numbers = [int(count) for count in counts.split(",")]
    with session("memory", seed, out, max(numbers)) as current:

        def one(step: Step) -> Run:
            return memory_.memory(step.cell.target, step.cell.transport, numbers, current.cores)

        leave(current.finish(compare(current, rows, one, memory_.line)))


@main.command()
@click.option("--clients", default=4000, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Storms on one server, after one to warm up.")
@click.option(
    "--in-flight", default=64, show_default=True, help="Clients without their first update at a time."
)
@click.option("--pairs", default=2, show_default=True)
@shared
def storm(*, targets: str, transport: str, seed: int | None, out: Path, pairs: int, **weather: int) -> None:
    """Connects a second, each from connect to its first update.

    Example: python -m bench storm --clients 4000 --transport cable
    """
    rows = cells(targets, transport)
    with session("storm", seed, out, weather["clients"]) as current:

        def one(step: Step) -> Run:
            return storm_.storm(
                step.cell.target, step.cell.transport, storm_.Weather(**weather), current.cores, step.pair
            )

        lines = compare(current, rows, one, storm_.line, pairs=pairs)
        leave(current.finish([*lines, *report.storms(current.made, STORM_GOAL)]))


@main.command()
@click.option("--count", default=150, show_default=True, help="Lone publishes.")
@click.option("--in-flight", default=64, show_default=True, help="Publishes in flight for the rate.")
@click.option("--seconds", default=4.0, show_default=True, help="How long to publish for the rate.")
@shared
def publish(
    *, targets: str, transport: str, seed: int | None, out: Path, count: int, in_flight: int, seconds: float
) -> None:
    """Publish to delivery against a measured fsync, and durable publishes a second through HTTP.

    Example: python -m bench publish --target app --in-flight 64
    """
    rows = cells(targets, transport)
    with session("publish", seed, out, in_flight) as current:

        def alone(step: Step) -> Run:
            return publish_.lone(step.cell.target, step.cell.transport, count, current.cores)

        def together(step: Step) -> Run:
            return publish_.crowded(step.cell.target, in_flight, seconds, current.cores)

        lines = compare(current, rows, alone, publish_.lone_line)
        once = [row for row in rows if row.transport == rows[0].transport]
        lines += compare(current, once, together, publish_.crowded_line)
        leave(current.finish(lines))


if __name__ == "__main__":
    main()
