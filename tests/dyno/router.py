"""A router as Heroku's, small: it ends TLS, chooses a dyno at random, and logs each request.

exchange.py has how one request passes. Left out: HTTP/2 with clients, and that Heroku runs many routers.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self

import h11

from tests.dyno.exchange import Exchange, Gone, Limits, Line, Peer, Refused
from tests.services.certificates import Certificate

TLS_HANDSHAKE = b"\x16"  # the first byte of a client that speaks TLS (RFC 8446 §5.1)
LOOK_SECONDS = 0.05  # between two looks at dynos that start
CONNECT_SECONDS = 5.0


class Backend(Protocol):
    """What the router asks of a dyno. `state`: starting, up, crashed, or any other word."""

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def state(self) -> str: ...


@dataclass(eq=False)
class Kept:
    """A connection to a dyno that waits for its next request."""

    peer: Peer
    timer: asyncio.TimerHandle


class Router:
    """`with Router(...)`: listens on `port`, to TLS and plain HTTP alike, on a loop in a thread of its own."""

    def __init__(
        self, certificate: Certificate, limits: Limits, log: Callable[[Line], object], port: int = 0
    ) -> None:
        self.limits = limits
        self.active = 0  # requests that have a dyno
        self._log = log
        self._dynos: Sequence[Backend] = ()
        self._kept: defaultdict[int, list[Kept]] = defaultdict(list)  # by the dyno's port
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._context.set_alpn_protocols(["http/1.1"])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop.call_soon_threadsafe(lambda: self._spawn(self._accept()))
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._listener.close()

    def route(self, dynos: Iterable[Backend]) -> None:
        """Send requests to these dynos from now on; those that have one keep it. From any thread."""
        self._dynos = tuple(dynos)

    # ---- clients

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in self._transports:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.abort()  # the end of TLS would wait for the client's
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # a TLS transport closes the one below it in the next turn

    async def _accept(self) -> None:
        while True:
            try:
                sock, _ = await self._loop.sock_accept(self._listener)
            except OSError:  # there is no file for it: it waits in the backlog
                await asyncio.sleep(LOOK_SECONDS)
            else:
                self._spawn(self._serve(sock))

    async def _serve(self, sock: socket.socket) -> None:
        """Serve a connection of a client: one request after the other."""
        try:
            tls = await self._speaks_tls(sock)
        except asyncio.CancelledError:
            sock.close()
            raise
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        with suppress(OSError, Gone):
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self._context if tls else None
            )
            self._transports.add(transport)
            client = Peer(h11.SERVER, reader, asyncio.StreamWriter(transport, protocol, reader, self._loop))
            try:
                while await self._answer(client, "https" if tls else "http"):
                    pass
            finally:
                client.close()

    async def _speaks_tls(self, sock: socket.socket) -> bool:
        """Look at the first byte, and leave it there. Some connect and say nothing for long."""
        readable = asyncio.Event()
        self._loop.add_reader(sock, readable.set)
        try:
            await readable.wait()
            return sock.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE
        except OSError:
            return False
        finally:
            self._loop.remove_reader(sock)

    async def _answer(self, client: Peer, protocol: str) -> bool:
        """Answer the next request; whether another one may follow. Raises Gone."""
        request = await client.next()
        assert isinstance(request, h11.Request)
        exchange = Exchange(self, client, request, protocol)
        try:
            await exchange.run()
        finally:
            self._log(exchange.line)
        return client.next_cycle()

    # ---- dynos

    async def acquire(self) -> Peer:
        """Choose a dyno, and return a connection to it. Raises Refused."""
        dyno = await self._choose()
        self.active += 1
        try:
            return self._kept_one(dyno) or await self._connect(dyno)
        except BaseException:
            self.active -= 1
            raise

    def release(self, dyno: Peer) -> None:
        """Keep a connection for the next request where it can have one."""
        self.active -= 1
        if dyno.ended or not dyno.next_cycle():
            dyno.close()
            return
        kept = self._kept[dyno.port]
        kept.append(Kept(dyno, self._loop.call_later(self.limits.kept, self._forget, dyno)))

    def _forget(self, dyno: Peer) -> None:
        dyno.close()
        self._kept[dyno.port] = [kept for kept in self._kept[dyno.port] if kept.peer is not dyno]

    async def _choose(self) -> Backend:
        """Choose among those that are up; wait for one that starts."""
        deadline = self._loop.time() + self.limits.boot
        while True:
            states = [(dyno, dyno.state) for dyno in self._dynos]
            up = [dyno for dyno, state in states if state == "up"]
            if up:
                if self.limits.active is not None and self.active >= self.limits.active * len(up):
                    raise Refused("H11")
                return random.choice(up)
            if not any(state == "starting" for _, state in states):
                raise Refused("H10" if states else "H14")
            if self._loop.time() > deadline:
                raise Refused("H20")
            await asyncio.sleep(LOOK_SECONDS)

    def _kept_one(self, dyno: Backend) -> Peer | None:
        """Return a kept connection that its dyno has not closed."""
        while waiting := self._kept[dyno.port]:
            kept = waiting.pop()
            kept.timer.cancel()
            if not kept.peer.ended:
                return kept.peer
            kept.peer.close()
        return None

    async def _connect(self, dyno: Backend) -> Peer:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", dyno.port)
        except OSError:
            raise Refused("H21") from None
        self._transports.add(writer.transport)
        return Peer(h11.CLIENT, reader, writer, dyno.name)
