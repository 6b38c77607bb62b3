"""A target by its name, for the command line: built in, one of bench/targets/, or a file of the user's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.load.wire import TRANSPORTS as TOKENS
from bench.serving import target_file
from bench.serving.broadcast import STREAM, TOKEN, HttpPublish
from bench.serving.builtin import BUILT_IN, app, floor, with_settings
from bench.serving.table import TargetError
from bench.serving.target_type import Target

__all__ = [
    "STREAM",
    "TOKEN",
    "TOKENS",
    "TRANSPORTS",
    "HttpPublish",
    "Target",
    "TargetError",
    "app",
    "by_name",
    "floor",
    "with_settings",
]

TRANSPORTS = ("sse", "cable")  # what every target is asked for unless the command line says more


def by_name(name: str) -> Target:
    """A built-in target, one of bench/targets/ by the name of its file, or one by the path of its TOML file.

    Raises TargetError, which is a KeyError, with one sentence: the names that exist, or what is wrong in the file.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    own = name if name.endswith(".toml") else ""
    path = Path(own) if own else target_file.FOLDER / f"{name}.toml"
    if not path.is_file():
        names = ", ".join([*BUILT_IN, *target_file.names()])
        raise TargetError(f"no target {name!r}; there are {names}, and any path of a .toml file")
    return replace(target_file.read(path), file=own)
