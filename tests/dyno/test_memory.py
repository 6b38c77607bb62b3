"""Memory of a dyno with two processes and 5,000 clients of each transport."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from functools import partial

import pytest

from tests.dyno.app import App, Plan
from tests.dyno.dyno import MEMORY_MB
from tests.live.crowd import CableMember, Crowd, Member, SseMember
from tests.live.server import TOKEN, Api
from tests.live.wire import Address, until
from tests.needs import missing
from tests.services.process import service_directory

CLIENTS: Sequence[type[Member]] = [SseMember] * 5000 + [CableMember] * 5000
FILES = 11_000  # open ones of this process: a socket for each client, and the rest
UPDATES = 30
PAD = "x" * 300  # an update has about the size of the dashboard's
CONFIG = {"PUBLISH_TOKEN": TOKEN, "STREAMS": "dashboard_updates:state,crowd:log"}


@pytest.fixture
def many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < FILES:
        missing(f"A LIMIT OF {FILES} OPEN FILES", "Raise it with ulimit -Hn.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.live
def test_ten_thousand_clients_fit_into_a_dyno(many_files: None) -> None:
    """They connect to the dyno itself: behind the router each would need two more files of this process."""
    log: list[str] = []
    with (
        service_directory() as directory,
        App(directory, Plan(config=CONFIG), lambda *words: log.append(": ".join(words))) as app,
    ):
        assert app.deploy(), log
        (dyno,) = app.dynos
        address = Address("127.0.0.1", dyno.port)
        api, most = Api(address), dyno.memory()
        with Crowd(address, "crowd", CLIENTS) as crowd:
            until(crowd.all_here, "all are connected", 120)
            for number in range(1, UPDATES + 1):
                api.publish("crowd", {"n": number, "pad": PAD})
                until(partial(crowd.all_have, number), "all have it")
                most = max(most, dyno.memory(), key=lambda memory: memory.rss)
            assert crowd.surprises == 0
        api.connection.close()
    print(f"\nat most {most.pss:.0f} MB, {most.rss:.0f} with shared pages counted by each process")
    assert most.rss < MEMORY_MB
