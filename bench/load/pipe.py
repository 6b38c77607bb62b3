"""The client's end of the pipes to the bench: a setup line, then commands as JSON lines, one answer line to each."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any, Protocol

import uvloop

from bench.errors import BenchError


class Obedient(Protocol):
    """What obeys: `start` once before the first command, `obey` for each."""

    def start(self) -> None: ...

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]: ...

    def stop(self) -> None: ...


def main(make: Callable[[dict[str, Any]], Obedient], collects: bool = False) -> None:
    """The process: as many files as allowed, and no collector pauses unless it `collects`. It ends when stdin does,
    so it cannot outlive the bench."""
    if not collects:
        gc.disable()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        uvloop.run(_run(make))
    except BrokenPipeError:  # the bench was interrupted, and does not want the answer any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor what is still held back of it


async def _run(make: Callable[[dict[str, Any]], Obedient]) -> None:
    reader = await _stdin()
    setup = json.loads(await reader.readline())
    if setup["core"] is not None:
        os.sched_setaffinity(0, {setup["core"]})
    try:
        servant = make(setup)
        servant.start()
    except (BenchError, ValueError) as error:
        _answer({"failed": str(error)})
        return
    _answer({"pid": os.getpid()})
    while line := await reader.readline():
        _answer(await _obeyed(servant, json.loads(line)))
    servant.stop()


async def _obeyed(servant: Obedient, command: dict[str, Any]) -> dict[str, Any]:
    try:
        return await servant.obey(command)
    except BenchError as error:
        return {"failed": str(error)}


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def _answer(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)
