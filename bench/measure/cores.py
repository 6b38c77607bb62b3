"""Which core the server gets and which the load, so that neither steals from the other."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple


class Cores(NamedTuple):
    """Core numbers; both None where there is only one core, and then every run is void."""

    server: int | None
    client: int | None


@cache
def choose() -> Cores:
    """The first two cores that this process may use; the bench itself moves to the load's core. Asked again it answers
    the same: by then this process may use one only."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return Cores(None, None)
    os.sched_setaffinity(0, {allowed[1]})
    return Cores(allowed[0], allowed[1])
