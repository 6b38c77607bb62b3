"""What commands write: results to stdout, progress to stderr, on any terminal, pipe or full disk."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TextIO

import click

from bench.errors import Unheard

GONE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)


def prepare() -> None:
    """Let nothing that is written fail for its characters, whatever the locale says, or for a stream that is closed."""
    _open_all()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _open_all() -> None:
    """Standard streams that are closed (`2>&-`) go nowhere: else the next file or socket would have their number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def say(words: str) -> None:
    """A line of a result, to stdout. Raises Unheard when nobody can read it."""
    try:
        click.echo(words)
    except OSError as error:
        raise unheard(error) from None


def tell(words: str) -> None:
    """Progress, to stderr. That nobody reads it any more is no reason to end a measurement."""
    try:
        click.echo(words, err=True)
    except OSError:
        _silence(sys.stderr)


def unheard(error: OSError) -> Unheard:
    """The error that says why a result cannot be written; what is written from here on goes nowhere. Raises `error`
    itself when it is about something else."""
    if error.errno not in GONE:
        raise error
    _silence(sys.stdout)
    closed = error.errno == errno.EPIPE
    return Unheard(
        "" if closed else f"the output cannot be written: {error.strerror}; send it somewhere else"
    )


def _silence(stream: TextIO | None) -> None:
    """Let what is written go nowhere: what the stream still holds would be written at the end of the process, fail
    again, and be reported with a traceback."""
    if stream is None:
        return
    with suppress(OSError, ValueError):  # a stream without a file (in tests) has nothing to hold back
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
