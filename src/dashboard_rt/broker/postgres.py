"""`BROKER_URL=postgres`: a broadcaster backend over LISTEN and NOTIFY on the database of the log."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import asyncpg

from ..postgres import FAILURES, network_options, terminate, without_options
from ..settings import Settings
from ..telemetry import Telemetry
from .backend import OPEN_SECONDS, Fault, ReconnectingBackend
from .broadcast import BroadcastBroker
from .messages import MessageLimits

CONNECTIONS = 2  # of each process: one listens, one notifies
# PostgreSQL refuses a payload of 8000 bytes and more.
LIMITS = MessageLimits(size=7999, pieces=8)
NOTIFY = "SELECT pg_notify($1, message) FROM unnest($2::text[]) AS message"
# What only a person can mend; other errors of the server, such as "too many connections", may pass.
REMEDIES: dict[type[Exception], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "refuses the name and password of DATABASE_URL: set the right ones",
    asyncpg.InvalidCatalogNameError: "lacks the database of DATABASE_URL: create it",
    asyncpg.InsufficientPrivilegeError: "lets this user neither listen nor notify: permit it",
    ssl.SSLCertVerificationError: "has a certificate that cannot be verified: see DATABASE_SSL",
}


class PostgresBackend(ReconnectingBackend):
    """One connection that listens, and one that notifies: a query waits for the one before it.

    `url` as in DATABASE_URL, `ssl_word` as in DATABASE_SSL.
    """

    def __init__(self, url: str, ssl_word: str, telemetry: Telemetry) -> None:
        super().__init__("The broker (PostgreSQL)", telemetry)
        self._options = {"dsn": without_options(url), **network_options(url, ssl_word)}
        self._connection: Any = None
        self._ended = asyncio.Event()
        self._notifier: Any = None

    async def open(self, channel: str) -> None:
        self._ended = ended = asyncio.Event()
        self._connection = await self._connect()
        self._connection.add_termination_listener(lambda _: ended.set())
        await self._connection.add_listener(channel, self._on_notify)

    async def read(self) -> None:
        await self._ended.wait()
        raise ConnectionError("the connection was closed")

    def _on_notify(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        self.received(payload)

    async def probe(self) -> None:
        await self._connection.execute("SELECT 1")
        self.alive()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            terminate(connection)

    async def send(self, channel: str, messages: Sequence[bytes]) -> None:
        texts = [message.decode() for message in messages]
        if self._notifier is not None:
            try:
                await self._notifier.execute(NOTIFY, channel, texts)
                return
            except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError):
                await self.close_sender()  # it had been lost: once more over a new one
        self._notifier = await self._connect()
        await self._notifier.execute(NOTIFY, channel, texts)

    async def close_sender(self) -> None:
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            terminate(notifier)

    async def _connect(self) -> Any:
        return await asyncpg.connect(
            **self._options,
            timeout=OPEN_SECONDS,
            server_settings={"application_name": "dashboard-rt broker"},
            statement_cache_size=0,  # two statements need none, and poolers get along without
        )

    def explain(self, error: Exception) -> Fault:
        return explain(error)


def postgres_broker(settings: Settings, telemetry: Telemetry) -> BroadcastBroker:
    """Return the broker on the database of DATABASE_URL."""
    backend = PostgresBackend(settings.database_url, settings.database_ssl, telemetry)
    return BroadcastBroker(backend, LIMITS, telemetry)


def explain(error: Exception) -> Fault:
    """Say what is wrong with a PostgreSQL, and what to do where that helps. No password is in it."""
    for kind, remedy in REMEDIES.items():
        if isinstance(error, kind):
            return Fault(f"{remedy} ({error}).", lasting=True)
    if isinstance(error, TimeoutError):
        return Fault("does not answer.")
    if isinstance(error, FAILURES):
        return Fault(f"is away ({str(error).rstrip('.')}).")
    return Fault(f"cannot be used ({type(error).__name__}: {error}).")
