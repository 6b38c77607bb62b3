"""bench/targets/*.toml: each server that can run here starts, and the load client gets every update from it."""

from __future__ import annotations

import os
import time

import pytest
from _pytest.mark import ParameterSet

from bench.errors import Environment
from bench.load import payload
from bench.load.clients import LoadClients
from bench.serving import target, target_file
from bench.serving.build import Build
from bench.serving.posting import Publish
from bench.serving.server import Server
from tests import needs

pytestmark = pytest.mark.live

CLIENTS, UPDATES = 5, 20
IN_CI = os.environ.get("CI") == "true"
QUICKEST = ("by-hand", "cable")
DISORDERLY = {"rails-puma"}  # its README says why


def rows(only_state: bool = False) -> list[ParameterSet]:
    """Every target and transport. In CI, where a skip is a failure, those that lack what no setup script of this
    repository installs are no tests at all. All but one are slow: a build, a Redis, a Rails."""
    targets = [target.by_name(name) for name in target_file.names()]
    return [
        pytest.param(one.name, transport, marks=() if (one.name, transport) == QUICKEST else pytest.mark.slow)
        for one in targets
        for transport in one.transports
        if not (IN_CI and one.missing) and (one.keeps_state or not only_state)
    ]


def runnable(name: str, transport: str) -> target.Target:
    """The target; a loud skip where it cannot run."""
    one = target.by_name(name).speaking(transport)
    if one.missing:
        needs.missing(name.upper(), one.missing)
    if one.build is not None:
        built(one.build)
    return one


def built(build: Build) -> None:
    try:
        build.built()
    except Environment as error:
        needs.missing(build.name.upper(), str(error))


def publish(poster: Publish, first: int, last: int) -> None:
    """One by one, a moment apart: whoever loses or doubles some does so without being hurried."""
    for seq in range(first, last + 1):
        now = time.monotonic_ns()
        assert poster.post(payload.stamped(payload.update(seq, now), now)) == 201
        time.sleep(0.005)


@pytest.mark.parametrize(("name", "transport"), rows())
def test_every_update_arrives(name: str, transport: str) -> None:
    one = runnable(name, transport)
    with (
        Server(one) as server,
        LoadClients(one.wire(transport, server.host, server.port), CLIENTS, None) as load,
        server.poster() as poster,
    ):
        load.open(CLIENTS, timeout=20)
        load.measure(1)
        publish(poster, 1, UPDATES - 3)
        lines = b"\n".join(
            payload.update(seq, time.monotonic_ns()) for seq in range(UPDATES - 2, UPDATES + 1)
        )
        assert poster.post(payload.stamped(lines, time.monotonic_ns()), lines=True) == 201
        account = load.finish(UPDATES, 10)["account"]
        load.close()
    if name in DISORDERLY:
        account["disordered"] = 0
    assert account == {
        "expected": CLIENTS * UPDATES,
        "received": CLIENTS * UPDATES,
        "lost": 0,
        "doubled": 0,
        "disordered": 0,
    }


@pytest.mark.parametrize(("name", "transport"), rows(only_state=True))
def test_who_keeps_state_greets_with_the_newest_update(name: str, transport: str) -> None:
    one = runnable(name, transport)
    with (
        Server(one, "state") as server,
        LoadClients(one.wire(transport, server.host, server.port), CLIENTS, None, first=2) as load,
        server.poster() as poster,
    ):
        publish(poster, 1, 2)
        load.measure(2)
        load.open(CLIENTS, timeout=20)
        account = load.finish(2, 10)["account"]
        load.close()
    assert account["received"] == account["expected"] == CLIENTS
