"""The same connections over plain ASGI `send()` and `receive()`: under any server, or where the handover is off.

An Outbox looks to the hub like a transport: it takes bytes without blocking, says when it is full and when it has
room again, and a task of its own empties it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.types import Receive, Send

from .connection import Connection, MessageConnection

HIGH_WATER = 65536
LOW_WATER = 16384
GONE_SECONDS = 1.0  # for a server to tell that the peer has gone, once sending to it has failed


class Outbox:
    """A Sink over an async send function. Bounded because its writers stop when told that it is full."""

    def __init__(
        self,
        connection: Connection,
        send: Callable[[bytes], Awaitable[None]],
        abort: Callable[[], None] | None = None,
    ) -> None:
        """`abort` cuts the socket, where the server has a way to."""
        self._connection = connection
        self._send = send
        self._abort = abort
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.ending = False
        self._runner: asyncio.Task[Any] | None = None

    def write(self, data: bytes) -> None:
        """Take `data`. Above the high-water mark the connection is told to pause, as by a transport."""
        if self.ending or not data:  # a connection writes the head first, which is empty here
            return
        self._waiting.append(data)
        self._size += len(data)
        self._wake.set()
        if self._size > HIGH_WATER and not self._connection.paused:
            self._room.clear()
            self._connection.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the server has not taken yet."""
        return self._size

    def close(self) -> None:
        """End when everything written was sent."""
        self.ending = True
        self._wake.set()

    def abort(self) -> None:
        """End now; what waits is dropped."""
        self._waiting.clear()
        self.ending = True
        if self._runner is not None:
            self._runner.cancel()
        if (
            self._abort is not None
        ):  # otherwise the server waits for a stuck peer to take what it has buffered
            self._abort()

    async def room(self) -> None:
        """Return when the client may be read from again."""
        await self._room.wait()

    async def empty(self) -> None:
        """Send what is written, until `close()`."""
        while True:
            while self._waiting:
                data = self._waiting[0]
                await self._send(data)
                if self._waiting:
                    self._waiting.popleft()
                self._size -= len(data)
                self._resume()
            if self.ending:
                return
            self._wake.clear()
            await self._wake.wait()

    def _resume(self) -> None:
        if self._connection.paused and self._size <= LOW_WATER:
            self._room.set()
            self._connection.resume_writing()

    async def run(self, listen: Coroutine[Any, Any, None], end: Callable[[], Awaitable[None]]) -> None:
        """Empty the outbox until it is closed, then `end`; or until `listen` returns because the peer has gone.

        Can be aborted at any moment, also in `end`, for which a stuck peer may leave no room. Never raises for a lost
        peer.
        """
        self._runner = asyncio.ensure_future(self._send_all(end))
        listener = asyncio.ensure_future(listen)
        tasks = (self._runner, listener)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # A server may raise anything for a peer that has just gone; `listen` is about to tell whether it has.
            await asyncio.wait([listener], timeout=GONE_SECONDS if _failed(self._runner) else 0)
            gone = listener.done()
        finally:
            self._runner = None  # its traceback refers back to this object: a reference cycle
            for task in tasks:
                task.cancel()
            # Not gather(): when this task is cancelled, gather loses by whom, and anyio has to know.
            await asyncio.wait(tasks)
        for task in tasks:
            error = _failed(task)
            if error is not None and not isinstance(error, OSError) and not (gone and task is tasks[0]):
                raise error

    async def _send_all(self, end: Callable[[], Awaitable[None]]) -> None:
        await self.empty()
        await end()


def _failed(task: asyncio.Future[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


async def run_stream(
    connection: Connection,
    receive: Receive,
    send: Send,
    begin: Callable[[bytes], None],
    abort: Callable[[], None] | None = None,
) -> None:
    """Stream one HTTP response whose head was sent; returns when it has ended.

    Calls `begin` once the sink is in place, with no head to write. `abort` cuts the socket, where the server can.
    """

    async def body(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def end() -> None:
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    connection.sink = outbox = Outbox(connection, body, abort)
    begin(b"")
    await outbox.run(until_gone(), end)


class AsgiWebSocket:
    """The MessageSocket over plain ASGI."""

    def __init__(self, connection: MessageConnection, outbox: Outbox) -> None:
        self._connection = connection
        self._outbox = outbox
        self.code = 1000

    def close(self, code: int) -> None:
        """Send a close frame behind everything written."""
        self.code = code
        self._outbox.close()
        self._connection.on_closing()


async def run_websocket(
    connection: MessageConnection,
    receive: Receive,
    send: Send,
    begin: Callable[[bytes], None],
    abort: Callable[[], None] | None = None,
) -> None:
    """Serve one accepted WebSocket; returns when it has ended.

    One line that the connection writes is one text message. `begin` and `abort` as for `run_stream`.
    """

    async def lines(data: bytes) -> None:
        for line in data.decode()[:-1].split("\n"):
            await send({"type": "websocket.send", "text": line})

    async def listen() -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            if outbox.ending:
                continue  # a close frame was sent: what the peer still sends is discarded (RFC 6455 §1.4)
            if text is None:
                connection.on_binary()
            else:
                connection.on_text(text)
            await outbox.room()

    async def end() -> None:
        await send({"type": "websocket.close", "code": socket.code})
        # The socket is open, and the connection counted, until the peer has answered. `listen` hears of that; a peer
        # that says nothing is cut after SEND_TIMEOUT.
        await asyncio.get_running_loop().create_future()

    connection.sink = outbox = Outbox(connection, lines, abort)
    connection.socket = socket = AsgiWebSocket(connection, outbox)
    begin(b"")
    await outbox.run(listen(), end)
