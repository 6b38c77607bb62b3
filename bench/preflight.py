"""What is looked at before anything is started: a row that cannot be measured must not cost those before it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence

from bench.errors import Environment
from bench.load.wire import TRANSPORTS
from bench.serving import target
from bench.serving.broadcast import CommandPublish
from bench.serving.program import inherited
from bench.serving.server import check_outside
from bench.serving.table import TargetError
from bench.serving.target import Target
from bench.suite import Cell


def cells(targets: str, transports: str) -> tuple[list[Cell], list[str]]:
    """`app,floor` and `sse,cable` as rows, and sentences about what a target does not offer, which has no row. Raises
    Environment for names that do not exist, that are said twice, and when no row is left."""
    wanted = _listed(transports, "transport")
    for transport in wanted:
        if transport not in TRANSPORTS:
            raise Environment(f"no transport {transport!r}; there are {', '.join(TRANSPORTS)}")
    chosen = [named(name) for name in _listed(targets, "target")]
    _once([one.name for one in chosen], "target name")
    found = [Cell(one, transport) for one in chosen for transport in wanted if transport in one.transports]
    if not found:
        raise Environment("no target offers any of these transports")
    absent = [
        f"{one.name} does not offer {transport}"
        for one in chosen
        for transport in wanted
        if transport not in one.transports
    ]
    return found, absent


def named(name: str) -> Target:
    """A target by its name or file. Raises Environment with a sentence."""
    try:
        return target.by_name(name)
    except TargetError as error:
        raise Environment(str(error)) from None


def _listed(text: str, what: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    _once(names, what)
    return names


def _once(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            times = names.count(name)
            raise Environment(
                f"the {what} {name!r} is there {times} times: a pair measures each row once, so say it once"
            )


def check(targets: Iterable[Target]) -> None:
    """Raise Environment for the first target that cannot be started here, or that should run and does not."""
    for one in {each.name: each for each in targets}.values():
        if one.missing:
            raise Environment(f"{one.name} cannot run here, it lacks {one.missing}")
        if one.command and one.build is None:  # the program of one that is built is made at its first start
            _check_program(one, one.command[0], one.environment.get("PATH"))
        if isinstance(one.broadcast, CommandPublish):
            _check_program(one, one.broadcast.command[0])
        if one.outside is not None:
            check_outside(one, *one.outside)


def _check_program(one: Target, program: str, path: str | None = None) -> None:
    """A program whose place is filled in at a start is not known yet."""
    if "{" not in program and shutil.which(program, path=path or inherited().get("PATH")) is None:
        raise Environment(
            f"{one.name}: there is no program {program!r}: install it, or put its directory on PATH"
        )
