"""What every broker between processes does, over real servers that stay up: broadcast, messages, backends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from _pytest.fixtures import FixtureRequest

from dashboard_rt.broker import broadcast
from dashboard_rt.broker.redis import redis_broker
from dashboard_rt.settings import Settings
from dashboard_rt.types import Notification
from tests.broker.members import Build, pair, until
from tests.services.redis import RedisServer

pytestmark = pytest.mark.anyio


class Service:
    """A server with a channel of its own: `build` makes a broker on it, `inject` sends anything over it."""

    def __init__(self, build: Build, inject: Callable[[str], None], largest: int) -> None:
        self.build = build
        self.inject = inject
        self.largest = largest  # bytes of a text that is carried


def on_redis(server: RedisServer) -> Service:
    settings = Settings.read({"REDIS_URL": server.url})

    def inject(text: str) -> None:
        server.ask("PUBLISH", broadcast.CHANNEL, text)

    return Service(lambda telemetry: redis_broker(settings, telemetry), inject, 256 * 1024)


@pytest.fixture(params=["redis"])
def service(request: FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Service:
    # Other tests use the same servers.
    monkeypatch.setattr(broadcast, "CHANNEL", f"test_{abs(hash(request.node.nodeid))}")
    return on_redis(request.getfixturevalue("redis"))


async def test_both_hear_both_in_order_and_each_its_own_at_once(service: Service) -> None:
    async with pair(service.build) as (a, b):
        await a.say(*range(1, 50, 2))
        await b.say(*range(2, 51, 2))
        await until(lambda: len(a.heard) == len(b.heard) == 50, "each has heard everything")
        for heard in (a.ids(), b.ids()):
            assert [n for n in heard if n % 2] == [*range(1, 50, 2)]
            assert [n for n in heard if not n % 2] == [*range(2, 51, 2)]
        assert b.heard[b.ids().index(7)] == Notification("k3f9", "events", 7, ['{"n":7}'], 1234.5)
        assert a.gaps == b.gaps == 1
