"""Stock @rails/actioncable, @anycable/core and eventsource under Node: stay, reconnect, resume (protocol §1, §2)."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.live import stock
from tests.live.clients_document import block, install_package
from tests.live.conftest import Servers
from tests.live.examples import running
from tests.live.followers import follow
from tests.live.server import TOKEN, Server
from tests.live.sse import SseClient
from tests.live.stock import EVENT_SOURCE, KINDS, OURS, StockClients, client
from tests.live.test_tickets import AUTH, ticket
from tests.live.wire import ask, until

Start = Callable[[Sequence[dict[str, Any]]], StockClients]


@pytest.fixture(autouse=True)
def node() -> None:
    """Skip without Node; fail instead where CI=true says that everything is installed."""
    reason = stock.missing()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(f"STOCK CLIENTS NOT TESTED: {reason}")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start stock clients in a Node process, which ends with the test."""
    running: list[StockClients] = []

    def started(clients: Sequence[dict[str, Any]]) -> StockClients:
        running.append(StockClients(clients, tmp_path / "node.log"))
        return running[-1]

    yield started
    for clients in running:
        clients.stop()


def test_stock_clients_connect_and_receive(servers: Servers, handover: str, start: Start) -> None:
    server = servers.get(HANDOVER=handover, CABLE_PING="3")
    server.put("state0", {"n": 0})
    kinds = (*KINDS, EVENT_SOURCE)
    clients = start([client(server, kind, stream) for kind in kinds for stream in ("state0", "log0")])
    for name in clients.names:
        clients.wait(name, "connected")
    server.publish("state0", {"n": 1})
    server.publish("log0", {"n": 1})
    for name in clients.names:
        clients.wait(name, "message", 2 if name.endswith("state0") else 1)
        assert [message["n"] for message in clients.messages(name)] == ([0, 1] if "state0" in name else [1])
        assert not clients.of(name, "rejected") and not clients.of(name, "disconnected")


@pytest.mark.slow  # the clients wait for seconds before they reconnect
def test_stock_clients_reconnect_after_a_restart(servers: Servers, handover: str, start: Start) -> None:
    """All cable clients show the newest state again; on ext a log continues where it stopped, none lost or doubled."""
    with servers.new(HANDOVER=handover, CABLE_PING="3") as server:
        on_state = [client(server, kind, "state0") for kind in KINDS]
        on_log = client(server, "anycable-ext", "log0")
        clients = start([*on_state, on_log])
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
        for one in on_state:
            wait_for_newest(clients, one["name"], 4)
        wait_for_all(clients, on_log["name"], 6)
        server.kill()
        server.start()
        server.count("log0", 6, 30)
        wait_for_all(clients, on_log["name"], 36)
        assert not any(clients.of(name, "rejected") for name in clients.names)


def wait_for_newest(clients: StockClients, name: str, n: int) -> None:
    """Wait until the client's last message is `n`."""
    until(lambda: bool(clients.messages(name)[-1] == {"n": n}), f"{name} shows {n}: {clients.reports}")


def wait_for_all(clients: StockClients, name: str, count: int) -> None:
    """Wait until the client has `count` messages, which have to be 0, 1, 2, ..."""
    until(lambda: len(clients.messages(name)) >= count, f"{name} has {count} updates")
    assert [message["n"] for message in clients.messages(name)] == list(range(count))


@pytest.mark.slow
@pytest.mark.nightly
def test_stock_clients_stay_through_a_quiet_minute(servers: Servers, start: Start) -> None:
    """A minute without an update, kept alive by pings alone: nobody reconnects, and the next update arrives."""
    with servers.new(CABLE_PING="3") as server:
        clients = start([client(server, kind, "log0", quiet=60_000) for kind in KINDS])
        for name in clients.names:
            clients.wait(name, "quiet-over", limit=100)
        for name in clients.names:
            assert len(clients.of(name, "connected")) == 1
            for event in ("disconnected", "closed", "rejected", "message"):
                assert not clients.of(name, event)
        assert server.metric("opened_total", transport="cable") == len(clients.names)
        server.publish("log0", {"n": 0})
        for name in clients.names:
            clients.wait(name, "message")
            assert clients.messages(name) == [{"n": 0}]
        clients.stop()  # before the server stops, which would wait for clients that do not hang up


