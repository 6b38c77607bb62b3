"""ingest/redis_channel: bytes as they were published, on a real Redis that is killed, frozen and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dashboard_rt.broker import backend
from dashboard_rt.ingest.redis_channel import RedisChannel
from tests.patience import HANG_LIMIT
from tests.services.redis import RedisServer

pytestmark = pytest.mark.anyio


class Heard:
    """A channel that is listened to, and what it gave."""

    def __init__(self, server: RedisServer, name: str) -> None:
        self.server = server
        self.channel = RedisChannel(server.url, name)
        self.payloads: list[bytes] = []
        self.subscriptions = 0

    def _on_subscribed(self) -> None:
        self.subscriptions += 1

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.channel.listen(self.payloads.append, self._on_subscribed))
        try:
            yield
        finally:
            task.cancel()
            _, hangs = await asyncio.wait([task], timeout=HANG_LIMIT)
            assert not hangs

    def publish(self, *words: str) -> None:
        for word in words:
            assert self.server.ask("PUBLISH", self.channel._name, word).startswith(b":")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_LIMIT):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.01)


async def test_messages_come_as_they_were_published(redis: RedisServer) -> None:
    heard = Heard(redis, "in order, \u00e4")
    async with heard.listening():
        await until(lambda: heard.channel.connected)
        heard.publish(*map(str, range(100)), "\u00e4 \x00")
        await until(lambda: len(heard.payloads) == 101)
    assert heard.payloads == [*(b"%d" % n for n in range(100)), "\u00e4 \x00".encode()]
    assert not heard.channel.connected


async def test_it_ends_at_once_whatever_it_does(redis: RedisServer) -> None:
    for turns in range(40):
        heard = Heard(redis, "ended")
        async with heard.listening():
            for _ in range(turns):
                await asyncio.sleep(0)
        assert not heard.channel.connected


async def test_a_connection_that_is_cut_is_a_new_subscription(redis: RedisServer) -> None:
    heard = Heard(redis, "cut")
    async with heard.listening():
        await until(lambda: heard.subscriptions == 1)
        redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: heard.subscriptions == 2)
        heard.publish("1")
        await until(lambda: heard.payloads == [b"1"])


async def test_a_redis_that_comes_late_or_back_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    heard = Heard(server, "late")
    with caplog.at_level("INFO", logger=backend.__name__):
        async with heard.listening():
            await until(lambda: len(caplog.records) == 1)
            await asyncio.to_thread(server.start)
            await until(lambda: heard.subscriptions == 1)
            server.kill()
            await until(lambda: not heard.channel.connected)
            await asyncio.to_thread(server.start)
            await until(lambda: heard.subscriptions == 2)
    server.kill()
    assert ["away" in message for message in caplog.messages] == [True, False, True, False]


async def test_a_frozen_redis_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in ("QUIET_SECONDS", "PATIENCE_SECONDS", "OPEN_SECONDS"):
        monkeypatch.setattr(backend, seconds, 0.1)
    server = RedisServer(tmp_path)
    server.start()
    heard = Heard(server, "frozen")
    async with heard.listening():
        await until(lambda: heard.subscriptions == 1)
        server.freeze()
        await until(lambda: not heard.channel.connected)
        server.thaw()
        await until(lambda: heard.subscriptions >= 2)
    server.kill()
