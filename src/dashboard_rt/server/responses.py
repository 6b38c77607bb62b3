"""How responses that are not handed over leave uvicorn: in one write where possible, and HTTP/1.0 without chunks.

One of the modules that know uvicorn's insides; handover.py says why they have to.
"""

from __future__ import annotations

import asyncio

from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class _HeldHead:
    """Stands in for the transport of a cycle between the head and the body of its response."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.flush()
        self.transport.close()

    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def flush(self) -> None:
        data, self.data = self.data, b""
        # A client that has left between head and body: uvloop raises when a closed transport is written to.
        if data and not self.transport.is_closing():
            self.transport.write(data)


class JoinedCycle(RequestResponseCycle):
    """Sends a head that announces its body's length together with the body: each write is a system call.

    A response to a request whose body was not read ends the connection: what is left of that body could be as long as
    it likes. It ends slowly (`lingers`), or the peer would not get to read the response.
    """

    held: _HeldHead | None = None
    lingers = False

    @property
    def streams(self) -> bool:
        """Whether a response is being sent whose length nobody knows."""
        return self.response_started and not self.response_complete and self.chunked_encoding is True

    def flush(self) -> None:
        """Write what is held back."""
        if self.held is not None:
            self.held.flush()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            if self.more_body:
                self.keep_alive, self.lingers = False, True
            if not self.response_started and self._body_follows(message):
                self.held = _HeldHead(self.transport)
                self.transport = self.held  # type: ignore[assignment]
                await super().send(message)
                return
        elif self.lingers and not message.get("more_body", False):
            self.keep_alive = True  # uvicorn would close at once; Http1Protocol.on_response_complete lingers
        try:
            await super().send(message)
        finally:
            if self.held is not None:
                held, self.held = self.held, None
                self.transport = held.transport
                held.flush()

    def _body_follows(self, message: HTTPResponseStartEvent) -> bool:
        if self.scope["method"] == "HEAD":
            return False
        return any(
            name.lower() == b"content-length" and value != b"0" for name, value in message.get("headers", ())
        )


class Http10Cycle(JoinedCycle):
    """Responds to HTTP/1.0 without chunks: the end of the body is the end of the connection (RFC 9112 §6.3)."""

    until_close = False

    @property
    def streams(self) -> bool:
        return self.response_started and not self.response_complete and self.until_close

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", [])}
            if b"content-length" not in names:
                self.chunked_encoding, self.until_close = False, True
        elif message["type"] == "http.response.body" and self.until_close:
            # uvicorn counts the bytes that are still to come and fails on more: keep its count right.
            self.expected_content_length = len(message.get("body", b"")) + bool(message.get("more_body"))
        await super().send(message)
