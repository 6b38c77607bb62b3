"""What a client can count on, one set for both transports (protocol §§1-3): verdicts, replay, order, one cursor."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, Follower, Goodbye, Jumped, Position, follow
from tests.live.server import Server
from tests.live.wire import until

MAX_REPLAY = 200  # as conftest.SHARED sets it

GARBAGE = [
    "nonsense",
    "-",
    "abc-",
    "-5",
    "abc--",
    "k3f9-1e3",
    "k3f9-99999999999999999999999",
    "0",
    "../etc-1",
    "é-1",
    "a" * 300,
]


# --- verdicts


def test_fresh_on_an_empty_log_starts_with_its_first_update(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log) as client:
        assert (client.verdict, client.cursor.id) == ("fresh", 0)
        position = server.publish(log, {"n": 0})
        assert client.numbers(1) == [0]
        assert str(client.cursor) == position


def test_fresh_on_a_log_starts_with_the_next_update(transport: str, server: Server, log: str) -> None:
    head = server.count(log, 0, 3)
    with follow(transport, server.address, log) as client:
        assert (client.verdict, str(client.cursor)) == ("fresh", head)
        server.publish(log, {"n": 3})
        assert client.numbers(1) == [3]


def test_fresh_on_a_state_starts_with_its_newest(transport: str, server: Server, state: str) -> None:
    server.count(state, 0, 3)
    with follow(transport, server.address, state) as client:
        assert (client.verdict, client.cursor.id) == ("fresh", 2)
        assert client.numbers(1) == [2]
        server.publish(state, {"n": 3})
        assert client.numbers(1) == [3]


def test_fresh_on_an_empty_state_starts_with_its_first_update(
    transport: str, server: Server, state: str
) -> None:
    with follow(transport, server.address, state) as client:
        assert (client.verdict, client.cursor.id) == ("fresh", 0)
        server.publish(state, {"n": 0})
        assert client.numbers(1) == [0]


@pytest.mark.parametrize("kind", ["log", "state"])
@pytest.mark.parametrize("behind", [0, 1, 7, 120, MAX_REPLAY])
def test_a_known_position_is_recovered(
    transport: str, servers: Servers, server: Server, kind: str, behind: int
) -> None:
    stream = servers.stream(server, kind)
    known = server.count(stream, 0, 3)
    if behind:
        server.count(stream, 3, behind)
    with follow(transport, server.address, stream, known) as client:
        assert (client.verdict, str(client.cursor)) == ("recovered", known)
        assert client.replaying in (behind, None), "the confirm may leave `replaying` out"
        assert client.numbers(behind) == list(range(3, 3 + behind))
        server.publish(stream, {"n": "live"})
        assert client.next() == {"n": "live"}


def test_sse_says_how_much_it_replays(server: Server, log: str) -> None:
    known = server.count(log, 0, 2)
    server.count(log, 2, 5)
    with follow("sse", server.address, log, known) as client:
        assert (client.replaying, client.missed) == (5, None)


@pytest.mark.parametrize("kind", ["log", "state"])
def test_more_than_max_replay_behind_is_a_gap(
    transport: str, servers: Servers, server: Server, kind: str
) -> None:
    stream = servers.stream(server, kind)
    known = server.count(stream, 0, 3)
    server.count(stream, 3, MAX_REPLAY + 1)
    with follow(transport, server.address, stream, known) as client:
        newest = 3 + MAX_REPLAY
        assert_gap(client, newest + 1, kind, newest)
        assert_missed(client, Position.of(known))
        server.publish(stream, {"n": "next"})
        assert client.next() == {"n": "next"}


def test_a_trimmed_position_is_a_gap(transport: str, servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover, KEEP_EVENTS="50", MAX_REPLAY="1000")
    stream = servers.stream(server, "log")
    known = Position.of(server.count(stream, 0, 1))
    n = itertools.count(1)

    def trimmed() -> bool:
        server.count(stream, next(n), 1)
        with follow(transport, server.address, stream, known) as client:
            return client.verdict == "gap"

    for _ in range(60):
        server.count(stream, next(n), 1)
    until(trimmed, "the oldest update is trimmed away")


@pytest.mark.parametrize("kind", ["log", "state"])
@pytest.mark.parametrize("what", ["foreign epoch", "future", "zero of another life"])
def test_a_position_that_cannot_be_served_is_a_gap(
    transport: str, servers: Servers, server: Server, kind: str, what: str
) -> None:
    stream = servers.stream(server, kind)
    head = Position.of(server.count(stream, 0, 3))
    asked = {
        "foreign epoch": Position("x" + head.epoch, 2),
        "future": head.plus(1),
        "zero of another life": Position("0" + head.epoch, 0),
    }[what]
    with follow(transport, server.address, stream, asked) as client:
        assert_gap(client, 3, kind, 2)
        assert client.missed is None, "nobody can know"
        server.publish(stream, {"n": 3})
        assert client.numbers(1) == [3]


@pytest.mark.parametrize("position", GARBAGE)
def test_garbage_for_a_position_is_a_gap(transport: str, server: Server, log: str, position: str) -> None:
    head = server.count(log, 0, 1)
    with follow(transport, server.address, log, position) as client:
        assert (client.verdict, str(client.cursor)) == ("gap", head)
        server.publish(log, {"n": 1})
        assert client.numbers(1) == [1]


def test_a_future_position_changes_nothing_for_others(transport: str, server: Server, log: str) -> None:
    head = Position.of(server.count(log, 0, 1))
    with follow(transport, server.address, log, head.plus(1000)) as wrong:
        assert wrong.verdict == "gap"
    with follow(transport, server.address, log, head) as client:
        assert client.verdict == "recovered", "a client's position never causes a new epoch"


def assert_gap(client: Follower, count: int, kind: str, newest: int) -> None:
    """Told `gap` in a stream of `count` updates: a state goes on with its newest, a log with the next."""
    assert client.verdict == "gap"
    if kind == "log":
        assert client.cursor.id == count
    else:
        assert client.cursor.id == count - 1
        assert client.numbers(1) == [newest]


def assert_missed(client: Follower, asked: Position) -> None:
    """Where the count is given at all (SSE always gives it), it is what lies between the two positions."""
    if client.transport == "sse" or client.missed is not None:
        assert client.missed == client.judged_at.id - asked.id


# --- order, once, nothing lost


def test_a_reconnect_replays_once_and_in_order(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log) as client:
        server.count(log, 0, 4)
        assert client.numbers(2) == [0, 1]
    server.count(log, 4, 5)
    with follow(transport, server.address, log, client.cursor) as again:
        assert again.verdict == "recovered"
        assert again.numbers(7) == [2, 3, 4, 5, 6, 7, 8]
        server.publish(log, {"n": 9})
        assert again.numbers(1) == [9], "nothing stands between the replay and what follows"


@pytest.mark.parametrize("journey", [("sse", "cable-v1", "sse"), ("sse", "cable-ext", "sse"), TRANSPORTS])
def test_a_page_may_change_its_transport(server: Server, log: str, journey: tuple[str, ...]) -> None:
    position = server.count(log, 0, 1)
    seen = []
    for leg, transport in enumerate(journey):
        server.count(log, 1 + 6 * leg, 3)
        with follow(transport, server.address, log, position) as client:
            assert client.verdict == "recovered"
            server.count(log, 4 + 6 * leg, 3)
            seen += client.numbers(5)  # leaves one unread: the next leg has to bring it
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


def test_nothing_is_lost_at_the_seam(transport: str, server: Server, log: str) -> None:
    """Connect, drop and resume all the time while updates pour in, on the next transport each time."""
    feed = Feed(server, log, count=400, ahead=120)
    dice = random.Random(7)
    others = itertools.cycle([transport, *TRANSPORTS])
    seen: list[int] = []
    with follow(transport, server.address, log) as first:
        cursor = first.cursor
    feed.start()
    while len(seen) < feed.total:
        with follow(next(others), server.address, log, cursor) as client:
            assert client.verdict == "recovered"
            some = client.numbers(min(dice.randrange(40), feed.total - len(seen)))
            seen += some
            cursor = client.cursor
            feed.consumed(len(some))
    feed.join()
    assert not feed.errors
    assert seen == list(range(feed.total))


def test_a_burst_arrives_in_order(transport: str, servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover, MAX_REPLAY="1000")
    log = servers.stream(server, "log")
    with follow(transport, server.address, log) as client, follow(transport, server.address, log) as other:
        server.count(log, 0, 1000)
        assert client.numbers(1000) == other.numbers(1000) == list(range(1000))


def test_a_burst_over_max_replay_comes_whole_or_it_is_said(transport: str, server: Server, log: str) -> None:
    """What a socket's buffer cannot take at once is lag; over MAX_REPLAY of it may be a gap, never a silent one."""
    with follow(transport, server.address, log) as client:
        server.count(log, 0, 10 * MAX_REPLAY)
        seen: list[int] = []
        try:
            while len(seen) < 10 * MAX_REPLAY:
                seen.append(client.next()["n"])
        except (Jumped, Goodbye) as told:
            assert isinstance(told, Jumped) == (transport == "sse")
        assert seen == list(range(len(seen)))


