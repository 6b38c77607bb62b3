"""A small HTTP proxy that shows a server under a path, as nginx and Traefik do it, with the prefix removed or left."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

from tests.live.wire import Address

PREFIX = "/dash"


class PrefixProxy:
    """Shows `upstream` under PREFIX; all other paths are 404, and kept in `outside`. One request a connection."""

    def __init__(self, upstream: Address, strips: bool) -> None:
        self._upstream = upstream
        self._strips = strips
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self.outside: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            first, rest = head.decode("latin-1").split("\r\n", 1)
            method, target, version = first.split(" ")
            path = target.partition("?")[0]
            if path != PREFIX and not path.startswith(f"{PREFIX}/"):
                self.outside.append(path)
                client.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            if self._strips:
                target = target.removeprefix(PREFIX) or "/"
            if "upgrade: websocket" not in rest.lower():
                lines = [line for line in rest.split("\r\n") if not line.lower().startswith("connection:")]
                rest = "\r\n".join(["connection: close", *lines])
            self._join(client, f"{method} {target} {version}\r\n{rest}".encode("latin-1"))

    def _join(self, client: socket.socket, request: bytes) -> None:
        with self._upstream.connect() as server:
            server.settimeout(None)
            server.sendall(request)
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until the source ends, and then that end."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
