"""A TCP proxy that cuts, holds back, delays and half-closes what passes through it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


class FaultProxy:
    """Passes connections on to a port of this machine. Its methods may be called from any thread.

    Faults last until `heal`; `cut` and `half_close` are of the moment.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._shut: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ---- faults

    def cut(self) -> None:
        """Reset every connection."""
        self._call(self._reset_all)

    def half_close(self) -> None:
        """Send an end of stream on every connection, in both directions. What still comes is dropped."""
        self._call(self._shut_all)

    def hold(self) -> None:
        """Pass nothing on, as a cable that was pulled out. New connections are accepted, and hear nothing either."""
        self._call(self._flowing.clear)

    def delay(self, seconds: float) -> None:
        """Hold each read back for so long, keeping the order."""
        self._call(lambda: setattr(self, "_delay", seconds))

    def refuse(self) -> None:
        """Reset whoever connects."""
        self._call(lambda: setattr(self, "_refusing", True))

    def redirect(self, upstream: int) -> None:
        """Pass new connections on to another port, as a name that leads to another server now."""
        self._call(lambda: setattr(self, "_upstream", upstream))

    def heal(self) -> None:
        """End what `hold`, `delay` and `refuse` have begun."""
        self._call(self._heal)

    def _heal(self) -> None:
        self._flowing.set()
        self._delay, self._refusing = 0.0, False

    def _call(self, work: Callable[[], Any]) -> None:
        done = threading.Event()

        def run() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait()

    def _reset_all(self) -> None:
        for writer in self._writers:
            reset(writer)

    def _shut_all(self) -> None:
        self._shut |= self._writers
        for writer in self._writers:
            with suppress(OSError, RuntimeError):
                writer.write_eof()

    # ---- passing on

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._listener)

    async def _close(self) -> None:
        self._server.close()
        self._heal()
        self._reset_all()  # not cancelled: asyncio's streams complain of each task that was
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._refusing:
                reset(writer)
                return
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            pair = {writer, upstream_writer}
            self._writers |= pair
            try:
                await asyncio.gather(
                    self._pass_on(reader, upstream_writer), self._pass_on(upstream_reader, writer)
                )
            finally:
                self._writers -= pair
                self._shut -= pair
                upstream_writer.close()
        except OSError:
            reset(writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._flowing.wait()
            if writer.transport.is_closing() or writer in self._shut:
                continue  # it was half-closed: what still comes has nowhere to go
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()
        with suppress(OSError, RuntimeError):
            writer.write_eof()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
