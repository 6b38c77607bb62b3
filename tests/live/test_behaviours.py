"""What a client can rely on, the same for both transports (protocol §§1-3): verdicts, replay, order, one cursor.

Which verdict a position gets is held by tests/hub; here are the verdicts that need a log on disk and a socket.
"""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.live.conftest import MAX_REPLAY, Servers
from tests.live.followers import TRANSPORTS, Goodbye, Jumped, Position, follow
from tests.live.server import Server
from tests.live.wire import until

# --- verdicts


def test_fresh_on_a_log_starts_with_the_next_update(transport: str, server: Server, log: str) -> None:
    head = server.count(log, 0, 3)
    with follow(transport, server.address, log) as client:
        assert (client.verdict, str(client.cursor)) == ("fresh", head)
        position = server.publish(log, {"n": 3})
        assert client.numbers(1) == [3]
        assert str(client.cursor) == position


def test_fresh_on_a_state_starts_with_its_newest(transport: str, server: Server, state: str) -> None:
    server.count(state, 0, 3)
    with follow(transport, server.address, state) as client:
        assert (client.verdict, client.cursor.id) == ("fresh", 2)
        assert client.numbers(1) == [2]
        server.publish(state, {"n": 3})
        assert client.numbers(1) == [3]


@pytest.mark.parametrize(
    ("kind", "behind"), [("log", 0), ("log", 7), ("log", MAX_REPLAY), ("state", 0), ("state", 7)]
)
def test_a_known_position_is_recovered(
    transport: str, servers: Servers, server: Server, kind: str, behind: int
) -> None:
    """From memory, and beyond TAIL_SIZE from the database."""
    stream = servers.stream(server, kind)
    known = server.count(stream, 0, 3)
    if behind:
        server.count(stream, 3, behind)
    with follow(transport, server.address, stream, known) as client:
        assert (client.verdict, str(client.cursor)) == ("recovered", known)
        assert client.numbers(behind) == list(range(3, 3 + behind))
        server.publish(stream, {"n": "live"})
        assert client.next() == {"n": "live"}


def test_more_than_max_replay_behind_is_a_gap(transport: str, server: Server, log: str) -> None:
    known = Position.of(server.count(log, 0, 3))
    head = server.count(log, 3, MAX_REPLAY + 1)
    with follow(transport, server.address, log, known) as client:
        assert (client.verdict, str(client.cursor)) == ("gap", head)
        if transport == "sse":
            assert client.missed == client.start.id - known.id
        server.publish(log, {"n": "next"})
        assert client.next() == {"n": "next"}


def test_a_trimmed_position_is_a_gap(servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover, KEEP_EVENTS="50", MAX_REPLAY="1000")
    stream = servers.stream(server, "log")
    known = Position.of(server.count(stream, 0, 1))
    numbers = itertools.count(1)

    def trimmed() -> bool:
        server.count(stream, next(numbers), 1)
        with follow("sse", server.address, stream, known) as client:
            return client.verdict == "gap"

    for _ in range(60):
        server.publish(stream, {"n": next(numbers)})
    until(trimmed, "the oldest update is trimmed away")


def test_a_position_that_cannot_be_served_is_a_gap(transport: str, server: Server, log: str) -> None:
    """Whatever it is: never an error, and never a new epoch for the others."""
    head = Position.of(server.count(log, 0, 3))
    unservable: list[Position | str] = [
        Position("x" + head.epoch, 2),
        head.plus(1),
        head.plus(1000),
        "nonsense",
        "é-1",
        "a" * 300,
    ]
    for position in unservable:
        with follow(transport, server.address, log, position) as client:
            assert (client.verdict, client.cursor) == ("gap", head)
            assert client.missed is None, "the number of missed updates is unknown"
    with follow(transport, server.address, log, head) as client:
        assert client.verdict == "recovered"


# --- order, and each update once


def test_a_client_may_change_its_transport(server: Server, log: str) -> None:
    """A position of one transport resumes on every other."""
    journey = ("sse", "cable-v1", "sse", "cable-ext", "cable-v1", "sse")
    position = server.count(log, 0, 1)
    seen = []
    for leg, transport in enumerate(journey):
        server.count(log, 1 + 6 * leg, 3)
        with follow(transport, server.address, log, position) as client:
            assert client.verdict == "recovered"
            server.count(log, 4 + 6 * leg, 3)
            seen += client.numbers(5)  # one is left unread: the next client has to get it
            position = str(client.cursor)
    with follow("sse", server.address, log, position) as last:
        seen += last.numbers(len(journey))
    assert seen == list(range(1, 1 + 6 * len(journey)))


def test_both_transports_name_the_same_positions(server: Server, log: str) -> None:
    with follow("sse", server.address, log) as sse, follow("cable-ext", server.address, log) as ext:
        acknowledged = [server.publish(log, {"n": n}) for n in range(5)]
        for position in acknowledged:
            assert [sse.next(), str(sse.cursor)] == [ext.next(), str(ext.cursor)]
            assert str(sse.cursor) == position


