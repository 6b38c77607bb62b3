"""The live view: one screen in a terminal, drawn from the datagrams of the bench's parts; a process of its own.

It ends when its stdin does, so it cannot outlive the bench. What to draw is `Picture`, which is pure.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

FRAMES_PER_SECOND = 2
CLIENT_LINE = 0.80
STALE_SECONDS = 3.0


class Picture:
    """What was heard last of each part, and the rates that follow from it. `now` is in seconds."""

    def __init__(self) -> None:
        self._heard: dict[str, dict[str, Any]] = {}
        self._at: dict[str, float] = {}
        self._rates: dict[str, float] = {}

    def hear(self, message: Mapping[str, Any], now: float) -> None:
        """Take a message. Load clients come several; they are told apart by their pid."""
        who = f"{message['from']} {message.get('pid', '')}".strip()
        before, then = self._heard.get(who), self._at.get(who, now)
        for name in ("received", "sent"):
            if before is not None and name in message and now > then:
                self._rates[f"{who} {name}"] = max(0.0, (message[name] - before.get(name, 0)) / (now - then))
        self._heard[who], self._at[who] = dict(message), now
        if message["from"] == "session":  # another run: what its parts said before is about the last one
            for other in [name for name in self._heard if name not in ("session", "noise")]:
                del self._heard[other], self._at[other]
            self._rates.clear()

    def lines(self, now: float) -> list[tuple[str, str, str]]:
        """(label, value, style) of each line."""
        session, sampler = self._of("session"), self._of("sampler")
        clients = [heard for who, heard in self._heard.items() if who.startswith("client")]
        return [
            (
                "run",
                f"{session.get('step', '-')} of {session.get('total', '-')}  {session.get('row', '')}",
                "bold",
            ),
            ("updates", f"{self._rates.get('publisher sent', 0.0):,.0f}/s published", ""),
            ("deliveries", self._deliveries(clients), self._wrong_style(clients)),
            ("latency", self._latency(clients), ""),
            ("server", _server(sampler), ""),
            ("load client", *_client(clients)),
            ("machine", str(self._of("noise").get("verdict", "-")), ""),
            *self._stale(now),
        ]

    def _of(self, who: str) -> dict[str, Any]:
        return self._heard.get(who, {})

    def _deliveries(self, clients: list[dict[str, Any]]) -> str:
        rate = sum(value for name, value in self._rates.items() if name.endswith("received"))
        alive = sum(one.get("alive", 0) for one in clients)
        wrong = "/".join(str(sum(one.get(name, 0) for one in clients)) for name in ("doubled", "disordered"))
        return f"{rate:,.0f}/s to {alive:,} clients, doubled/disordered {wrong}"

    def _wrong_style(self, clients: list[dict[str, Any]]) -> str:
        wrong = any(one.get("doubled") or one.get("disordered") for one in clients)
        return "bold reverse" if wrong else ""

    def _latency(self, clients: list[dict[str, Any]]) -> str:
        worst = {
            name: max((one.get(name) or 0.0 for one in clients), default=0.0) for name in ("p50_ms", "p99_ms")
        }
        return f"p50 {worst['p50_ms']:.1f}  p99 {worst['p99_ms']:.1f} ms in the last second"

    def _stale(self, now: float) -> list[tuple[str, str, str]]:
        quiet = [who for who, at in self._at.items() if who == "sampler" and now - at > STALE_SECONDS]
        return [("note", "the sampler has said nothing for seconds", "reverse")] if quiet else []


def _server(sampler: Mapping[str, Any]) -> str:
    if not sampler:
        return "-"
    pss = sampler.get("pss_kb") or sampler.get("rss_kb") or 0
    kind = "PSS" if sampler.get("pss_kb") else "RSS"
    return (
        f"user {sampler['user_ms']:.0f}  system {sampler['system_ms']:.0f}  softirq {sampler['softirq_ms']:.0f} ms/s"
        f"   {kind} {pss / 1024:.1f} MiB   {sampler['fds']} files"
    )


def _client(clients: list[dict[str, Any]]) -> tuple[str, str]:
    share = max((one.get("cpu_share") or 0.0 for one in clients), default=0.0)
    full = round(share * 20)
    bar = "".join("#" if at < full else "|" if at == round(CLIENT_LINE * 20) else "." for at in range(20))
    return (
        f"{bar} {share:.0%} of its core (void above {CLIENT_LINE:.0%})",
        "reverse" if share > CLIENT_LINE else "",
    )


def drawn(picture: Picture, now: float) -> Table:
    """The picture for rich."""
    table = Table.grid(padding=(0, 2))
    for label, value, style in picture.lines(now):
        table.add_row(Text(label, style="dim"), Text(value, style=style))
    return table


def run(path: str) -> None:
    """Draw until stdin ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(path)
        picture = Picture()
        console = Console(stderr=True)
        with Live(
            drawn(picture, time.monotonic()), console=console, auto_refresh=False, transient=True
        ) as live:
            due = time.monotonic()
            while True:
                now = time.monotonic()
                ready, _, _ = select.select([hears, sys.stdin], [], [], max(0.0, due - now))
                if hears in ready:
                    _take(hears, picture, console)
                if sys.stdin in ready and not os.read(0, 1):
                    break
                if time.monotonic() >= due:
                    due = time.monotonic() + 1 / FRAMES_PER_SECOND
                    live.update(drawn(picture, time.monotonic()), refresh=True)
            while select.select([hears], [], [], 0)[0]:  # the last lines stay on the screen
                _take(hears, picture, console)


def _take(hears: socket.socket, picture: Picture, console: Console) -> None:
    message = json.loads(hears.recv(65536))
    if message["from"] == "line":
        console.print(message["words"], markup=False, highlight=False)
    else:
        picture.hear(message, time.monotonic())


if __name__ == "__main__":
    run(sys.argv[1])
