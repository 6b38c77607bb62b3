"""What the tests of started programs share: a port that is listened on, a process that has ended, a thing come true."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from bench.serving.net import HOST
from bench.serving.program import alive

LIMIT_SECONDS = 30.0


def listens(port: int) -> bool:
    """Whether anybody accepts there."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((HOST, port)) == 0


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come about in {LIMIT_SECONDS:.0f} s"
        time.sleep(0.01)


def ended(pid: int) -> None:
    """Wait for the end of a process."""
    until(lambda: not alive(pid), f"the end of process {pid}")


def asked(port: int, path: str) -> bytes:
    """The beginning of the answer to a GET."""
    with socket.create_connection((HOST, port), timeout=5) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return sock.recv(100)
