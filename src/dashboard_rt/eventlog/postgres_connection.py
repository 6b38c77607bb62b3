"""One held connection to PostgreSQL, and how it is asked for: TLS, time limits, who we are."""

from __future__ import annotations

import asyncio
from typing import Any

import databases

from ..postgres import FAILURES, network_options, terminate, without_options

CONNECT_SECONDS = 3.0  # how long one attempt to open a connection may take
CLOSE_SECONDS = 2.0
# The server's own limits, for when this process cannot keep them: a frozen writer must not hold the row of a stream.
# Keepalives are sent by the server: they keep a quiet connection alive in routers, and end one whose client is gone.
SERVER_SETTINGS = {
    "application_name": "dashboard-rt",
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "5s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


class PostgresConnection:
    """One connection of `databases`, kept open. `raw` is that of asyncpg, None while there is none.

    `ssl` is a word of DATABASE_SSL.
    """

    def __init__(self, url: str, ssl: str) -> None:
        # Options in the URL are not for `databases`: it would ignore what it does not know in silence.
        self._url = without_options(url)
        # How long an attempt to connect may take is limited in `open` too; a command, by those who run it.
        self._options = {
            **network_options(url, ssl),
            "server_settings": SERVER_SETTINGS,
            "target_session_attrs": "read-write",  # not a standby
            "timeout": CONNECT_SECONDS,
        }
        self._held: Any = None
        self.raw: Any = None

    async def open(self) -> None:
        """Open it. Raises one of FAILURES, TimeoutError among them."""
        # A pool of one, which opens no other one by itself when that is lost.
        database = databases.Database(self._url, min_size=0, max_size=1, **self._options)
        async with asyncio.timeout(CONNECT_SECONDS):
            await database.connect()
            held = database.connection()
            await held.__aenter__()
        self._held, self.raw = held, held.raw_connection

    async def close(self) -> None:
        """Close it in order, or throw it away when that takes long. Never raises. Does nothing when it is not open."""
        raw, self.raw = self.raw, None
        if raw is None:
            return
        try:
            await raw.close(timeout=CLOSE_SECONDS)
        except FAILURES:
            terminate(raw)  # the server notices that by itself

    def discard(self) -> None:
        """Throw it away at once. Whoever waits for an answer on it gets an error."""
        raw, self.raw = self.raw, None
        if raw is not None:
            terminate(raw)
