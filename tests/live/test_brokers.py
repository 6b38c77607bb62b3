"""Two server processes on one PostgreSQL and one Redis: updates go round at once, without Redis a little later.

One of them reaches Redis through a proxy, which can cut it off alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import NamedTuple

import pytest

from dashboard_rt.budget import postgres_budget
from dashboard_rt.settings import Settings
from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, follow
from tests.live.server import Server
from tests.live.wire import until
from tests.services.fault_proxy import FaultProxy
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

pytestmark = pytest.mark.slow


class Two(NamedTuple):
    """The processes, their Redis, and the way of the second one to it."""

    a: Server
    b: Server
    redis: RedisServer
    way: FaultProxy

    def connected(self) -> bool:
        return all(server.metric("broker_connected") == 1 for server in (self.a, self.b))

    def lost(self) -> list[bool]:
        return [server.metric("broker_connected") == 0 for server in (self.a, self.b)]

    def told(self, *words: str) -> list[int]:
        """How often each process has logged one of these."""
        return [sum(server.output().count(word) for word in words) for server in (self.a, self.b)]

    def goes_round_again(self, publishing: Server, hearing: Server, log: str, first: int) -> int:
        """Publish until the other one takes a notification again; the last number. Each has two connections to make."""
        taken, numbers = hearing.metric("notifications_total", result="taken"), count(first)

        def arrives() -> bool:
            publishing.publish(log, {"n": next(numbers)})
            return hearing.metric("notifications_total", result="taken") > taken

        until(arrives, "updates come by notification again")
        return next(numbers) - 1


@pytest.fixture(scope="module")
def two(
    module_servers: Servers, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[Two]:
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    env = {"DATABASE_URL": postgres.url(postgres.new_database()), "POLL_SECONDS": "0.5"}
    with (
        FaultProxy(redis.port) as way,
        module_servers.new(env, REDIS_URL=redis.url) as a,
        module_servers.new(env, REDIS_URL=f"redis://127.0.0.1:{way.port}/0") as b,
    ):
        yield Two(a, b, redis, way)
    redis.kill()


@pytest.fixture
def log(two: Two, servers: Servers) -> str:
    """An unused stream, while both are connected."""
    until(two.connected, "both are connected")
    return servers.stream(two.a, "log")


def test_what_is_published_to_one_is_taken_from_the_notification_by_the_other(two: Two, log: str) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(follow(each, two.b.address, log)) for each in TRANSPORTS]
        for first in range(0, 200, 10):
            two.a.publish(log, *({"n": n} for n in range(first, first + 10)))
        for client in clients:
            assert client.numbers(200) == [*range(200)]
    # The log may have been read first now and then: it is, when no notification came for a while.
    assert two.b.metric("notifications_total", result="taken") >= 10


@pytest.mark.parametrize("outage", ["killed", "frozen"])
def test_without_redis_nothing_is_lost_and_nobody_is_disconnected(two: Two, log: str, outage: str) -> None:
    away, back = two.told("is away", "does not answer"), two.told("is back after")
    with ExitStack() as stack:
        clients = [stack.enter_context(follow(each, two.b.address, log)) for each in TRANSPORTS]
        (two.redis.kill if outage == "killed" else two.redis.freeze)()
        until(lambda: two.lost() == [True, True], "the loss is noticed by both")
        assert two.b.ask("GET", "/ready").status == 503
        says_what_is_away(two.b)
        two.a.publish(log, {"n": 0}, {"n": 1})
        for client in clients:
            assert client.upto(1) == [0, 1]
        (two.redis.start if outage == "killed" else two.redis.thaw)()
        until(two.connected, "both are connected again")
        until(lambda: two.b.ask("GET", "/ready").status == 200, "it is ready again")
        last = two.goes_round_again(two.a, two.b, log, 2)
        for client in clients:
            assert client.upto(last) == [*range(2, last + 1)]
            assert client.verdicts == ["fresh"], "nobody was disconnected, or told of a gap"
    assert two.told("is away", "does not answer") == [number + 1 for number in away]
    assert two.told("is back after") == [number + 1 for number in back]


def says_what_is_away(server: Server) -> None:
    """It says so wherever an operator, a load balancer or the page asks."""
    ready = server.ask("GET", "/ready").json()
    assert (ready["broker"], ready["log"]) == (False, True)
    assert "The broker is away" in ready["detail"]
    health, debug = (server.ask("GET", path).json() for path in ("/health", "/dashboard/debug"))
    for sentences in (health["degraded"], debug["degraded"]):
        assert [sentence.partition(":")[0] for sentence in sentences] == ["The broker is away"]
    assert debug["broker"]["connected"] is False


@pytest.mark.parametrize("fault", ["cut", "swallowed"])
def test_one_process_that_has_lost_redis_goes_on_and_so_does_the_other(
    two: Two, log: str, fault: str
) -> None:
    """The other one hears nothing of what is published there, and has no reason to think so."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(follow(each, server.address, log))
            for server in (two.a, two.b)
            for each in TRANSPORTS
        ]
        if fault == "cut":
            two.way.refuse()
            two.way.cut()
        else:
            two.way.hold()
        until(lambda: two.b.metric("broker_connected") == 0, "the loss is noticed")
        says_what_is_away(two.b)
        assert two.a.ask("GET", "/ready").status == 200
        for n in range(10):
            (two.a, two.b)[n % 2].publish(log, {"n": n})
        for client in clients:
            assert client.numbers(10) == [*range(10)]
        two.way.heal()
        until(two.connected, "both are connected again")
        until(lambda: two.b.ask("GET", "/ready").status == 200, "it is ready again")
        last = two.goes_round_again(two.a, two.b, log, 10)
        last = two.goes_round_again(two.b, two.a, log, last + 1)
        for client in clients:
            assert client.upto(last) == [*range(10, last + 1)]
            assert client.verdicts == ["fresh"], "nobody was disconnected, or told of a gap"


def test_a_command_that_publishes_and_ends_notifies_too(two: Two, log: str) -> None:
    heard = two.b.metric("notifications_total")
    with follow("sse", two.b.address, log) as client:
        two.a.run("publish", log, '{"n": 0}')
        assert client.numbers(1) == [0]
    until(lambda: two.b.metric("notifications_total") > heard, "the notification has arrived")


def test_over_notify_too(servers: Servers, postgres: PostgresServer) -> None:
    """One PostgreSQL is the database and the broker."""
    database = postgres.new_database()
    env = {"DATABASE_URL": postgres.url(database), "BROKER_URL": "postgres"}
    with servers.new(env) as a, servers.new(env) as b, ExitStack() as stack:
        until(lambda: all(each.metric("broker_connected") == 1 for each in (a, b)), "both are connected")
        log = servers.stream(a, "log")
        clients = [stack.enter_context(follow(each, b.address, log)) for each in TRANSPORTS]
        for first in range(0, 200, 10):
            a.publish(log, *({"n": n} for n in range(first, first + 10)))
        for client in clients:
            assert client.numbers(200) == [*range(200)]
        assert b.metric("notifications_total", result="taken") >= 10
        connections = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        taken = postgres_budget(Settings.read(a.env), 1).takes
        # Only one of them has published.
        counted = postgres.sql(f"SELECT count(*) FROM {connections}", database)
        assert int(counted) == 2 * taken - 1
