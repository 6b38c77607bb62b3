"""A client that reads slowly or not at all costs its own buffer and nobody else anything (protocol §§1-2)."""

from __future__ import annotations

import pytest

from tests.live.conftest import Servers
from tests.live.followers import ENDINGS, Follower, Goodbye, Jumped, follow
from tests.live.server import Server
from tests.live.wire import until

PAD = "x" * 60_000  # thirty of these are more than all buffers between the two ends
SMALL = 4096  # bytes of receive buffer asked for by a slow reader


def publish_large(server: Server, stream: str, start: int, number: int) -> None:
    for n in range(start, start + number):
        server.publish(stream, {"n": n, "pad": PAD})


def test_a_slow_reader_reads_on_in_order(transport: str, server: Server, log: str) -> None:
    with (
        follow(transport, server.address, log, rcvbuf=SMALL) as slow,
        follow(transport, server.address, log) as fast,
    ):
        publish_large(server, log, 0, 60)
        assert fast.numbers(60) == list(range(60)), "the others are not held up"
        until(
            lambda: server.metric("lagging", transport=transport.partition("-")[0]) >= 1, "the slow one lags"
        )
        assert slow.numbers(60) == list(range(60))
        publish_large(server, log, 60, 1)
        assert slow.numbers(1) == fast.numbers(1) == [60]
    until(lambda: server.metric("lagging") == 0, "nobody lags any more")


def test_a_reader_that_stops_again_and_again_loses_nothing(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log, rcvbuf=SMALL) as slow:
        seen: list[int] = []
        for turn in range(6):
            publish_large(server, log, turn * 12, 12)
            seen += slow.numbers(11)
        seen += slow.numbers(6)
    assert seen == list(range(72))


def test_a_slow_reader_is_still_told_of_small_things(transport: str, server: Server, log: str) -> None:
    """Heartbeats skip a lagging connection and come back with it."""
    with follow(transport, server.address, log, rcvbuf=SMALL) as slow:
        publish_large(server, log, 0, 40)
        assert slow.numbers(40) == list(range(40))
        slow.beat()


@pytest.mark.parametrize("kind", ["log", "state"])
def test_a_reader_far_behind_is_told(transport: str, servers: Servers, handover: str, kind: str) -> None:
    """Over MAX_REPLAY behind: SSE jumps with a `gap`, cable ends with `too_slow` (protocol §§1-2)."""
    server = servers.get(HANDOVER=handover, MAX_REPLAY="20", TAIL_SIZE="10")
    stream = servers.stream(server, kind)
    with follow(transport, server.address, stream, rcvbuf=SMALL) as slow:
        publish_large(server, stream, 0, 120)
        told = read_until_told(slow)
        if isinstance(told, Goodbye):
            assert (told.reason, transport == "sse") == ("too_slow", False)
            return
        assert told.missed == told.to.id - told.behind.id > 0
        publish_large(server, stream, 120, 1)
        assert slow.upto(120)[-1] == 120, "and goes on in order (a state with what was its newest just then)"


def read_until_told(slow: Follower) -> Jumped | Goodbye:
    """Read what a slow reader still gets, which has to be whole, up to the news that it has to jump."""
    seen: list[int] = []
    try:
        while True:
            seen.append(slow.next()["n"])
            assert seen == list(range(len(seen)))
    except (Jumped, Goodbye) as told:
        return told


def test_a_stuck_reader_is_aborted(transport: str, servers: Servers, handover: str) -> None:
    """After SEND_TIMEOUT without a byte taken, and the others never notice."""
    server = servers.get(HANDOVER=handover, SEND_TIMEOUT="1")
    stream = servers.stream(server, "log")
    before = server.metric("aborted_total", transport=transport.partition("-")[0])
    with (
        follow(transport, server.address, stream, rcvbuf=SMALL) as stuck,
        follow(transport, server.address, stream) as other,
    ):
        publish_large(server, stream, 0, 40)
        assert other.numbers(40) == list(range(40))
        until(lambda: server.connections(transport) == 1, "the stuck one is gone")
        assert server.metric("aborted_total", transport=transport.partition("-")[0]) == before + 1
        with pytest.raises(ENDINGS):
            stuck.numbers(40)
        publish_large(server, stream, 40, 1)
        assert other.numbers(1) == [40]


def test_a_reader_that_takes_a_little_is_not_stuck(transport: str, servers: Servers, handover: str) -> None:
    """SEND_TIMEOUT is about no progress, not about being slow: it takes many times that long here."""
    server = servers.get(HANDOVER=handover, SEND_TIMEOUT="1")
    stream = servers.stream(server, "log")
    with (
        follow(transport, server.address, stream, rcvbuf=SMALL) as slow,
        follow(transport, server.address, stream) as clock,
    ):
        publish_large(server, stream, 0, 40)
        assert clock.numbers(40) == list(range(40))
        seen = []
        for _ in range(4):
            seen += slow.numbers(10)
            clock.beat()  # about a second each: the server's own signs of life are the clock
    assert seen == list(range(40))


def test_a_resumed_reader_may_be_slow_as_well(transport: str, server: Server, log: str) -> None:
    """Replay goes through the same narrow door as everything else."""
    known = server.count(log, 0, 1)
    publish_large(server, log, 1, 60)
    with follow(transport, server.address, log, known, rcvbuf=SMALL) as slow:
        assert slow.verdict == "recovered"
        publish_large(server, log, 61, 5)
        assert slow.numbers(65) == list(range(1, 66))
