"""Clients that are gone without a word, as when a cable is pulled or a laptop falls asleep: half-open connections."""

from __future__ import annotations

import ctypes
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from dashboard_rt.server.limits import user_timeout_ms
from dashboard_rt.settings import Settings
from tests.live.conftest import SHARED, Servers
from tests.live.followers import TRANSPORTS, follow
from tests.live.server import Server
from tests.live.test_other_servers import FORMS
from tests.live.wire import until
from tests.services.certificates import self_signed

SO_ATTACH_FILTER = 26  # Linux; the socket module does not name it
RETURN = 0x06  # BPF_RET | BPF_K: with k = 0 the segment is dropped


class Instruction(ctypes.Structure):
    """`struct sock_filter` of <linux/filter.h>."""

    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction)))


def unplug(sock: socket.socket) -> None:
    """Drop every segment that comes for a socket before TCP sees it: nothing is acknowledged any more."""
    drop_all = Program(1, ctypes.pointer(Instruction(RETURN, 0, 0, 0)))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(drop_all))


def test_with_the_defaults_a_lost_client_is_noticed_within_30_seconds() -> None:
    settings = Settings.read({})
    assert (
        max(settings.sse_heartbeat, settings.cable_ping) + user_timeout_ms(settings.send_timeout) / 1000 < 29
    )


@pytest.mark.parametrize("seconds", [0.1, 10, 60])
def test_who_takes_nothing_is_for_send_timeout_to_cut(seconds: float) -> None:
    """Linux cuts a peer that acknowledges but takes nothing after TCP_USER_TIMEOUT, too."""
    assert user_timeout_ms(seconds) >= 1000 * seconds + 2000


@pytest.mark.slow
def test_a_lost_client_is_noticed(servers: Servers, tmp_path: Path) -> None:
    """With the handover and without, in worker processes, under uvicorn's own command line with TLS.

    All at once, because each takes 13 seconds.
    """
    key, cert = (str(path) for path in self_signed(tmp_path))
    options = [*FORMS["uvicorn-handover"], "--ssl-keyfile", key, "--ssl-certfile", cert]
    with ExitStack() as stack:
        env = {"SEND_TIMEOUT": "5"}
        forms = [
            servers.new(env),
            servers.new(env, HANDOVER="off"),
            servers.new(env, WEB_CONCURRENCY="2"),
            Server(tmp_path, SHARED | env, options, tls=True),
        ]
        for server in forms:
            stack.enter_context(server)
        clients = {
            server: [
                stack.enter_context(follow(transport, server.address, "log0")) for transport in TRANSPORTS
            ]
            for server in forms
        }
        staying = [
            stack.enter_context(follow(transport, forms[0].address, "log0")) for transport in TRANSPORTS
        ]
        for lost in clients.values():
            for client in lost:
                unplug(client.client.wire.sock)
        for server, lost in clients.items():
            ports = {client.port for client in lost}
            until(lambda: not ports & server.peers(), "the lost ones have no sockets")  # noqa: B023
        for server in (forms[1], forms[3]):
            until(lambda: server.connections("sse") + server.connections("cable") == 0, "none is counted")  # noqa: B023
        assert forms[0].connections("sse") + forms[0].connections("cable") == len(staying)
        assert forms[0].metric("closed_total", reason="error") == len(clients[forms[0]])
        for client in staying:
            client.beat()
