"""Stock @rails/actioncable and @anycable/core under Node: connect, receive, stay, come back, resume (protocol §2)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import stock
from tests.live.conftest import Quiet, Servers
from tests.live.stock import KINDS, StockClients, client
from tests.live.wire import until


@pytest.fixture(autouse=True)
def node() -> None:
    """Without Node these tests skip, and say so; where everything has to run they fail."""
    reason = stock.missing()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(f"STOCK CLIENTS NOT TESTED: {reason}")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[StockClients]]:
    """Node processes of the test, ended with it."""
    running: list[StockClients] = []
    yield running
    for clients in running:
        clients.stop()


@pytest.mark.limit(150)
def test_they_come_back_after_a_restart(
    servers: Servers, handover: str, started: list[StockClients], tmp_path: Path
) -> None:
    """All draw the newest state again; on ext a log goes on where it stopped, without loss or double."""
    with servers.new(HANDOVER=handover, CABLE_PING="3") as server:
        wanted = [client(server, kind, "state0") for kind in KINDS]
        on_log = client(server, "anycable-ext", "log0")
        clients = StockClients([*wanted, on_log], tmp_path / "node.log")
        started.append(clients)
        for name in clients.names:
            clients.wait(name, "connected")
        server.publish("state0", {"n": 0})
        server.count("log0", 0, 3)
        for name in clients.names:
            clients.wait(name, "message")
        server.end()
        assert server.wait() == 0
        server.start()
        server.count("state0", 1, 4)
        server.count("log0", 3, 3)
        for one in wanted:
            assert comes_to(clients, one["name"], 4), "the newest state is shown again"
        resumed(clients, on_log["name"], 6)
        server.kill()
        server.start()
        server.count("log0", 6, 30)
        resumed(clients, on_log["name"], 36)
        assert not any(clients.of(name, "rejected") for name in clients.names)


def comes_to(clients: StockClients, name: str, n: int) -> bool:
    """Wait until the client's last message is `n`; it was told to come back, it did, and sees the newest."""
    return until(
        lambda: bool(clients.messages(name)[-1] == {"n": n}), f"{name} shows {n}: {clients.reports}", 60
    )


def resumed(clients: StockClients, name: str, count: int) -> None:
    until(lambda: len(clients.messages(name)) >= count, f"{name} has {count} updates", 60)
    assert [message["n"] for message in clients.messages(name)] == list(range(count))


@pytest.mark.last
@pytest.mark.limit(120)
def test_they_stay_through_a_quiet_minute(quiet_minute: Quiet) -> None:
    """A minute without an update, kept alive by pings alone: nobody reconnects, and the next update arrives."""
    server, clients = quiet_minute.server, quiet_minute.clients
    assert server is not None and clients is not None
    for name in clients.names:
        clients.wait(name, "quiet-over", limit=100)
    for name in clients.names:
        assert len(clients.of(name, "connected")) == 1
        assert not any(clients.of(name, event) for event in ("disconnected", "closed", "rejected", "message"))
    assert server.metric("opened_total", transport="cable") == len(clients.names)
    server.publish("log0", {"n": 0})
    for name in clients.names:
        clients.wait(name, "message")
        assert clients.messages(name) == [{"n": 0}]
