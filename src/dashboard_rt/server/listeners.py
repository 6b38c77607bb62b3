"""The listening sockets of `dashboard-rt serve`: one for each address of HOST, all on one port.

Bound here and not by uvicorn, because accepted sockets inherit their buffer sizes and their TCP_USER_TIMEOUT from the
listener, because a name may have several addresses, and because a port in use deserves a sentence that says what to do.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from typing import Any, TypeAlias

from ..errors import BadSetting

SEND_BUFFER = 65536  # bytes; otherwise Linux grows the buffer of a stuck reader to megabytes
BACKLOG = 4096
USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)  # macOS has none
NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # such as ::1 on a machine without IPv6
FREE_PORT_ATTEMPTS = 20

Address: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]

logger = logging.getLogger(__name__)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of `host` that this machine has; port 0 takes one that is free.

    Raises BadSetting, which says what to do.
    """
    try:
        addresses = resolve(host, port)
        for _ in range(FREE_PORT_ATTEMPTS):
            try:
                return _listen_on(addresses, port)
            except OSError as error:
                # The port that was free on the first address was taken on the second.
                if port or error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    except (OSError, UnicodeError) as error:
        raise explain(error, host, port) from None


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of `host`, each once. Raises socket.gaierror, and UnicodeError for what no name can be.

    `localhost` has both loopback addresses, whatever the machine's files say (RFC 6761 §6.3): browsers try both.
    """
    names = ("127.0.0.1", "::1") if host.lower() == "localhost" else (host,)
    found = [
        (family, address)
        for name in names
        for family, _, _, _, address in socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    ]
    return list(dict.fromkeys(found))


def _listen_on(addresses: list[Address], port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, (name, _, *scope) in addresses:
            try:
                listeners.append(_listener(family, (name, port, *scope)))
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                absent = error
                logger.info("Not listening on %s: %s", name, error.strerror)
            else:
                port = listeners[0].getsockname()[1]
        if absent is not None and not listeners:
            raise absent
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listener(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if family == socket.AF_INET6 and address[0] == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # `::` means IPv4 too
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def set_user_timeout(sock: socket.socket, milliseconds: int) -> bool:
    """Have the kernel give up on peers that acknowledge nothing for so long (RFC 5482). False: it had been told.

    What a listener accepts inherits it. Without it Linux goes on sending to a client that has gone for a quarter of an
    hour. Keepalive (SO_KEEPALIVE) is not needed beside it: heartbeats are always waiting to be acknowledged.
    """
    if USER_TIMEOUT is None or sock.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT):
        return False
    sock.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, milliseconds)
    return True


def explain(error: OSError | UnicodeError, host: str, port: int) -> BadSetting:
    """Turn the system's error into a sentence that says what to do."""
    if isinstance(error, socket.gaierror | UnicodeError):  # the latter is Python's for an empty or long label
        return BadSetting(
            f"HOST {host} cannot be resolved: give an address of this machine, such as 127.0.0.1."
        )
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return BadSetting(
            f"Port {port} on {host} is in use: stop what uses it, or choose another: PORT={other} make run"
        )
    if error.errno == errno.EACCES:
        return BadSetting(f"Port {port} is for the system alone: choose a PORT above 1023.")
    if error.errno == errno.EADDRNOTAVAIL:
        return BadSetting(f"HOST {host} is no address of this machine: 0.0.0.0 is every one it has.")
    if error.errno == errno.EAFNOSUPPORT:
        return BadSetting(
            f"HOST {host} needs IPv6, which this machine has not: 0.0.0.0 is every IPv4 address."
        )
    return BadSetting(f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}.")


def url(listener: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    host, port = listener.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"
