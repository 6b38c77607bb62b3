"""bench/load/stuck.py and bench/load/sockdiag.py: who stops reading, and the moment at which the server cuts it."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from bench.errors import Environment
from bench.load import sockdiag
from tests.bench.load.peer import Talk, talking, until

FULL = b": " + b"x" * 65536 + b"\n\n"


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        return ours, theirs


def fill(sock: socket.socket) -> None:
    sock.setblocking(False)
    try:
        while True:
            sock.send(bytes(65536))
    except BlockingIOError:
        return


def test_a_peer_that_closes_behind_a_full_buffer_is_seen_from_its_side_only() -> None:
    ours, theirs = pair()
    with ours, theirs:
        ends = (theirs.getsockname(), theirs.getpeername())
        fill(theirs)
        assert sockdiag.established(*ends)
        theirs.close()
        assert not sockdiag.established(*ends)
        assert sockdiag.established(
            *reversed(ends)
        )  # we cannot tell: its FIN waits behind what we do not read


def test_a_socket_that_does_not_exist_is_not_established() -> None:
    assert not sockdiag.established(("127.0.0.1", 1), ("127.0.0.1", 2))


def test_another_error_of_the_kernel_is_raised() -> None:
    refused = sockdiag.HEADER.pack(20, sockdiag.NLMSG_ERROR, 0, 1, 0) + struct.pack("=i", -errno.EPERM)
    with pytest.raises(OSError, match="sock_diag: Operation not permitted"):
        sockdiag.read(refused)


@pytest.mark.anyio
async def test_the_stuck_are_left_out_and_their_cut_is_seen() -> None:
    cut: list[Talk] = []

    async def script(talk: Talk) -> None:
        talk.verdict("fresh", 0)
        await until(lambda: talk in cut)
        while not talk.writer.transport.get_write_buffer_size():
            talk.send(FULL)
        talk.writer.transport.abort()

    async with talking(script, "sse") as (peer, load):
        await load.obey({"do": "open", "count": 3, "in_flight": 1, "timeout": 5})
        answer = await load.obey({"do": "stick", "count": 1})
        assert answer == {"stuck": [{"client": 0, "seconds": None}]}
        for talk in peer.talks:
            talk.event(1)
        cut.append(peer.talks[0])
        await until(lambda: load.stuck.report()[0]["seconds"] is not None)
        books = await load.obey({"do": "finish", "last": 1, "timeout": 5})
        assert books["account"] == {"expected": 2, "received": 2, "lost": 0, "doubled": 0, "disordered": 0}
        assert (books["closed"], books["measured"]) == (0, 2)
        assert books["stuck"][0]["seconds"] > 0


@pytest.mark.anyio
async def test_who_reads_again_stays_out_of_the_books() -> None:
    async def script(talk: Talk) -> None:
        talk.verdict("fresh", 0)
        await talk.gone()

    async with talking(script, "sse") as (peer, load):
        await load.obey({"do": "open", "count": 2, "in_flight": 1, "timeout": 5})
        await load.obey({"do": "stick", "count": 1})
        for talk in peer.talks:
            talk.event(1)
        await until(lambda: load.tally.updates == 1)
        assert load.stuck.tally.updates == 0
        await load.obey({"do": "unstick"})
        await until(lambda: load.stuck.tally.updates == 1)
        assert (await load.obey({"do": "finish", "last": 1, "timeout": 5}))["account"]["expected"] == 1


@pytest.mark.anyio
async def test_only_who_is_connected_can_stick() -> None:
    async def script(talk: Talk) -> None:
        talk.verdict("fresh", 0)

    async with talking(script, "sse") as (_, load):
        await load.obey({"do": "open", "count": 1, "in_flight": 1, "timeout": 5})
        await until(lambda: load.tally.closed == 1)
        with pytest.raises(Environment, match="client 0 is not connected"):
            await load.obey({"do": "stick", "count": 1})