def test_many_clients_see_the_same(transport: str, server: Server, log: str) -> None:
    clients = [follow(transport, server.address, log) for _ in range(40)]
    for n in range(25):
        server.publish(log, {"n": n})
    for client in clients:
        assert client.numbers(25) == list(range(25))
        client.drop()
    until(lambda: server.connections(transport) == 0, "the gauge goes back to 0")


def test_publishers_at_once_give_one_order(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log) as one, follow(transport, server.address, log) as two:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: server.api().publish(log, {"n": n}), range(80)))
        first, second = one.numbers(80), two.numbers(80)
    assert first == second
    assert sorted(first) == list(range(80))


def test_streams_do_not_mix(transport: str, servers: Servers, server: Server) -> None:
    left, right = servers.stream(server, "log"), servers.stream(server, "log")
    with follow(transport, server.address, left) as one, follow(transport, server.address, right) as two:
        for n in range(10):
            server.publish(left, {"n": n})
            server.publish(right, {"n": -n})
        assert one.numbers(10) == [n for n in range(10)]
        assert two.numbers(10) == [-n for n in range(10)]


@pytest.mark.parametrize("size", [1, 125, 126, 4000, 20_000])
def test_sizes_and_letters_survive(transport: str, server: Server, log: str, size: int) -> None:
    update = {"text": ('aé€😀\u2028\\"\n' * size)[:size]}
    with follow(transport, server.address, log) as client:
        server.publish(log, update)
        assert client.next() == update


# --- signs of life


def test_a_quiet_connection_hears_from_the_server(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log) as client:
        client.beat()
        client.beat()
        server.publish(log, {"n": 0})
        assert client.numbers(1) == [0]
        client.beat()


def test_one_client_leaving_disturbs_nobody(transport: str, server: Server, log: str) -> None:
    with follow(transport, server.address, log) as client:
        for n in range(10):
            follow(transport, server.address, log).drop()
            server.publish(log, {"n": n})
        assert client.numbers(10) == list(range(10))


class Feed(threading.Thread):
    """Publishes `{"n": 0}`, `{"n": 1}` ... one by one, never more than `ahead` of what was consumed."""

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
