"""`redis://` and `rediss://`: a broadcaster backend over PUBLISH and SUBSCRIBE."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as LostConnection

from ..settings import Settings
from ..telemetry import Telemetry
from ..types import ConnectionLimit
from .backend import OPEN_SECONDS, Fault, ReconnectingBackend
from .broadcast import BroadcastBroker
from .messages import MessageLimits

# A group of updates is at most 4 MiB (eventlog/publisher.py), so nearly all are carried whole.
LIMITS = MessageLimits(size=256 * 1024, pieces=20)
LARGEST_MESSAGE = 1024 * 1024  # that is looked at
CONNECTIONS = 2  # of each process: one listens, one publishes
ASK_SECONDS = 1.0  # for how many connections it permits, at a start


class RedisSubscriber:
    """A connection that listens to one channel: one that has subscribed can do nothing else. It can be opened again.

    `url` has no options. `verify_tls`: whether the certificate of a `rediss://` server is checked.
    """

    def __init__(self, url: str, *, verify_tls: bool = True) -> None:
        self._connection = make_connection(url, verify_tls)
        self._pong = asyncio.Event()

    async def open(self, channel: str) -> None:
        """Connect and subscribe; return when that is confirmed. Raises anything."""
        await self._connection.connect()  # type: ignore[no-untyped-call]
        await self._connection.send_command("SUBSCRIBE", channel)
        await self._connection.read_response(disable_decoding=True)

    async def read(self, on_message: Callable[[bytes], None], on_alive: Callable[[], None]) -> None:
        """Give out messages, and other signs of life, until the connection is lost: then raise."""
        while True:
            match await self._connection.read_response(disable_decoding=True):
                case [b"message", _, bytes(data)]:
                    on_message(data)
                case [b"pong", *_]:
                    on_alive()
                    self._pong.set()

    async def probe(self) -> None:
        """Return once the server has answered a PING."""
        self._pong.clear()
        await self._connection.send_command("PING", check_health=False)
        await self._pong.wait()

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)


class RedisBackend(ReconnectingBackend):
    """One connection that listens, and one that publishes."""

    def __init__(self, url: str, telemetry: Telemetry, *, verify_tls: bool = True) -> None:
        super().__init__(f"The broker ({service_name(url)})", telemetry)
        self._subscriber = RedisSubscriber(url, verify_tls=verify_tls)
        # Not a client with a pool: that takes three times as long for each message.
        self._sending = make_connection(url, verify_tls)

    async def open(self, channel: str) -> None:
        await self._subscriber.open(channel)

    async def read(self) -> None:
        await self._subscriber.read(self._on_message, self.alive)

    def _on_message(self, data: bytes) -> None:
        if len(data) > LARGEST_MESSAGE:
            self.poisoned("size", f"it has {len(data)} bytes")
        else:
            self.received(data)

    async def probe(self) -> None:
        await self._subscriber.probe()

    async def close(self) -> None:
        await self._subscriber.close()

    async def send(self, channel: str, messages: Sequence[bytes]) -> None:
        if self._sending.is_connected:
            try:
                await self._publish(channel, messages)
                return
            except (LostConnection, OSError):
                await self.close_sender()  # lost while it was idle: once more over a new one
        await self._sending.connect()  # type: ignore[no-untyped-call]
        await self._publish(channel, messages)

    async def _publish(self, channel: str, messages: Sequence[bytes]) -> None:
        commands = self._sending.pack_commands(("PUBLISH", channel, message) for message in messages)
        await self._sending.send_packed_command(commands, check_health=False)
        for _ in messages:
            await self._sending.read_response(disable_decoding=True)

    async def close_sender(self) -> None:
        await self._sending.disconnect(nowait=True)

    def explain(self, error: Exception) -> Fault:
        return explain(error)


def redis_broker(settings: Settings, telemetry: Telemetry) -> BroadcastBroker:
    """Return the broker on the Redis of BROKER_URL."""
    backend = RedisBackend(settings.broker_url, telemetry, verify_tls=settings.redis_tls_verify)
    return BroadcastBroker(backend, LIMITS, telemetry)


def make_connection(url: str, verify_tls: bool) -> AbstractConnection:
    """Make a connection that can be opened again and again. It keeps its TLS context, which takes 10 ms to make."""
    options: dict[str, Any] = {
        # RESP2: with hiredis a message costs a quarter of what it does over RESP3.
        "protocol": 2,
        "socket_connect_timeout": OPEN_SECONDS,
        # With one, redis-py sends by asyncio.wait_for, which on Python 3.11 may swallow the end of our task.
        "socket_timeout": None,
        "socket_keepalive": True,
    }
    if url.startswith("rediss:"):
        options["ssl_cert_reqs"] = "required" if verify_tls else "none"
        options["ssl_check_hostname"] = verify_tls
    pool = ConnectionPool.from_url(url, **options)
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


async def connection_limit(url: str, verify_tls: bool) -> ConnectionLimit:
    """Ask a Redis how many connections it permits, and how many others it has. Raises Fault."""
    connection = make_connection(url, verify_tls)
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]
            clients = await _ask(connection, "INFO", "clients")
            figures = dict(line.split(":", 1) for line in clients.decode().split() if ":" in line)
            # INFO tells it since Redis 7. A managed server may refuse CONFIG.
            most = figures.get("maxclients") or (await _ask(connection, "CONFIG", "GET", "maxclients"))[1]
            return ConnectionLimit("maxclients", int(most), int(figures["connected_clients"]) - 1)
    except ResponseError as error:
        raise Fault(f"does not say it to this user ({error}).") from error
    except (RedisError, OSError, LookupError, ValueError) as error:
        raise explain(error) from error
    finally:
        await connection.disconnect(nowait=True)


async def _ask(connection: AbstractConnection, *command: str) -> Any:
    await connection.send_command(*command)
    return await connection.read_response(disable_decoding=True)


def service_name(url: str) -> str:
    """Return what log lines call the server, without user and password."""
    parts = urlsplit(url)
    return f"Redis at {parts.hostname}:{parts.port or 6379}"


def explain(error: BaseException) -> Fault:
    """Say what is wrong with a Redis, and what to do where that helps. No password is in it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Fault(
                f"has a certificate that cannot be verified ({cause.verify_message}). If it is meant to be "
                "self-signed, set REDIS_TLS_VERIFY=none.",
                lasting=True,
            )
        cause = cause.__cause__ or cause.__context__
    match error:
        case AuthenticationError():
            return Fault(
                f"refuses the name and password of its URL ({error}). Set the right ones.", lasting=True
            )
        case NoPermissionError():
            return Fault(f"lets this user neither publish nor subscribe ({error}). Permit it.", lasting=True)
        case TimeoutError():
            return Fault("does not answer.")
        case RedisError() | OSError():
            return Fault(f"is away ({str(error).rstrip('.')}).")
        case _:
            return Fault(f"cannot be used ({type(error).__name__}: {error}).")
