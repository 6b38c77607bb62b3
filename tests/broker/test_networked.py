"""What every broker between processes does, over real servers that stay up: broadcast, messages, backends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
import redis as redis_py

from dashboard_rt.broker import broadcast
from dashboard_rt.broker.broadcast import BroadcastBroker
from dashboard_rt.broker.postgres import LIMITS as POSTGRES_LIMITS
from dashboard_rt.broker.postgres import PostgresBackend
from dashboard_rt.broker.redis import LIMITS as REDIS_LIMITS
from dashboard_rt.broker.redis import RedisBackend
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Notification
from tests.broker.members import Build, member, pair, until
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

pytestmark = pytest.mark.anyio


class Channel:
    """A channel of its own on a server: `build` makes a broker on it, `inject` sends anything over it."""

    def __init__(self, size: int, build: Build, inject: Callable[[str | bytes], object]) -> None:
        self.size = size  # of a message in bytes
        self.build = build
        self.inject = inject


def on_redis(server: RedisServer) -> Channel:
    client = redis_py.Redis.from_url(server.url)

    def build(telemetry: Telemetry) -> BroadcastBroker:
        return BroadcastBroker(RedisBackend(server.url, telemetry), REDIS_LIMITS, telemetry)

    return Channel(REDIS_LIMITS.size, build, lambda payload: client.publish(broadcast.CHANNEL, payload))


def on_postgres(server: PostgresServer) -> Channel:
    database = server.new_database()

    def build(telemetry: Telemetry) -> BroadcastBroker:
        return BroadcastBroker(
            PostgresBackend(server.url(database), "off", telemetry), POSTGRES_LIMITS, telemetry
        )

    def inject(payload: str | bytes) -> None:
        text = payload if isinstance(payload, str) else payload.decode()
        quoted = text.replace("'", "''")
        server.sql(f"SELECT pg_notify('{broadcast.CHANNEL}', '{quoted}')", database)

    return Channel(POSTGRES_LIMITS.size, build, inject)


@pytest.fixture
def own_channel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests use the same Redis."""
    monkeypatch.setattr(broadcast, "CHANNEL", f"test_{abs(hash(request.node.nodeid))}")


@pytest.fixture
def over_redis(own_channel: None, redis: RedisServer) -> Channel:
    return on_redis(redis)


@pytest.fixture(params=["redis", "postgres"])
def channel(request: pytest.FixtureRequest, own_channel: None) -> Channel:
    server = request.getfixturevalue(request.param)
    return on_redis(server) if request.param == "redis" else on_postgres(server)


async def test_both_hear_both_in_order_and_each_its_own_once(channel: Channel) -> None:
    async with pair(channel.build) as (a, b):
        await a.say(*range(1, 50, 2))
        await b.say(*range(2, 51, 2))
        await until(lambda: len(a.heard) == len(b.heard) == 50, "each has heard everything")
        await a.say(51)
        await until(lambda: 51 in b.ids(), "one more")
        for heard in (a.ids(), b.ids()):
            assert [n for n in heard if n % 2] == [*range(1, 52, 2)]
            assert [n for n in heard if not n % 2] == [*range(2, 51, 2)]
        assert b.heard[b.ids().index(7)] == Notification("k3f9", "events", 7, ['{"n":7}'], 1234.5)
        assert a.gaps == b.gaps == 1, "who has just connected may have missed something"
        assert a.telemetry.value("broker_connected") == 1


async def test_the_own_process_does_not_wait_for_the_network(channel: Channel) -> None:
    async with member(channel.build) as alone:
        await alone.say(1)
        assert alone.heard == [], "those who have published get their answers first"
        await asyncio.sleep(0)
        assert alone.ids() == [1]


async def test_what_is_notified_at_the_same_time_arrives_whole(channel: Channel) -> None:
    async with pair(channel.build) as (a, b):
        await asyncio.gather(*[a.say(n) for n in range(1, 501)])
        await until(lambda: len(b.heard) == 500, "everything has arrived")
        assert b.ids() == [*range(1, 501)]