# ---- eventsource, the replacement of EventSource that uses fetch

SOON = {"RETRY_MIN": "50", "RETRY_MAX": "100"}  # what the package waits by itself is 3 seconds


@pytest.mark.slow  # two restarts
def test_an_event_source_resumes(servers: Servers, handover: str, start: Start) -> None:
    """By its `Last-Event-ID`, after a goodbye and after a crash, with no update lost or doubled."""
    with servers.new(SOON, HANDOVER=handover) as server:
        one = client(server, EVENT_SOURCE, "log0")
        clients = start([one])
        clients.wait(one["name"], "connected")
        server.count("log0", 0, 3)
        wait_for_all(clients, one["name"], 3)
        server.end()
        assert server.wait() == 0
        server.start()
        server.count("log0", 3, 3)
        wait_for_all(clients, one["name"], 6)
        server.kill()
        server.start()
        server.count("log0", 6, 30)
        wait_for_all(clients, one["name"], 36)
        verdicts = [report["verdict"] for report in clients.of(one["name"], "connected")]
        assert verdicts == ["fresh", "recovered", "recovered"]
        assert [report["reason"] for report in clients.of(one["name"], "goodbye")] == ["server_restart"]


def test_an_event_source_comes_in_when_there_is_room(servers: Servers, start: Start) -> None:
    """A server that is full answers 200, because any other status ends an EventSource for good."""
    with servers.new(SOON, MAX_CLIENTS="1") as server:
        with follow("sse", server.address, "log0"):
            one = client(server, EVENT_SOURCE, "log0")
            clients = start([one])
            clients.wait(one["name"], "goodbye", 2)
            assert clients.of(one["name"], "goodbye")[0]["reason"] == "full"
            assert not clients.of(one["name"], "connected")
        clients.wait(one["name"], "connected")
        server.publish("log0", {"n": 0})
        wait_for_all(clients, one["name"], 1)


@pytest.mark.slow  # a server of its own
def test_event_sources_come_in_when_a_server_without_a_connection_left_has_one(
    servers: Servers, start: Start
) -> None:
    """All else is told 503 then, which would end the package's for good: an EventSource is cut without an answer."""
    new = servers.new(SOON, MAX_CLIENTS="50")
    new.command[:0] = ["prlimit", "--nofile=130:130"]  # a hundred of them are for other things
    with new as server, ExitStack() as crowd:
        for _ in range(30):
            crowd.enter_context(SseClient(server.address, "/dashboard/stream?stream=log0"))
        until(lambda: ask(server.address, "GET", "/dashboard").status == 503, "no connection is left")
        sources = [client(server, kind, "log0") for kind in (EVENT_SOURCE, OURS)]
        clients = start(sources)
        for one in sources:
            clients.wait(one["name"], "disconnected")
            assert "code" not in clients.of(one["name"], "disconnected")[0]
            assert not clients.of(one["name"], "connected") and not clients.of(one["name"], "closed")
        crowd.close()
        for one in sources:
            clients.wait(one["name"], "connected")
        server.publish("log0", {"n": 0})
        for one in sources:
            wait_for_all(clients, one["name"], 1)


