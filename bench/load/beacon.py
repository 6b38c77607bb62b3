"""Tells how it goes, unasked: one JSON datagram a second to a unix socket, for a live view that may not be there."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

SECONDS = 1.0


class Beacon:
    """`unheard` counts what nobody took: a view that is late or gone must not hold up the load."""

    def __init__(self, path: str, status: Callable[[], dict[str, Any]]) -> None:
        self.path = path
        self.status = status
        self.unheard = 0
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setblocking(False)

    def send(self) -> None:
        """One datagram, if somebody listens."""
        try:
            self.sock.sendto(json.dumps(self.status()).encode(), self.path)
        except OSError:
            self.unheard += 1

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            self.send()

    def close(self) -> None:
        """Tell no more."""
        self.sock.close()
