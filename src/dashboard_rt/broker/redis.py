"""`redis://` and `rediss://`: a broadcaster backend over PUBLISH and SUBSCRIBE."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from ..settings import Settings
from ..telemetry import Telemetry
from .backend import OPEN_SECONDS, PUBLISH_SECONDS, Fault, ReconnectingBackend
from .broadcast import BroadcastBroker

HEALTH_CHECK_SECONDS = 25  # hosted servers cut connections that are idle for 300 s
MESSAGE_SIZE = 256 * 1024  # bytes; a group that is larger is sent as several messages
LARGEST_MESSAGE = 1024 * 1024  # that is looked at


class RedisBackend(ReconnectingBackend):
    """One connection that listens, and one that publishes: a connection that has subscribed can do nothing else.

    `url` has no options. `verify_tls`: whether the certificate of a `rediss://` server is checked.
    """

    def __init__(self, url: str, telemetry: Telemetry, *, verify_tls: bool = True) -> None:
        options = connection_options(url, verify_tls)
        pool = ConnectionPool.from_url(url, socket_timeout=None, **options)
        where = pool.connection_kwargs
        super().__init__(
            f"The broker (Redis at {where.get('host', 'localhost')}:{where.get('port', 6379)})", telemetry
        )
        # One object for all connections: it keeps the TLS context, which takes 10 ms to make.
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._pong = asyncio.Event()
        self._client = Redis.from_url(
            url,
            socket_timeout=PUBLISH_SECONDS,
            health_check_interval=HEALTH_CHECK_SECONDS,
            # Once more over a new connection when the old one has died of idleness. Without this there is no retry.
            retry=Retry(NoBackoff(), 1),
            **options,
        )

    async def open(self, channel: str) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]
        await self._connection.send_command("SUBSCRIBE", channel)
        confirmation = await self._connection.read_response(disable_decoding=True)
        if isinstance(confirmation, Exception):
            raise confirmation

    async def read(self) -> None:
        connection = self._connection
        while True:
            response = await connection.read_response(disable_decoding=True)
            match response:
                case [b"message", _, bytes(data)] if len(data) > LARGEST_MESSAGE:
                    self.poisoned("size", f"it has {len(data)} bytes")
                case [b"message", _, bytes(data)]:
                    self.received(data)
                case [b"pong", *_]:
                    self.alive()
                    self._pong.set()
                case Exception():
                    raise response

    async def probe(self) -> None:
        self._pong.clear()
        await self._connection.send_command("PING", check_health=False)
        await self._pong.wait()

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def send(self, channel: str, message: bytes) -> None:
        await self._client.publish(channel, message)

    async def close_sender(self) -> None:
        await self._client.connection_pool.disconnect()

    def explain(self, error: Exception) -> Fault:
        return explain(error)


def redis_broker(settings: Settings, telemetry: Telemetry) -> BroadcastBroker:
    """Return the broker on the Redis of BROKER_URL."""
    backend = RedisBackend(settings.broker_url, telemetry, verify_tls=settings.redis_tls_verify)
    return BroadcastBroker(backend, MESSAGE_SIZE, telemetry)


def connection_options(url: str, verify_tls: bool) -> Mapping[str, Any]:
    """Return what both connections have in common, as arguments of redis-py."""
    options: dict[str, Any] = {
        # RESP2: with hiredis a message costs a quarter of what it does over RESP3.
        "protocol": 2,
        "socket_connect_timeout": OPEN_SECONDS,
        "socket_keepalive": True,
    }
    if url.startswith("rediss:"):
        options["ssl_cert_reqs"] = "required" if verify_tls else "none"
        options["ssl_check_hostname"] = verify_tls
    return options


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
