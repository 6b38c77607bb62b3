"""Sockets from several loopback addresses: one address has 28,000 ports for one destination."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen at connect, when the destination is known


def of(index: int, sources: Sequence[str]) -> str:
    """The address that client `index` connects from."""
    return sources[index % len(sources)]


def bound(source: str) -> socket.socket:
    """A non-blocking socket that will connect from `source`. Raises OSError."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def begin(sock: socket.socket, host: str, port: int) -> bool:
    """Start to connect: True when it is connected already; else it will be writable once it is, or once it failed.
    Raises OSError.

    On loopback the answer to a SYN is there before connect(2) returns, but is looked at only when the call lets go of
    the socket: a second call finds it connected, unless the server's queue is full.
    """
    problem = sock.connect_ex((host, port))
    if problem == errno.EINPROGRESS:
        problem = sock.connect_ex((host, port))
    if problem not in (0, errno.EALREADY):
        raise OSError(problem, os.strerror(problem))
    return problem == 0


def complete(sock: socket.socket) -> None:
    """Raises the OSError of a connect that `begin` left open; to be called once it is writable."""
    problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if problem:
        raise OSError(problem, os.strerror(problem))
