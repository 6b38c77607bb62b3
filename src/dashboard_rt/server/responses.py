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
        if data:
            self.transport.write(data)


class JoinedCycle(RequestResponseCycle):
    """Sends a head that announces its body's length together with the body: each write is a system call."""

    held: _HeldHead | None = None

    async def send(self, message: ASGISendEvent) -> None:
        if (
            message["type"] == "http.response.start"
            and not self.response_started
            and self._body_follows(message)
        ):
            self.held = _HeldHead(self.transport)
            self.transport = self.held  # type: ignore[assignment]
            await super().send(message)
            return
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

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", [])}
            if b"content-length" not in names:
                self.chunked_encoding, self.until_close = False, True
        elif message["type"] == "http.response.body" and self.until_close:
            # uvicorn counts the bytes that are still to come and fails on more: keep its count right.
            self.expected_content_length = len(message.get("body", b"")) + bool(message.get("more_body"))
        await super().send(message)
