"""Departure: what SIGTERM means for clients that uvicorn still holds.

Clients that were handed over hear goodbye at lifespan shutdown, which uvicorn reaches at once. Those served over
plain ASGI uvicorn would cut (WebSockets, with 1012) or wait for without end (SSE) before it ever got there: so they
hear goodbye before uvicorn hears of the signal. No other server is touched.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType

from uvicorn import Server

from .audience import Audience
from .handover import exit_cleanly, uvicorn_server
from .plain import Outbox


class Departure:
    """Stands between SIGTERM and uvicorn, in the main thread of a process that uvicorn runs."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop
        self._draining: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Begin; does nothing where the signals are somebody else's."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._server = uvicorn_server()
        if self._server is not None:
            self._loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._heard)

    def unwatch(self) -> None:
        """End, after a drain: the process has done what it was told, and ends with status 0."""
        if self._server is not None:
            exit_cleanly(self._server)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        plain = any(isinstance(client.sink, Outbox) for client in self._audience)
        if number == signal.SIGTERM and self._draining is not None and not self._draining.done():
            return  # platforms say it more than once; a second Ctrl-C, though, is impatience
        if plain and self._draining is None:
            self._loop.call_soon_threadsafe(self._drain, number)
        else:
            self._obey(number)

    def _drain(self, number: int) -> None:
        if self._draining is None:
            self._draining = self._loop.create_task(self._audience.drain())
            self._draining.add_done_callback(lambda _: self._obey(number))

    def _obey(self, number: int) -> None:
        if self._server is not None:
            self._server.handle_exit(number, None)
