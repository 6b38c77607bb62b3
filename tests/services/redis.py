"""A redis-server that keeps nothing on disk."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from tests.needs import redis_server
from tests.services.certificates import Certificate
from tests.services.process import Service


class RedisServer(Service):
    """With a certificate (`tls`) it speaks nothing but TLS."""

    name = "redis"

    def __init__(self, directory: Path, *options: str, tls: Certificate | None = None) -> None:
        super().__init__(directory)
        self._program = redis_server()
        self._options = options
        self._tls = tls

    @property
    def url(self) -> str:
        return f"redis{'s' if self._tls else ''}://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        port: tuple[str, ...] = ("--port", str(self.port))
        if self._tls is not None:
            files = ("--tls-cert-file", str(self._tls.certificate), "--tls-key-file", str(self._tls.key))
            port = ("--port", "0", "--tls-port", str(self.port), *files, "--tls-auth-clients", "no")
        keep_nothing = ("--save", "", "--appendonly", "no")
        return (self._program, *port, "--bind", "127.0.0.1", *keep_nothing, *self._options)

    def answers(self) -> bool:
        if self._tls is not None:
            return "Ready to accept connections" in self._log.read_text(errors="replace")
        return self.ask("PING") == b"+PONG\r\n"

    def ask(self, *words: str) -> bytes:
        """Send one command, without TLS, and return the bytes of its answer; none when nobody listens."""
        parts = [part for word in words for part in (f"${len(word.encode())}", word)]
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
                sock.sendall("\r\n".join([f"*{len(words)}", *parts, ""]).encode())
                return sock.recv(65536)
        except OSError:
            return b""
