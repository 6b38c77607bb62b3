"""Shutdown: what SIGTERM means for connections that uvicorn still holds.

Connections that were handed over get their goodbye at lifespan shutdown, which uvicorn reaches at once. Those served
over plain ASGI uvicorn would cut (WebSockets, with 1012) or wait for without limit (SSE) before it ever gets there:
so they get their goodbye before uvicorn learns of the signal. Does nothing under any other server.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType

from uvicorn import Server

from ..hub.connections import Connections
from ..transports.asgi import Outbox


class Shutdown:
    """Stands between the signals and uvicorn, in the main thread of a process that uvicorn runs."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop
        self._draining: asyncio.Task[None] | None = None

    def install(self) -> None:
        """Take the signals over. Does nothing where they are not uvicorn's."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._server = uvicorn_server()
        if self._server is not None:
            self._loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_signal)

    def finish(self) -> None:
        """Make the process end with status 0: after the drain it has done what it was told."""
        if self._server is not None:
            forget_sigterm(self._server)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        plain = any(isinstance(connection.sink, Outbox) for connection in self._connections)
        if number == signal.SIGTERM and self._draining is not None and not self._draining.done():
            return  # platforms send it more than once; a second Ctrl-C, though, is impatience
        if plain and self._draining is None:
            self._loop.call_soon_threadsafe(self._drain, number)
        else:
            self._pass_on(number)

    def _drain(self, number: int) -> None:
        if self._draining is None:
            self._draining = self._loop.create_task(self._connections.drain())
            self._draining.add_done_callback(lambda _: self._pass_on(number))

    def _pass_on(self, number: int) -> None:
        if self._server is not None:
            self._server.handle_exit(number, None)


def uvicorn_server() -> Server | None:
    """Return the server that this process runs under, if it is uvicorn's and handles SIGTERM itself."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, Server) else None


def forget_sigterm(server: Server) -> None:
    """Keep uvicorn from raising the SIGTERM again that it has obeyed, which would end the process with -15."""
    server._captured_signals = [number for number in server._captured_signals if number != signal.SIGTERM]