async def test_groups_come_in_pieces_and_what_is_too_large_without_its_updates(channel: Channel) -> None:
    async with pair(channel.build) as (a, b):
        # Of characters with three bytes: the limits are in bytes.
        texts = [f'"{n}{"€" * (channel.size // 12)}"' for n in range(1, 11)]
        await a.broker.notify(Notification("e", "s", 10, texts, 1.0))
        await until(lambda: 10 in b.ids(), "the last piece has arrived")
        assert 3 <= len(b.heard) <= 8
        assert [text for each in b.heard for text in each.texts] == texts
        assert [each.first_id for each in b.heard] == [1, *(each.last_id + 1 for each in b.heard[:-1])]
        await a.broker.notify(Notification("e", "s", 11, ["€" * (channel.size // 3)], 1.0))
        await until(lambda: 11 in b.ids(), "its id has arrived")
        assert b.heard[-1].texts == []
        largest = Notification("e", "s", 12, ["x" * (channel.size - 60)], 1.0)
        await a.broker.notify(largest)
        await until(lambda: 12 in b.ids(), "the largest has arrived")
        assert b.heard[-1] == largest
        assert a.telemetry.value("broker_dropped", reason="failed") == 0


async def test_what_cannot_be_read_is_counted_and_skipped(
    channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    poison = ["hello", "{}", 'x\n{"epoch":1}', 'x\n["e","s",5,9,0]', 'x\n["e","s",1,0,"now"]', "x" * 7000]
    async with pair(channel.build) as (a, b):
        for payload in poison:
            channel.inject(payload)
        await a.say(1)
        await until(lambda: b.ids() == [1], "the next one is heard")
        assert b.telemetry.value("broker_poison", reason="shape") == len(poison)
        assert len([r for r in caplog.records if "skipped" in r.message]) == 2, "one for each of both"


async def test_bytes_that_are_no_text_and_floods_of_them_are_skipped(over_redis: Channel) -> None:
    async with pair(over_redis.build) as (a, b):
        over_redis.inject(b"\xff\xfe")
        over_redis.inject(b"x" * 1_100_000)
        await a.say(1)
        await until(lambda: b.ids() == [1], "the next one is heard")
        for reason in ("encoding", "size"):
            assert b.telemetry.value("broker_poison", reason=reason) == 1


async def test_what_does_not_fit_into_the_queue_is_counted(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "MAX_QUEUED_BYTES", 1000)
    async with pair(channel.build) as (a, b):
        await a.say(*range(1, 101))
        dropped = a.telemetry.value("broker_dropped", reason="queue")
        assert dropped > 0
        await until(lambda: len(b.heard) == 100 - dropped, "the rest has arrived")
        assert len(a.heard) == 100


async def test_at_the_end_what_is_queued_is_sent(channel: Channel) -> None:
    async with pair(channel.build) as (a, b):
        await a.say(*range(1, 101))
        await a.broker.stop()
        await until(lambda: len(b.heard) == 100, "everything has arrived")
        await a.say(101)
        await a.broker.stop()
        assert not a.connected() and a.telemetry.value("broker_dropped", reason="away") == 1


async def test_a_service_that_takes_nothing_is_logged_once(
    redis: RedisServer, own_channel: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subscribing is permitted, publishing is not."""
    monkeypatch.setattr(broadcast, "FAILED_SECONDS", 0.0)
    redis.ask("ACL", "SETUSER", "listener", "on", ">secret", "resetchannels", "&*", "+subscribe", "+ping")
    url = redis.url.replace("redis://", "redis://listener:secret@")
    caplog.set_level(logging.INFO)

    def build(telemetry: Telemetry) -> BroadcastBroker:
        return BroadcastBroker(RedisBackend(url, telemetry), REDIS_LIMITS, telemetry)

    async with member(build) as mute:
        await until(mute.connected, "it hears")
        for n in range(1, 6):
            await mute.say(n)
            await until(lambda n=n: mute.telemetry.value("broker_dropped", reason="failed") == n, "refused")  # type: ignore[misc]
    (told,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert "neither publish nor subscribe" in told and "secret" not in told