def test_nothing_is_lost_between_replay_and_live(server: Server, log: str) -> None:
    """Connect, drop and resume while updates are published, on another transport each time."""
    publisher = Publishing(server, log, count=400, ahead=120)
    dice = random.Random(7)
    transports = itertools.cycle(TRANSPORTS)
    seen: list[int] = []
    with follow("sse", server.address, log) as first:
        cursor = first.cursor
    publisher.start()
    while len(seen) < publisher.total:
        with follow(next(transports), server.address, log, cursor) as client:
            assert client.verdict == "recovered"
            some = client.numbers(min(dice.randrange(40), publisher.total - len(seen)))
            seen += some
            cursor = client.cursor
            publisher.consumed(len(some))
    publisher.join()
    assert not publisher.errors
    assert seen == list(range(publisher.total))


def test_a_burst_arrives_in_order(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log) as client, follow(transport, server.address, log) as other:
        server.count(log, 0, MAX_REPLAY)
        assert client.numbers(MAX_REPLAY) == other.numbers(MAX_REPLAY) == list(range(MAX_REPLAY))


def test_a_burst_over_max_replay_is_whole_or_a_gap_is_told(transport: str, server: Server, log: str) -> None:
    """What a socket's buffer cannot take is lag; more than MAX_REPLAY of it may be a gap, but never a silent one."""
    with follow(transport, server.address, log) as client:
        server.count(log, 0, 10 * MAX_REPLAY)
        seen: list[int] = []
        try:
            while len(seen) < 10 * MAX_REPLAY:
                seen.append(client.next()["n"])
        except (Jumped, Goodbye) as told:
            assert isinstance(told, Jumped) == (transport == "sse")
        assert seen == list(range(len(seen)))


def test_many_clients_see_the_same(server: Server, log: str) -> None:
    clients = [follow(transport, server.address, log) for transport in TRANSPORTS for _ in range(20)]
    for n in range(25):
        server.publish(log, {"n": n})
    for client in clients:
        assert client.numbers(25) == list(range(25))
        client.drop()
    until(lambda: server.connections("sse") + server.connections("cable") == 0, "the gauges go back to 0")


def test_concurrent_publishers_give_one_order(server: Server, log: str) -> None:
    with follow("sse", server.address, log) as sse, follow("cable-ext", server.address, log) as cable:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: server.api().publish(log, {"n": n}), range(80)))
        first, second = sse.numbers(80), cable.numbers(80)
    assert first == second
    assert sorted(first) == list(range(80))


def test_streams_do_not_mix(transport: str, servers: Servers, server: Server) -> None:
    left, right = servers.stream(server, "log"), servers.stream(server, "log")
    with follow(transport, server.address, left) as one, follow(transport, server.address, right) as two:
        for n in range(10):
            server.publish(left, {"n": n})
            server.publish(right, {"n": -n})
        assert one.numbers(10) == list(range(10))
        assert two.numbers(10) == [-n for n in range(10)]


def test_texts_of_every_size_arrive_unchanged(transport: str, server: Server, log: str) -> None:
    """The sizes are those at which the length field of a WebSocket frame changes, and some around them."""
    updates = [{"text": ('aé€😀\u2028\\"\n' * size)[:size]} for size in (1, 125, 126, 4000, 20_000)]
    with follow(transport, server.address, log) as client:
        for update in updates:
            server.publish(log, update)
        assert client.take(len(updates)) == updates


# --- connections


def test_a_quiet_connection_gets_heartbeats(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log) as client:
        client.beat()
        server.publish(log, {"n": 0})
        assert client.numbers(1) == [0]
        client.beat()


def test_a_client_that_leaves_does_not_disturb_others(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log) as client:
        for n, other in enumerate(TRANSPORTS * 3):
            follow(other, server.address, log).drop()
            server.publish(log, {"n": n})
        assert client.numbers(9) == list(range(9))


class Publishing(threading.Thread):
    """Publishes `{"n": 0}`, `{"n": 1}` ... one by one, at most `ahead` more than were consumed."""

    def __init__(self, server: Server, stream: str, count: int, ahead: int) -> None:
        super().__init__(daemon=True)
        self.total = count
        self.errors: list[BaseException] = []
        self._server, self._stream = server, stream
        self._room = threading.Semaphore(ahead)

    def consumed(self, number: int) -> None:
        if number:
            self._room.release(number)

    def run(self) -> None:
        api = self._server.api()
        try:
            for n in range(self.total):
                self._room.acquire()
                api.publish(self._stream, {"n": n})
        except BaseException as error:  # noqa: BLE001 - the test's own thread looks at it
            self.errors.append(error)
