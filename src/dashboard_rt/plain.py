"""The same clients over plain ASGI `send()` and `receive()`: under any server, or where the handover is off.

An Outbox looks to the Hub like a transport: it takes bytes without blocking, says when it is full and when it has
room again, and a task of its own empties it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from starlette.types import Receive, Send

HIGH_WATER = 65536
LOW_WATER = 16384
GONE_SECONDS = 1.0  # for a server to tell that the peer has gone, once sending to it has failed


class Flowing(Protocol):
    """Who is told about the outbox filling and emptying."""

    paused: bool

    def pause_writing(self) -> None:
        """The outbox is full."""

    def resume_writing(self) -> None:
        """The outbox has room."""


def _failed(task: asyncio.Future[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


class Streaming(Flowing, Protocol):
    """An SSE client."""

    sink: Any


class Messages(Streaming, Protocol):
    """A cable client."""

    link: Any

    def received(self, text: str) -> None:
        """A text message came."""

    def received_binary(self) -> None:
        """A binary message came."""

    def ending(self) -> None:
        """A close frame will be the last thing sent; the peer has SEND_TIMEOUT to take it."""


class Outbox:
    """A Sink over an async send function. Bounded by its writers, who stop when told that it is full."""

    def __init__(self, client: Flowing, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._client = client
        self._send = send
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.ending = False
        self._runner: asyncio.Task[Any] | None = None

    def write(self, data: bytes) -> None:
        """Take `data`; asks the client to pause above the high-water mark, as a transport does."""
        if self.ending or not data:  # the head, which is the server's here, is empty
            return
        self._waiting.append(data)
        self._size += len(data)
        self._wake.set()
        if self._size > HIGH_WATER and not self._client.paused:
            self._room.clear()
            self._client.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Bytes that the server has not taken yet."""
        return self._size

    def close(self) -> None:
        """End when everything written has been sent."""
        self.ending = True
        self._wake.set()

    def abort(self) -> None:
        """End now; what waits is dropped."""
        self._waiting.clear()
        self.ending = True
        if self._runner is not None:
            self._runner.cancel()

    async def room(self) -> None:
        """Wait until the client may be listened to again."""
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
                self._relax()
            if self.ending:
                return
            self._wake.clear()
            await self._wake.wait()

    def _relax(self) -> None:
        if self._client.paused and self._size <= LOW_WATER:
            self._room.set()
            self._client.resume_writing()

    async def run(self, listen: Coroutine[Any, Any, None], end: Callable[[], Awaitable[None]]) -> None:
        """Empty the outbox until it is closed, then `end`; or until `listen` returns because the peer has gone.

        All of it can be aborted, the end too, for which a stuck peer may leave no room. Never raises for a lost peer.
        """
        self._runner = asyncio.ensure_future(self._say_all(end))
        listener = asyncio.ensure_future(listen)
        tasks = (self._runner, listener)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # A server may raise anything for a peer that has just gone; that it is gone `listen` is about to tell.
            await asyncio.wait([listener], timeout=GONE_SECONDS if _failed(self._runner) else 0)
            gone = listener.done()
        finally:
            self._runner = None  # its traceback refers back to this object
            for task in tasks:
                task.cancel()
            # Not gather(): cancelled itself, it forgets by whom, and anyio has to know.
            await asyncio.wait(tasks)
        for task in tasks:
            error = _failed(task)
            if error is not None and not isinstance(error, OSError) and not (gone and task is tasks[0]):
                raise error

    async def _say_all(self, end: Callable[[], Awaitable[None]]) -> None:
        await self.empty()
        await end()


async def run_sse(client: Streaming, receive: Receive, send: Send, begin: Callable[[], None]) -> None:
    """Stream one SSE response whose head has been sent; returns when it has ended."""

    async def body(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def end() -> None:
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    client.sink = outbox = Outbox(client, body)
    begin()
    await outbox.run(until_gone(), end)


class PlainLink:
    """Closes a cable client's WebSocket; what is written goes before."""

    def __init__(self, client: Messages, outbox: Outbox) -> None:
        self._client = client
        self._outbox = outbox
        self.code = 1000

    def close(self, code: int) -> None:
        """Send a close frame behind everything written."""
        self.code = code
        self._outbox.close()
        self._client.ending()


async def run_cable(client: Messages, receive: Receive, send: Send, begin: Callable[[], None]) -> None:
    """Serve one accepted cable WebSocket; returns when it has ended. One line in the outbox is one message."""

    async def lines(data: bytes) -> None:
        for line in data.decode()[:-1].split("\n"):
            await send({"type": "websocket.send", "text": line})

    async def listen() -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            if outbox.ending:
                continue  # our close frame is on its way: what the peer still says is discarded (RFC 6455 §1.4)
            if text is None:
                client.received_binary()
            else:
                client.received(text)
            await outbox.room()

    async def end() -> None:
        await send({"type": "websocket.close", "code": link.code})

    client.sink = outbox = Outbox(client, lines)
    client.link = link = PlainLink(client, outbox)
    begin()
    await outbox.run(listen(), end)
