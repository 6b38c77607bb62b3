"""Printer: what `listen` shows while it runs. Everything of one client; of many only what is wrong."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from datetime import datetime

import click

from ..types import Position, Transport
from .failures import Failed
from .nouns import Heard, Link, Moment, What
from .tally import Tally, plural


class Printer:
    """The Reporter of listener.py. With `debug`: every frame and header of every client, uncut."""

    def __init__(self, clients: int, debug: bool) -> None:
        self._debug = debug
        self._many = clients > 1
        self._all = debug or not self._many
        cut = sys.stdout.isatty() and not debug
        self._width = shutil.get_terminal_size().columns if cut else None

    def connected(self, client: int, link: Link) -> None:
        """How long it took, and what was agreed on."""
        if not self._all:
            return
        agreed = link.head.http_version
        if link.transport is Transport.CABLE:
            agreed = link.head.subprotocol or "no subprotocol"
        steps = ", ".join(f"{m} {link.timing.ms(m) or 0:.1f} ms" for m in (Moment.CONNECT, Moment.HEAD))
        self._line(client, "connected", f"{steps}, {agreed}")
        for name, value in link.head.headers.items() if self._debug else ():
            self._line(client, "header", f"{name}: {value}")

    def heard(self, client: int, heard: Heard, fault: str | None) -> None:
        """One line, and one more for a fault."""
        if fault is not None:
            self._line(client, "FAULT", fault)
        if self._debug or (self._all and heard.what is not What.OTHER):
            self._line(client, heard.what, heard.text if self._debug else _told(heard))

    def failed(self, client: int, failed: Failed) -> None:
        """To stderr; of many clients the summary has the counts."""
        if self._all:
            self._line(client, "failed", str(failed), err=True)

    def waiting(self, client: int, seconds: float, position: Position | None) -> None:
        """The pause before the next attempt."""
        if self._all:
            resumes = "" if position is None else f", then resuming after {position}"
            self._line(client, "waiting", f"{seconds:.2f} s{resumes}")

    def _line(self, client: int, what: str, text: str, err: bool = False) -> None:
        now = datetime.now().strftime("%H:%M:%S.%f")[:-3]
        line = f"{now} {f'#{client} ' if self._many else ''}{what:<10} {text}"
        if self._width is not None and len(line) > self._width and not err:
            line = f"{line[: self._width - 1]}…"
        click.echo(line, err=err)


def _told(heard: Heard) -> str:
    place = "" if heard.position is None else str(heard.position)
    match heard.what:
        case What.VERDICT:
            missed = f", missed {heard.missed}" if heard.missed else ""
            return f"{heard.verdict or 'none told'} {place}{missed}".rstrip()
        case What.HEARTBEAT:
            return place or heard.text
        case What.UPDATE:
            return f"{place} {heard.text}".lstrip()
        case _:
            return heard.text


async def print_stats(tally: Tally, clients: int, every: float) -> None:
    """A line every so many seconds, with the rates since the one before; runs until it is cancelled."""
    began = then = time.monotonic()
    updates = 0
    while True:
        await asyncio.sleep(every)
        now = time.monotonic()
        rate = (tally.updates - updates) / (now - then)
        then, updates = now, tally.updates
        click.echo(
            f"{now - began:6.1f} s  {tally.connected}/{clients} connected, {rate:.1f} updates/s, "
            f"{tally.updates} updates, {tally.heartbeats} heartbeats, lost {tally.lost}, "
            f"doubled {tally.doubled}, {plural(tally.reconnects, 'reconnect')}"
        )