@pytest.mark.slow  # SQLite waits for two seconds
def test_a_503_ends_the_package_and_not_ours(servers: Servers, start: Start) -> None:
    """Single-use tickets cannot be checked while the database is away. The same comes from proxies."""
    with servers.new(AUTH | SOON) as server:
        first, second, third = (ticket(server, once=True) for _ in range(3))
        theirs = client(server, EVENT_SOURCE, "log0")
        theirs["url"] += f"&ticket={first}"
        ours = client(server, OURS, "log0", tickets=[second, third])
        with closing(sqlite3.connect(server.directory / "live.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            clients = start([theirs, ours])
            clients.wait(theirs["name"], "closed")
            assert clients.of(theirs["name"], "closed")[0]["code"] == 503
            clients.wait(ours["name"], "disconnected")
            told = clients.of(ours["name"], "disconnected")[0]
            assert (told["reason"], told["code"]) == ("refused", 503)
        clients.wait(ours["name"], "connected")
        assert not clients.of(ours["name"], "closed")


# ---- tickets (protocol §6)

WAYS = ("rails", "anycable-v1", "anycable-ext", "anycable-header")


def shown(way: str, token: str) -> dict[str, Any]:
    """How each client is given its token: in its URL, or in an option that puts it elsewhere."""
    strategy = {"anycable-ext": "sub-protocol", "anycable-header": "header"}.get(way, "param")
    options = {"auth": {"token": token}, "websocketAuthStrategy": strategy}
    return {"query": f"?ticket={token}"} if way == "rails" else {"options": options}


def holder(server: Server, way: str, token: str | None, **more: Any) -> dict[str, Any]:
    """A stock client with a token, in its own way; without one it has nothing to send."""
    kind = "anycable-ext" if way == "anycable-header" else way
    found = client(server, kind, "log0", **({} if token is None else shown(way, token)), **more)
    found["name"] = f"{way} {'without' if token is None else 'with'} a ticket"
    found["url"] += found.pop("query", "")
    return found


def event_source(server: Server, token: str | None) -> dict[str, Any]:
    found = client(server, EVENT_SOURCE, "log0")
    found["name"] += " without a ticket" if token is None else " with a ticket"
    found["url"] += "" if token is None else f"&ticket={token}"
    return found


def test_stock_clients_with_tickets(servers: Servers, handover: str, start: Start) -> None:
    server = servers.get(HANDOVER=handover, CABLE_PING="3", **AUTH)
    lasting = ticket(server, once=False)
    let_in = [holder(server, way, lasting) for way in WAYS]
    refused = [holder(server, way, None) for way in WAYS[:3]]
    sources = [event_source(server, token) for token in (lasting, None)]
    issue = {"url": f"{server.address.origin}/tickets", "token": TOKEN}
    refreshing = holder(server, "anycable-ext", "", refreshed=lasting, issue=issue) | {"name": "refreshing"}
    clients = start([*let_in, *refused, *sources, refreshing])
    for one in (*let_in, refreshing, sources[0]):
        clients.wait(one["name"], "connected")
    clients.wait(sources[1]["name"], "closed")
    assert clients.of(sources[1]["name"], "closed")[0]["code"] == 401
    server.publish("log0", {"n": 0})
    for one in let_in:
        clients.wait(one["name"], "message")
    for one in refused[1:]:
        clients.wait(one["name"], "closed")
        assert clients.of(one["name"], "closed")[0]["reason"] == "unauthorized"
    clients.wait("refreshing", "closed")
    assert clients.of("refreshing", "closed")[0]["reason"] == "token_expired"
    clients.wait("refreshing", "connected", 2)
    server.publish("log0", {"n": 1})
    wait_for_all(clients, "refreshing", 2)
    for one in (*let_in, sources[0]):
        wait_for_all(clients, one["name"], 2)
    for one in refused:
        assert not clients.of(one["name"], "connected")
    # Each client without a ticket came once: the disconnect ended it for good.
    assert server.metric("rejected_total", transport="cable", reason="unauthorized") == len(refused)


# ---- our own client, as docs/clients.md shows it


@pytest.mark.slow  # npm takes seconds
def test_the_packed_client_resumes_on_both_transports(servers: Servers, tmp_path: Path) -> None:
    """Installed from its tarball, and with nothing that Node does not have but the package ws."""
    install_package(tmp_path)
    (tmp_path / "node_modules" / "ws").symlink_to(stock.HERE / "node_modules" / "ws")
    log = tmp_path / "log"

    def both_have(count: int) -> None:
        until(lambda: len(log.read_text().splitlines()) >= 2 * count, f"both have {count} updates")
        for transport in ("sse", "cable"):
            assert printed(log, transport) == list(range(count))

    with servers.new(SOON) as server:
        text = block("Node", "js").replace("127.0.0.1:3000", server.address.netloc)
        (tmp_path / "follow.mjs").write_text(text)
        server.publish("dashboard_updates", {"n": 0})
        with running(tmp_path, "node follow.mjs", log):
            both_have(1)
            server.end()
            assert server.wait() == 0
            server.start()
            server.count("dashboard_updates", 1, 20)
            both_have(21)
            server.publish("dashboard_updates", {"n": 21})
            both_have(22)
        assert log.with_suffix(".err").read_text() == ""


def printed(log: Path, transport: str) -> list[int]:
    lines = [line.split(" ", 1) for line in log.read_text().split("\n")[:-1]]
    return [json.loads(text)["n"] for name, text in lines if name == transport]
