"""Asks the kernel for the state of one TCP socket by its two addresses: our peer's, when the peer is on this host.

A peer that cuts a full connection cannot tell: its FIN queues up behind bytes that nobody reads. Its own socket, seen
through NETLINK_SOCK_DIAG, has left ESTABLISHED at that moment. Source: sock_diag(7), linux/inet_diag.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLMSG_ERROR = 1, 2
ESTABLISHED = 1
ANY_STATE, ANY_COOKIE = 0xFFFFFFFF, b"\xff" * 8
HEADER = struct.Struct("=IHHII")

Address = tuple[str, int]


def question(local: Address, remote: Address) -> bytes:
    """The request for the IPv4 socket whose own address is `local`. Pure."""
    ports = struct.pack(">HH", local[1], remote[1])
    hosts = b"".join(socket.inet_aton(host).ljust(16, b"\0") for host, _ in (local, remote))
    identity = ports + hosts + bytes(4) + ANY_COOKIE
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ANY_STATE) + identity
    return HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + body


def read(message: bytes) -> int | None:
    """TCP_* of net/tcp_states.h in the kernel's answer; None when there is no such socket. Raises OSError. Pure."""
    _, kind, _, _, _ = HEADER.unpack_from(message)
    if kind != NLMSG_ERROR:
        return message[HEADER.size + 1]
    problem = -struct.unpack_from("=i", message, HEADER.size)[0]
    if problem != errno.ENOENT:
        raise OSError(problem, f"sock_diag: {os.strerror(problem)}")
    return None


def established(local: Address, remote: Address) -> bool:
    """True while nobody has closed the socket whose own address is `local`; asked in some 30 us. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.send(question(local, remote))
        return read(netlink.recv(8192)) == ESTABLISHED
