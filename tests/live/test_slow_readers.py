"""A client that reads slowly or not at all costs a bounded buffer, and the other clients nothing (protocol §§1-2)."""

from __future__ import annotations

import pytest

from tests.live.conftest import Servers
from tests.live.followers import ENDINGS, Follower, Goodbye, Jumped, follow
from tests.live.server import Server
from tests.live.wire import until

PAD = "x" * 60_000  # thirty of these are more than all buffers between the two ends
SMALL = 4096  # bytes of receive buffer that a slow reader asks for


def publish_large(server: Server, stream: str, start: int, number: int) -> None:
    for n in range(start, start + number):
        server.publish(stream, {"n": n, "pad": PAD})


def test_a_slow_reader_gets_everything_in_order(transport: str, server: Server, log: str) -> None:
    with (
        follow(transport, server.address, log, rcvbuf=SMALL) as slow,
        follow(transport, server.address, log) as fast,
    ):
        publish_large(server, log, 0, 60)
        assert fast.numbers(60) == list(range(60)), "the others are not delayed"
        until(
            lambda: server.metric("lagging", transport=transport.partition("-")[0]) >= 1, "the slow one lags"
        )
        assert slow.numbers(60) == list(range(60))
        slow.beat()  # heartbeats skip a connection that lags, and come again afterwards
        publish_large(server, log, 60, 1)
        assert slow.numbers(1) == fast.numbers(1) == [60]
    until(lambda: server.metric("lagging") == 0, "no client lags any more")


def test_a_reader_that_pauses_repeatedly_loses_nothing(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log, rcvbuf=SMALL) as slow:
        seen: list[int] = []
        for turn in range(6):
            publish_large(server, log, turn * 12, 12)
            seen += slow.numbers(11)
        seen += slow.numbers(6)
    assert seen == list(range(72))


def test_a_replay_to_a_slow_reader_is_whole(transport: str, server: Server, log: str) -> None:
    known = server.count(log, 0, 1)
    publish_large(server, log, 1, 60)
    with follow(transport, server.address, log, known, rcvbuf=SMALL) as slow:
        assert slow.verdict == "recovered"
        publish_large(server, log, 61, 5)
        assert slow.numbers(65) == list(range(1, 66))


def test_a_reader_far_behind_is_told(transport: str, servers: Servers, handover: str) -> None:
    """More than MAX_REPLAY behind: SSE continues after a `gap`, cable ends with `too_slow` (protocol §§1-2)."""
    server = servers.get(HANDOVER=handover, MAX_REPLAY="20", TAIL_SIZE="10")
    log = servers.stream(server, "log")
    label = transport.partition("-")[0]
    before = server.metric("gaps_total", transport=label)
    with follow(transport, server.address, log, rcvbuf=SMALL) as slow:
        publish_large(server, log, 0, 120)
        told = read_until_told(slow)
        assert server.metric("gaps_total", transport=label) == before + 1
        if isinstance(told, Goodbye):
            assert (told.reason, transport == "sse") == ("too_slow", False)
            return
        assert told.missed == told.to.id - told.behind.id > 0
        publish_large(server, log, 120, 1)
        assert slow.upto(120)[-1] == 120, "it continues in order behind the gap"


def read_until_told(slow: Follower) -> Jumped | Goodbye:
    """Read what a slow reader still gets, which has to be whole, up to its gap or goodbye."""
    seen: list[int] = []
    try:
        while True:
            seen.append(slow.next()["n"])
            assert seen == list(range(len(seen)))
    except (Jumped, Goodbye) as told:
        return told


def test_a_stuck_reader_is_aborted(transport: str, servers: Servers, handover: str) -> None:
    """After SEND_TIMEOUT without a byte taken; the others do not notice."""
    server = servers.get(HANDOVER=handover, SEND_TIMEOUT="1")
    log = servers.stream(server, "log")
    name = transport.partition("-")[0]
    before = server.metric("aborted_total", transport=name)
    with (
        follow(transport, server.address, log, rcvbuf=SMALL) as stuck,
        follow(transport, server.address, log) as other,
    ):
        for n in range(40):
            publish_large(server, log, n, 1)
            assert other.numbers(1) == [n]  # at once, so that this one never lags
        until(lambda: server.connections(transport) == 1, "the stuck one is gone")
        assert stuck.port not in server.peers(), "what is no longer counted has no socket either"
        assert server.metric("aborted_total", transport=name) == before + 1
        with pytest.raises(ENDINGS):
            stuck.numbers(40)
        publish_large(server, log, 40, 1)
        assert other.numbers(1) == [40]


@pytest.mark.slow  # six seconds of reading slowly; on a busy machine this process could miss its turn
def test_a_reader_that_takes_a_little_is_not_stuck(transport: str, servers: Servers, handover: str) -> None:
    """SEND_TIMEOUT is about no progress at all: reading everything takes three times as long here."""
    server = servers.get(HANDOVER=handover, SEND_TIMEOUT="2")
    log = servers.stream(server, "log")
    with (
        follow(transport, server.address, log, rcvbuf=SMALL) as slow,
        follow(transport, server.address, log) as clock,
    ):
        for n in range(42):
            publish_large(server, log, n, 1)
            assert clock.numbers(1) == [n]
        seen = []
        for _ in range(6):
            seen += slow.numbers(7)
            clock.beat()  # the server's heartbeats, one each half second, are the clock
            clock.beat()
    assert seen == list(range(42))
