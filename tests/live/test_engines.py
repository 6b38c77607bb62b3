"""The behaviours of test_behaviours.py on the engines that machines share: each update comes from another process.

The client is on one process, what it sees is published to the other: it comes by notification, or at poll speed.
Of the shared suite these are the tests that an engine could break, over SSE, and where a test has them over all
transports: how an update looks on a wire is the same on every engine.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.live.conftest import Servers
from tests.live.followers import follow
from tests.live.server import Server
from tests.live.test_behaviours import (
    test_a_burst_arrives_in_order,
    test_a_client_may_change_its_transport,
    test_a_known_position_is_recovered,
    test_both_transports_name_the_same_positions,
    test_concurrent_publishers_give_one_order,
    test_fresh_on_a_log_starts_with_the_next_update,
    test_fresh_on_a_state_starts_with_its_newest,
    test_nothing_is_lost_between_replay_and_live,
    test_streams_do_not_mix,
    test_texts_of_every_size_arrive_unchanged,
)
from tests.live.wire import until
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

__all__ = [
    "test_a_burst_arrives_in_order",
    "test_a_client_may_change_its_transport",
    "test_a_known_position_is_recovered",
    "test_both_transports_name_the_same_positions",
    "test_concurrent_publishers_give_one_order",
    "test_fresh_on_a_log_starts_with_the_next_update",
    "test_fresh_on_a_state_starts_with_its_newest",
    "test_nothing_is_lost_between_replay_and_live",
    "test_streams_do_not_mix",
    "test_texts_of_every_size_arrive_unchanged",
]
pytestmark = pytest.mark.slow


class Engine(NamedTuple):
    """A database and a broker, and two processes on them."""

    broker: str
    serving: Server
    publishing: Server


@pytest.fixture(scope="module", params=["redis", "postgres", "memory"], ids="postgres+{}".format)
def engine(
    request: pytest.FixtureRequest, all_servers: Servers, postgres: PostgresServer, redis: RedisServer
) -> Engine:
    broker: str = request.param
    url = {"redis": redis.url, "postgres": "postgres", "memory": "memory://"}[broker]
    env = {
        "DATABASE_URL": postgres.url(postgres.new_database()),
        "BROKER_URL": url,
        # What no notification brings has to wait for this; where there are none, everything waits.
        "POLL_SECONDS": "0.05" if broker == "memory" else "60",
    }
    serving = all_servers.get(**env)
    publishing = all_servers.get(**env, MAX_CLIENTS="100")
    serving.publishes_to = publishing.address
    return Engine(broker, serving, publishing)


@pytest.fixture
def server(engine: Engine, servers: Servers) -> Server:
    """The process that has the clients, once it hears the other one."""
    both = (engine.serving, engine.publishing) if engine.broker != "memory" else ()
    until(lambda: all(each.metric("broker_connected") == 1 for each in both), "both are connected")
    return engine.serving


@pytest.fixture
def transport() -> str:
    return "sse"


def test_updates_came_as_the_engine_brings_them(server: Server, engine: Engine, log: str) -> None:
    """A broker that brought nothing would not be noticed otherwise: the log has everything."""
    taken = server.metric("notifications_total", result="taken")
    with follow("sse", server.address, log) as client:
        server.publish(log, {"n": 0}, {"n": 1})
        assert client.numbers(2) == [0, 1]
    by_notification = server.metric("notifications_total", result="taken") > taken
    assert by_notification == (engine.broker != "memory")
