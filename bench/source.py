"""Sockets from several loopback addresses: one address has 28,000 ports for one destination."""

from __future__ import annotations

import socket
from collections.abc import Sequence

IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen at connect, when the destination is known
CLIENTS_PER_SOURCE = 4000
CONNECT_SECONDS = 5.0


def of(index: int, sources: Sequence[str]) -> str:
    """The address that client `index` connects from."""
    return sources[index // CLIENTS_PER_SOURCE % len(sources)]


def connected(host: str, port: int, source: str) -> socket.socket:
    """A non-blocking socket that is connected: on loopback the kernel shakes hands inside connect(2), so
    blocking there costs nothing. Raises OSError."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
        sock.settimeout(CONNECT_SECONDS)
        sock.connect((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
