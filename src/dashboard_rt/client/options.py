"""Numbers as a person types them on the command line, and the option that `listen` and `doctor` share."""

from __future__ import annotations

import math
from typing import Any

import click


class SecondsRange(click.FloatRange):
    """A number of seconds that a clock can reach.

    Of click's own range NaN is a part, because it is not outside of it: no comparison with it is true.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return seconds


ticket_option = click.option(
    "--ticket",
    envvar="DASHBOARD_TICKET",
    help="A ticket that opens the stream, not single-use.  [default: DASHBOARD_TICKET, which `ps` does not show]",
)
