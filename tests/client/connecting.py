"""Helpers for tests that open connections: both transports' openers, and servers that are absent or speak raw bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from dashboard_rt.client.cable import EXT, open_cable
from dashboard_rt.client.connection import ConnectOptions, Event, OpenConnection
from dashboard_rt.client.failures import ConnectionFailed
from dashboard_rt.client.sse import open_sse
from dashboard_rt.client.target import Target, read_target
from tests.patience import HANG_LIMIT

Opener = Callable[[Target, ConnectOptions], AbstractAsyncContextManager[OpenConnection]]
BOTH_TRANSPORTS = pytest.mark.parametrize("opener", [open_sse, open_cable])
OPTIONS = ConnectOptions(timeout=HANG_LIMIT)


async def collect_events(
    connection: OpenConnection, enough: Callable[[list[Event]], bool] = lambda _: False
) -> list[Event]:
    """Receive events until `enough` of them have arrived, or the connection ends."""
    received: list[Event] = []
    async with asyncio.timeout(HANG_LIMIT), aclosing(connection.events) as events:
        async for event in events:
            received.append(event)
            if enough(received):
                break
    return received


async def connect_and_fail(opener: Opener, url: str, options: ConnectOptions = OPTIONS) -> ConnectionFailed:
    """Return the failure of a connection that must fail, while connecting or while receiving."""
    with pytest.raises(ConnectionFailed) as caught:
        async with opener(read_target(url), options) as connection:
            await collect_events(connection)
    return caught.value


def unused_address() -> str:
    """Return `host:port` of a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"127.0.0.1:{unused.getsockname()[1]}"


@asynccontextmanager
async def raw_server(response: bytes, reset: bool = False) -> AsyncIterator[str]:
    """Serve `response` to every request, then close the connection, or reset it; yields the server's URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        await writer.drain()
        if reset:  # closing a socket that lingers for 0 s sends RST in place of FIN
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def cable_server(*frames: str, raw: bytes = b"") -> AsyncIterator[str]:
    """Send `frames` to each subscriber, then the bytes `raw` past the WebSocket, and wait; yields the server's URL."""

    async def talk(websocket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await websocket.send('{"type":"welcome"}')
            await websocket.recv()
            for frame in frames:
                await websocket.send(frame)
            websocket.transport.write(raw)
            await websocket.wait_closed()

    async with serve(talk, "127.0.0.1", 0, subprotocols=[Subprotocol(EXT)], compression=None) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
