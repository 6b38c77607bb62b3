"""One request through the router: passed on, answered, cut at the router's limits, and a line for its log.

The framing of HTTP/1.1 is h11's, on both sides. Knows nothing of sockets that listen, nor of which dyno is asked.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import h11

Role: TypeAlias = type[h11.CLIENT] | type[h11.SERVER]

CODES = {
    "H10": "App crashed",
    "H11": "Backlog too deep",
    "H12": "Request timeout",
    "H13": "Connection closed without response",
    "H14": "No web processes running",
    "H15": "Idle connection",
    "H18": "Server Request Interrupted",
    "H20": "App boot timeout",
    "H21": "Backend connection refused",
    "H27": "Client Request Interrupted",
    "H28": "Client Connection Idle",
}
VIA = b"1.1 heroku-router"
# Of one connection only (RFC 9110 §7.6.1). h11 needs `transfer-encoding`, and writes its own.
HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"}
ADDED = {
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-port",
    b"x-request-id",
    b"x-request-start",
    b"via",
}
APOLOGY = b"<!DOCTYPE html><title>Application error</title><p>The app could not answer. Its log says more.\n"


@dataclass(frozen=True)
class Limits:
    """Seconds, those of Heroku by default; `active`: requests at a time for each dyno, None for any number."""

    first_byte: float = 30.0
    silence: float = 55.0
    kept: float = 90.0  # that a connection to a dyno waits for its next request
    boot: float = 75.0  # that a request waits for a dyno that starts
    active: int | None = None


class Refused(Exception):
    """No dyno can have the request; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Gone(Exception):
    """A side has closed its connection, or speaks no HTTP/1.1."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.peer = peer


class Peer:
    """One side of an exchange: an h11 connection on a stream. `name`: of the dyno, if it is one."""

    def __init__(
        self, role: Role, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = ""
    ) -> None:
        self.http = h11.Connection(role)
        self.name = name
        self.host, self.port = writer.get_extra_info("peername")[:2]
        self._reader = reader
        self._writer = writer

    @property
    def ended(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    async def read(self) -> bytes:
        """Return what comes next; nothing at the end."""
        try:
            return await self._reader.read(65536)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Gone(self) from error

    async def next(self) -> h11.Event:
        """Return the next event of a message."""
        try:
            while (event := self.http.next_event()) is h11.NEED_DATA:
                self.http.receive_data(await self.read())
        except h11.RemoteProtocolError as error:
            raise Gone(self) from error
        if isinstance(event, h11.ConnectionClosed):
            raise Gone(self)
        assert isinstance(event, h11.Event), event
        return event

    async def send(self, event: h11.Event) -> None:
        if data := self.http.send(event):
            await self.write(data)

    def next_cycle(self) -> bool:
        """Prepare for the next request; False when the connection has to be closed."""
        reusable = self.http.our_state is h11.DONE and self.http.their_state is h11.DONE
        if reusable:
            self.http.start_next_cycle()
        return reusable

    def close(self) -> None:
        with suppress(OSError, RuntimeError):
            self._writer.close()


@dataclass
class Line:
    """One line of the router's log."""

    method: str
    path: str
    host: str
    request_id: str
    fwd: str
    protocol: str
    dyno: str = ""
    code: str = ""
    status: int = 0
    bytes: int = 0
    service_ms: int = 0

    def __str__(self) -> str:
        fault = f'error code={self.code} desc="{CODES[self.code]}"' if self.code else "info"
        return (
            f'at={fault} method={self.method} path="{self.path}" host={self.host} request_id={self.request_id}'
            f' fwd="{self.fwd}" dyno={self.dyno} service={self.service_ms}ms status={self.status or ""}'
            f" bytes={self.bytes or ''} protocol={self.protocol}"
        )


class Backends(Protocol):
    """Who has the connections to dynos. `port` is the one that clients come to."""

    limits: Limits
    port: int

    async def acquire(self) -> Peer:
        """Return a connection to a dyno. Raises Refused."""

    def release(self, dyno: Peer) -> None:
        """Keep a connection for the next request, or close it."""


