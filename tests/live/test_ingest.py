"""INGEST_CHANNEL in real processes: a leader that is killed, frozen or stopped, a Redis that restarts, and a flood.

The messages are PUBLISHed by a Redis client that knows nothing of the product; what counts is what is in the log.
"""

from __future__ import annotations

import asyncio
import re
import selectors
import signal
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis import Redis

from tests.live.conftest import Servers
from tests.live.followers import Follower, follow
from tests.live.server import Server
from tests.live.wire import until
from tests.services.redis import RedisServer

pytestmark = pytest.mark.slow  # several servers start, one after the other

STREAM = "ingested"
FLOOD_SECONDS = 3
FLOOD_RATE = 2000  # messages a second
CROWD = 100  # clients


class Fleet:
    """Some server processes on one database, and the program that publishes."""

    def __init__(self, servers: Servers, redis: RedisServer, database_url: str, processes: int) -> None:
        self._database_url = database_url
        env = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis.url,
            "INGEST_CHANNEL": STREAM,
            "STREAMS": f"{STREAM}:log",
        }
        self.servers = [servers.new(env, TAIL_SIZE="10000").start() for _ in range(processes)]
        self.redis = Redis(host="127.0.0.1", port=redis.port)
        self.published: list[int] = []

    def publish(self, count: int) -> list[int]:
        """Publish the next numbers. Each was heard by somebody, or was not: the answer is not looked at."""
        first = len(self.published)
        numbers = [*range(first, first + count)]
        for number in numbers:
            self.redis.publish(STREAM, f'{{"n":{number}}}')
        self.published += numbers
        return numbers

    def log(self) -> list[int]:
        """The numbers that are in the log, in the order of their ids."""
        found = read(
            self._database_url, f"SELECT id, text FROM updates WHERE stream = '{STREAM}' ORDER BY id"
        )
        assert [id for id, _ in found] == [*range(1, len(found) + 1)]
        return [int(text[5:-1]) for _, text in found]

    def listens(self, server: Server) -> bool:
        return bool(server.ask("GET", "/ready").json()["ingest"] == "leading")

    def leader(self, among: Sequence[Server]) -> Server:
        """The one of these that listens, once one does."""
        found = until(lambda: [server for server in among if self.listens(server)], "one process leads")
        assert len(found) == 1
        return found[0]

    def others(self, server: Server) -> list[Server]:
        return [other for other in self.servers if other is not server]

    def written(self, numbers: Sequence[int]) -> None:
        """Wait until all of these are in the log; none is there twice or out of order."""
        until(lambda: set(numbers) <= set(self.log()), f"{numbers[0]} to {numbers[-1]} are in the log")
        log = self.log()
        assert log == sorted(set(log))

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


def read(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a client of the database sees."""
    if database_url.startswith("sqlite:"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(sql).fetchall()

    async def ask() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(database_url)
        rows = [tuple(row) for row in await connection.fetch(sql)]
        await connection.close()
        return rows

    return asyncio.run(ask())


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def fleet(
    request: pytest.FixtureRequest, servers: Servers, own_redis: RedisServer, database_url: str
) -> Iterator[Fleet]:
    """Of as many processes as the test is marked with."""
    made = Fleet(servers, own_redis, database_url, request.param)
    yield made
    made.stop()


@pytest.mark.parametrize("fleet", [3], indirect=True)
def test_a_leader_that_is_stopped_hands_over_and_one_that_is_killed_is_replaced(fleet: Fleet) -> None:
    with fleet.redis:
        left = fleet.servers
        for sig in (signal.SIGTERM, signal.SIGKILL):
            leader = fleet.leader(left)
            before = fleet.publish(200)
            fleet.written(before)
            left = [server for server in left if server is not leader]
            leader.end(sig)
            while not any(fleet.listens(server) for server in left):
                fleet.publish(20)
            leader.wait()
            fleet.written(fleet.publish(200))
        assert sum(server.metric("ingest_gaps_total", why="takeover") for server in left) == 1


# On SQLite nobody could take the write lock from a process that is frozen within a transaction.
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("fleet", [2], indirect=True)
def test_a_leader_that_was_frozen_while_it_wrote_writes_nothing_more(fleet: Fleet) -> None:
    with fleet.redis:
        leader = fleet.leader(fleet.servers)
        for _ in range(20):
            fleet.publish(20)
        leader.end(signal.SIGSTOP)
        fleet.publish(200)
        successor = fleet.leader(fleet.others(leader))
        by_the_successor = fleet.log()
        heard_by_both = fleet.publish(200)
        fleet.written(heard_by_both)
        leader.end(signal.SIGCONT)
        until(lambda: not fleet.listens(leader), "the frozen leader knows that it leads no more")
        fleet.written(fleet.publish(100))
        assert fleet.log() == [*by_the_successor, *heard_by_both, *fleet.published[-100:]]
        assert fleet.leader(fleet.servers) is successor


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fleet", [2], indirect=True)
def test_a_redis_that_restarts_costs_what_is_published_meanwhile(
    fleet: Fleet, own_redis: RedisServer
) -> None:
    with fleet.redis:
        leader = fleet.leader(fleet.servers)
        fleet.written(fleet.publish(100))
        own_redis.kill()
        until(lambda: not fleet.listens(leader), "the leader has noticed")
        own_redis.start()
        assert fleet.leader(fleet.servers) is leader
        fleet.written(fleet.publish(100))
        assert fleet.log() == fleet.published
        assert leader.metric("ingest_gaps_total", why="reconnect") == 1


class Crowd(threading.Thread):
    """Clients that read all they are sent, as bytes: parsing a flood would take longer than sending it."""

    def __init__(self, clients: Sequence[Follower], last: bytes) -> None:
        super().__init__(daemon=True)
        self._last = last
        self._selector = selectors.DefaultSelector()
        self.received = [bytearray() for _ in clients]
        for client, received in zip(clients, self.received, strict=True):
            self._selector.register(client.client.wire.sock, selectors.EVENT_READ, received)

    def run(self) -> None:
        while self._selector.get_map():
            for key, _ in self._selector.select():
                data = key.fileobj.recv(262144)  # type: ignore[union-attr]
                key.data.extend(data)
                if not data or self._last in key.data[-4096:]:
                    self._selector.unregister(key.fileobj)
        self._selector.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fleet", [1], indirect=True)
def test_a_flood_reaches_every_client(fleet: Fleet) -> None:
    total = FLOOD_SECONDS * FLOOD_RATE
    (server,) = fleet.servers
    with fleet.redis:
        fleet.leader([server])
        clients = [follow(("sse", "cable-v1")[n % 2], server.address, STREAM) for n in range(CROWD)]
        crowd = Crowd(clients, b'"n":%d}' % (total - 1))
        crowd.start()
        pause = threading.Event()
        for first in range(0, total, 20):
            with fleet.redis.pipeline(transaction=False) as pipeline:
                for number in range(first, first + 20):
                    pipeline.publish(STREAM, f'{{"n":{number}}}')
                pipeline.execute()
            pause.wait(20 / FLOOD_RATE)
        crowd.join(90)
        expected = [b"%d" % number for number in range(total)]
        for client, received in zip(clients, crowd.received, strict=True):
            assert re.findall(rb'"n":(\d+)}', received) == expected, client.transport
        assert server.metric("ingest_messages_total", result="dropped") == 0
