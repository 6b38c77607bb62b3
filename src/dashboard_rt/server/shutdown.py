"""Shutdown: what signals mean, and the end of the supervisor, for connections that uvicorn still holds.

On the first signal every connection gets its goodbye. Those served over plain ASGI uvicorn would cut (WebSockets, with
1012) or wait for without limit (SSE): so it learns of the signal when they have gone. Otherwise it is told at once.
A second Ctrl-C is impatience. Does nothing under any other server.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from uvicorn import Server

from ..hub.connections import Connections
from ..transports.asgi import Outbox

IMPATIENT_STATUS = 130  # what a shell reports of a program that Ctrl-C has ended
HANG_SECONDS = 1.0  # how long uvicorn's connections may wait for their clients once it is stopping

logger = logging.getLogger(__name__)


def end_at_once() -> NoReturn:
    """End the process without goodbyes. What was acknowledged is on disk; anything that waits might wait for long."""
    os._exit(IMPATIENT_STATUS)


def end_before_the_start() -> NoReturn:
    """End a process that was stopped before it served: nothing has begun that could be left half done."""
    os._exit(0)


def on_stop_signals(stop: Callable[[], object]) -> None:
    """Call `stop` on SIGTERM and Ctrl-C; a Ctrl-C behind either ends the process at once. For the main thread."""
    stopping = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping and number == signal.SIGINT:
            end_at_once()
        stopping = True
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


class Shutdown:
    """Stands between the signals and uvicorn, in the main thread of a process that uvicorn runs."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop
        self._draining: asyncio.Task[None] | None = None
        self._cutting: asyncio.Task[None] | None = None
        self._parent: int | None = None  # readable when the parent process has ended

    def install(self) -> None:
        """Take the signals over. Does nothing where they are not uvicorn's."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._server = uvicorn_server()
        if self._server is None:
            return
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        parent = multiprocessing.parent_process()
        if parent is not None:
            self._parent = parent.sentinel
            self._loop.add_reader(self._parent, self._on_orphaned)

    def finish(self) -> None:
        """Make the process end with status 0: after the drain it has done what it was told."""
        if self._server is not None:
            forget_sigterm(self._server)
        self._forget_parent()

    def _on_orphaned(self) -> None:
        """Stop as on SIGTERM: nobody else would stop a worker whose supervisor was killed, and it holds the port."""
        self._forget_parent()
        logger.warning("The process that started this one has ended: this one stops, too.")
        self._on_signal(signal.SIGTERM, None)

    def _forget_parent(self) -> None:
        if self._parent is not None:
            self._loop.remove_reader(self._parent)
            self._parent = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        assert self._server is not None
        if number == signal.SIGINT and (self._draining is not None or self._server.should_exit):
            self._server.should_exit = True  # or uvicorn would not take this one for impatience
            self._loop.call_soon_threadsafe(self._connections.cut_all)
        elif self._draining is not None and not self._draining.done():
            return  # platforms send SIGTERM more than once
        elif any(isinstance(connection.sink, Outbox) for connection in self._connections):
            self._loop.call_soon_threadsafe(self._refuse_newcomers)
            self._loop.call_soon_threadsafe(self._drain, number)
            return
        self._pass_on(number)

    def _drain(self, then: int | None = None) -> None:
        """Begin the goodbyes, unless they have begun. uvicorn hears of the signal `then` when they are over."""
        if self._draining is None:
            self._draining = self._loop.create_task(self._connections.drain())
            if then is not None:
                self._draining.add_done_callback(lambda _: self._pass_on(then))

    def _refuse_newcomers(self) -> None:
        """Close the listeners, as uvicorn does when it hears of the signal."""
        for server in getattr(self._server, "servers", ()):  # none before the start has ended
            server.close()

    def _pass_on(self, number: int) -> None:
        assert self._server is not None
        self._server.handle_exit(number, None)
        self._loop.call_soon_threadsafe(self._wait_beside, self._server)

    def _wait_beside(self, server: Server) -> None:
        # Beside uvicorn's own waiting and not behind it: one request that hangs must not delay the goodbyes of all.
        self._drain()
        if self._cutting is None:
            self._cutting = self._loop.create_task(cut_hanging(server))


async def cut_hanging(server: Server) -> None:
    """Cut connections that uvicorn waits for at its shutdown while their clients do nothing. Runs until cancelled.

    A request that the app works on is left alone, whose body has come and whose response the client reads.
    """
    before: dict[Any, int] = {}
    while True:
        waiting = {protocol: unsent(protocol) for protocol in server.server_state.connections}
        for protocol, left in waiting.items():
            if left is not None and before.get(protocol) == left:
                protocol.transport.abort()
        before = {protocol: left for protocol, left in waiting.items() if left is not None}
        await asyncio.sleep(HANG_SECONDS)


def unsent(protocol: Any) -> int | None:
    """Return the bytes that the client of a uvicorn protocol has to take; None when nobody waits for the client."""
    transport, cycle = protocol.transport, getattr(protocol, "cycle", None)
    left: int = transport.get_write_buffer_size()
    body_is_missing = cycle is not None and cycle.more_body
    return left if left or body_is_missing or transport.is_closing() else None


def uvicorn_server() -> Server | None:
    """Return the server that this process runs under, if it is uvicorn's and handles SIGTERM itself."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, Server) else None


def forget_sigterm(server: Server) -> None:
    """Keep uvicorn from raising the SIGTERM again that it has obeyed, which would end the process with -15."""
    server._captured_signals = [number for number in server._captured_signals if number != signal.SIGTERM]