class Exchange:
    """One request of a client, and its response."""

    def __init__(self, backends: Backends, client: Peer, request: h11.Request, protocol: str) -> None:
        self._backends = backends
        self._client = client
        self._dyno: Peer
        self._headers = dict(request.headers)
        self._request = request
        self._whole = False  # the request has come to its end
        self._begun = False  # the response has
        self._switched = False  # both sides speak WebSocket
        self.line = Line(
            method=request.method.decode(),
            path=request.target.decode("latin-1"),
            host=self._header(b"host"),
            request_id=self._header(b"x-request-id") or str(uuid.uuid4()),
            fwd=", ".join(filter(None, [self._header(b"x-forwarded-for"), client.host])),
            protocol=protocol,
        )

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    async def run(self) -> None:
        """Pass request and response on; says in `line` what became of it. Raises Gone when the client has left."""
        begun = time.monotonic()
        try:
            self._dyno = await self._backends.acquire()
            self.line.dyno = self._dyno.name
            try:
                await self._pass_on()
            finally:
                self._backends.release(self._dyno)
        except Refused as refused:
            await self._fail(refused.code)
        except TimeoutError:
            await self._fail("H15" if self._begun else "H12" if self._whole else "H28")
        except Gone as gone:
            await self._fail(self._code_of(gone.peer))
        finally:
            self.line.service_ms = round((time.monotonic() - begun) * 1000)

    def _code_of(self, gone: Peer) -> str:
        if self._switched:
            return ""  # a WebSocket has no other end
        if gone is self._client:
            return "H27"
        return "H18" if self._begun else "H13"

    async def _fail(self, code: str) -> None:
        """Apologise where that is still possible; otherwise the client is cut. Raises Gone."""
        self.line.code = code
        if code in ("H27", "H28"):
            self.line.status = 499
        elif code:
            self.line.status = 503
        if self._begun or self.line.status != 503:
            raise Gone(self._client)
        headers = [("content-type", "text/html"), ("content-length", f"{len(APOLOGY)}")]
        await self._client.send(h11.Response(status_code=503, headers=headers))
        if self._request.method != b"HEAD":
            await self._client.send(h11.Data(APOLOGY))
        await self._client.send(h11.EndOfMessage())

    # ---- both directions

    async def _pass_on(self) -> None:
        """Pass request and response on at the same time, within the limits."""
        async with asyncio.timeout(self._backends.limits.silence) as self._limit:
            up, down = (asyncio.create_task(way) for way in (self._upstream(), self._downstream()))
            try:
                await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
                (down if down.done() else up).result()
            finally:
                up.cancel()
                down.cancel()
                await asyncio.gather(up, down, return_exceptions=True)

    def _moved(self) -> None:
        """A byte has passed, either way: silence begins anew. While the dyno has to answer nothing extends its time."""
        if self._begun or not self._whole:
            self._allow(self._backends.limits.silence)

    def _allow(self, seconds: float) -> None:
        if not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)

    async def _upstream(self) -> None:
        """Pass the request on, and then what follows it on a WebSocket, until the client has left: Gone."""
        with suppress(Gone):  # of the dyno, that is: it may have answered before it took all
            await self._dyno.send(self._forwarded())
        while not self._whole:
            event = await self._client.next()
            self._moved()
            self._whole = isinstance(event, h11.EndOfMessage)
            with suppress(Gone):
                await self._dyno.send(event)
        if not self._begun:
            self._allow(self._backends.limits.first_byte)
        while data := await self._client.read():
            self._moved()
            if self._switched:
                await self._dyno.write(data)
            else:
                self._client.http.receive_data(data)  # the next request, or frames that came early
        raise Gone(self._client)

    async def _downstream(self) -> None:
        """Pass the response on to its end."""
        while True:
            event = await self._dyno.next()
            if isinstance(event, h11.InformationalResponse):
                await self._client.send(event)
                if event.status_code == 101:
                    await self._tunnel()
                continue
            if isinstance(event, h11.Response):
                self._begun, self.line.status = True, event.status_code
                event = self._answered(event)
            elif isinstance(event, h11.Data):
                self.line.bytes += len(event.data)
            self._moved()
            await self._client.send(event)
            if isinstance(event, h11.EndOfMessage):
                return

    async def _tunnel(self) -> None:
        """Pass on what a WebSocket's dyno sends, until it has closed: Gone."""
        self._begun = self._switched = True
        self.line.status = 101
        self._moved()
        early, _ = self._client.http.trailing_data
        if early:
            await self._dyno.write(early)
        data, _ = self._dyno.http.trailing_data
        while data := data or await self._dyno.read():
            self._moved()
            self.line.bytes += len(data)
            await self._client.write(data)
            data = b""
        raise Gone(self._dyno)

    # ---- headers

    def _forwarded(self) -> h11.Request:
        """Return the request as the dyno gets it."""
        line, request = self.line, self._request
        headers = [it for it in request.headers if it[0] not in HOP_BY_HOP | ADDED]
        if b"upgrade" in self._headers:
            headers += [(b"connection", b"Upgrade"), (b"upgrade", self._headers[b"upgrade"])]
        added = {
            "x-forwarded-for": line.fwd,
            "x-forwarded-proto": line.protocol,
            "x-forwarded-port": self._backends.port,
            "x-request-id": line.request_id,
            "x-request-start": int(time.time() * 1000),
            "via": VIA.decode(),
        }
        headers += [(name.encode(), str(value).encode("latin-1")) for name, value in added.items()]
        return h11.Request(method=request.method, target=request.target, headers=headers)

    def _answered(self, response: h11.Response) -> h11.Response:
        """Return the head of the response as the client gets it."""
        headers = [*(it for it in response.headers if it[0] not in HOP_BY_HOP), (b"via", VIA)]
        return h11.Response(status_code=response.status_code, headers=headers, reason=bytes(response.reason))
