"""Sockets that show their bytes: the live tests read what was on the wire, not what a library made of it.

Knows TCP, TLS and the HTTP/1 head; knows nothing of SSE (sse.py) or WebSocket (cable.py).
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, TypeVar

from tests.patience import HANG_LIMIT

T = TypeVar("T")
Headers = Iterable[tuple[str, str]]


class Closed(Exception):
    """The peer ended the connection. `reset`: by RST rather than FIN. `rest`: bytes that nobody had asked for."""

    def __init__(self, rest: bytes = b"", *, reset: bool = False) -> None:
        super().__init__(f"{'reset' if reset else 'end of stream'}, unread: {rest[:200]!r}")
        self.rest = rest
        self.reset = reset


def until(check: Callable[[], T], what: str, limit: float = HANG_LIMIT) -> T:
    """Wait for a condition: the first truthy answer of `check`; fails by saying `what` never came true."""
    deadline = time.monotonic() + limit
    pause = threading.Event()
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: still not so after {limit:g} s, last seen {answer!r}")
        pause.wait(0.02)


class Address(NamedTuple):
    """Where a server listens. `patience`: seconds for which its clients wait for each read."""

    host: str
    port: int
    tls: bool = False
    patience: float = HANG_LIMIT

    @property
    def netloc(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.netloc}"

    def connect(self, rcvbuf: int | None = None) -> socket.socket:
        """A connected socket; `rcvbuf` (bytes) has to be set before the connect to make a slow reader."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(self.patience)
        if rcvbuf is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        try:
            sock.connect((self.host, self.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return unverified().wrap_socket(sock) if self.tls else sock
        except BaseException:
            sock.close()
            raise


def unverified() -> ssl.SSLContext:
    """TLS without checks: the certificate is the test's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Unavailable(Exception):
    """The server answered 503: it comes up, or goes down."""


class Wire:
    """A socket and what was read from it but not yet asked for."""

    open: ClassVar[list[Wire]] = []  # so that a test that fails in the middle leaves no socket behind

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.port: int = sock.getsockname()[1]
        self.buffer = bytearray()
        self.open.append(self)

    @classmethod
    def close_all(cls) -> None:
        while cls.open:
            cls.open.pop().close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def fill(self) -> None:
        """Wait for more bytes; Closed when the peer is gone."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Closed(bytes(self.buffer), reset=True) from error
        except ssl.SSLError as error:
            if "timed out" in str(error):
                raise
            raise Closed(bytes(self.buffer)) from error
        if not data:
            raise Closed(bytes(self.buffer))
        self.buffer += data

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.fill()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def until(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`."""
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark))
            self.fill()
        return self.exactly(at + len(mark))

    def some(self) -> bytes:
        """At least one byte, at most what is here."""
        if not self.buffer:
            self.fill()
        return self.exactly(len(self.buffer))

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while True:
            try:
                self.fill()
            except Closed as end:
                self.buffer.clear()
                return end.rest

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def reset(self) -> None:
        """Close with RST and no close handshake, as when a phone loses its network."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class Head(NamedTuple):
    """The head of a response; header names in lower case, in the order they came."""

    version: str
    status: int
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def get(self, name: str) -> str | None:
        """The one value of a header; None when absent, an error when doubled."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


class Response(NamedTuple):
    """A whole response."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status

    def json(self) -> Any:
        assert (self.head.get("content-type") or "").startswith("application/json"), (
            self.head,
            self.body[:200],
        )
        return json.loads(self.body)


def request_bytes(
    method: str, target: str, headers: Headers = (), body: bytes = b"", version: str = "1.1"
) -> bytes:
    """A request as bytes; `content-length` is added when there is a body and no other framing."""
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in headers)]
    names = {name.lower() for name, _ in headers}
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_head(wire: Wire) -> Head:
    first, *lines = wire.until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
    version, status = first.split(" ")[:2]
    pairs = (line.split(":", 1) for line in lines)
    return Head(
        version.removeprefix("HTTP/"), int(status), [(key.lower(), value.strip()) for key, value in pairs]
    )


def read_body(wire: Wire, head: Head) -> bytes:
    """The body of an ordinary response, however it is framed."""
    if (head.get("transfer-encoding") or "") == "chunked":
        return b"".join(iter(lambda: read_chunk(wire), b""))
    length = head.get("content-length")
    return wire.rest() if length is None else wire.exactly(int(length))


def read_chunk(wire: Wire) -> bytes:
    """One chunk, with its framing checked; b"" is the last one."""
    line = wire.until(b"\r\n")[:-2]
    assert line and all(char in b"0123456789abcdefABCDEF" for char in line), f"not a chunk size: {line!r}"
    data = wire.exactly(int(line, 16))
    end = wire.exactly(2)
    assert end == b"\r\n", f"a chunk ends with {end!r}"
    return data


def ask(address: Address, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Response:
    """One request on a connection of its own."""
    extra = [("host", address.netloc), ("connection", "close"), *headers]
    wire = Wire(address.connect())
    try:
        wire.send(request_bytes(method, target, extra, body))
        head = read_head(wire)
        return Response(head, b"" if method == "HEAD" else read_body(wire, head))
    finally:
        wire.close()
