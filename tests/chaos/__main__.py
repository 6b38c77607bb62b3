"""`make chaos`: random faults on everything at once, for ten minutes; prints its seed and its ledger."""

from __future__ import annotations

import random
import sys
import time

import click
import pytest

from tests.chaos.run import Plan, run
from tests.services.process import service_directory


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(1), default=600.0, show_default=True, help="Seconds of faults."
)
@click.option("--seed", type=int, help="Of an earlier run, to have its faults again; another one each time.")
def main(seconds: float, seed: int | None) -> None:
    """Run servers on PostgreSQL and Redis, break everything at random, and compare what everybody saw."""
    seed = random.randrange(10**6) if seed is None else seed
    click.echo(f"seed:                       {seed}")
    begun = time.monotonic()
    try:
        with service_directory() as directory:
            outcome = run(Plan(seed, seconds), directory)
    except (pytest.skip.Exception, pytest.fail.Exception) as lack:  # what tests skip without, or in CI fail
        raise click.ClickException(str(lack)) from None
    click.echo(outcome.report)
    click.echo(f"{'seconds:':<28}{time.monotonic() - begun:.0f}")
    click.echo("\n".join(outcome.wrong) or "lost, doubled, disordered:   0")
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
