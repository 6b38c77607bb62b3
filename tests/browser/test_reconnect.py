"""What clients of web/client promise in a real browser: each update once and in order, whatever cuts the connection.

Their decisions, one by one, are held by tests/js with fakes; here the browser, the network and the server are real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.client_page import (
    AWAY,
    BOTH,
    FACTORIES,
    NO_SOCKET,
    OTHER,
    QUICK,
    STREAM,
    WATCHFUL,
    BrowserClients,
    no_connection,
    publish,
)
from tests.browser.steady_writer import SteadyWriter
from tests.live.server import Server
from tests.live.wire import Address, until
from tests.services.fault_proxy import FaultProxy


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), QUICK) as running:
        yield running


@pytest.fixture(scope="module")
def unfaulty(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.address.port) as running:
        yield running


@pytest.fixture(scope="module")
def proxied_page(browser: Browser, server: Server, unfaulty: FaultProxy) -> Iterator[BrowserClients]:
    opened = BrowserClients(browser, server, Address("127.0.0.1", unfaulty.port))
    yield opened
    opened.context.close()


@pytest.fixture
def proxy(unfaulty: FaultProxy) -> Iterator[FaultProxy]:
    yield unfaulty
    unfaulty.heal()


@pytest.fixture
def proxied(proxied_page: BrowserClients) -> Iterator[BrowserClients]:
    """Clients that reach the server through a proxy with faults."""
    yield proxied_page
    proxied_page.reset()


# --- the ordinary case


def test_each_update_comes_with_its_position_and_size(server: Server, clients: BrowserClients) -> None:
    clients.start_both(stream=STREAM)
    clients.wait_for_state("live")
    data = {"n": 0, "text": "é"}
    position = server.publish(STREAM, data)
    size_of_data = len(json.dumps(data, ensure_ascii=False).encode())
    for name in BOTH:
        seen = clients.wait_for(name, [0])
        [update] = seen.updates
        size = update.pop("size")
        if name == "sse":
            assert size == size_of_data
        else:  # of the whole frame
            assert size > size_of_data
        assert update == {"data": data, "position": position, "transport": name}
        assert seen.verdict == "fresh" and seen.position == position and seen.transport == name
        assert [each["state"] for each in seen.states] == ["connecting", "live"]
        nothing = {"duplicates": 0, "ignored": 0, "reconnects": 0}
        assert seen.stats == {"updates": 1, "bytes": size, **nothing}
        clients.client(name, "close()")
        assert clients.report(name).state == "closed"
    no_connection(server)
    clients.check()


# --- the server goes and comes


def test_a_killed_server_in_mid_stream(server: Server, clients: BrowserClients) -> None:
    clients.start_both(stream=STREAM)
    clients.wait_for_state("live")
    with SteadyWriter(server, STREAM) as writer:
        writer.wait_for_more()
        server.kill()
        for name in BOTH:
            clients.wait(name, lambda seen: seen.state != "live", "it has noticed")
        server.start()
        clients.wait_for_state("live")
        writer.wait_for_more()
        numbers = writer.end()
    for name in BOTH:
        seen = clients.wait_for(name, numbers)
        assert [each["verdict"] for each in seen.verdicts] == ["fresh", "recovered"]
        assert seen.stats["reconnects"] >= 1
    clients.check(AWAY, NO_SOCKET)


@pytest.mark.slow
def test_a_deploy_in_mid_stream(server: Server, clients: BrowserClients) -> None:
    """The clients are told goodbye, and when to come back; the next process has what they missed."""
    clients.start_both(stream=STREAM)
    clients.wait_for_state("live")
    with SteadyWriter(server, STREAM) as writer:
        writer.wait_for_more()
        server.end()
        assert server.wait() == 0
        server.start()
        clients.wait_for_state("live")
        writer.wait_for_more()
        numbers = writer.end()
    for name in BOTH:
        seen = clients.wait_for(name, numbers)
        assert [each["verdict"] for each in seen.verdicts] == ["fresh", "recovered"]
        assert "server_restart" in seen.reasons("waiting")
    clients.check(AWAY, NO_SOCKET)


@pytest.mark.slow
def test_an_emptied_database_is_a_gap_and_the_client_goes_on(browser: Browser, tmp_path: Path) -> None:
    """A position of another epoch is of no use: the client takes the one of the verdict, and none is dropped."""
    with Server(tmp_path, QUICK) as server:
        clients = BrowserClients(browser, server)
        clients.start_both(stream=STREAM)
        clients.wait_for_state("live")
        before = publish(server, 0, 20)
        for name in BOTH:
            clients.wait_for(name, before)
        server.kill()
        for file in tmp_path.glob("live.db*"):
            file.unlink()
        server.start()
        clients.wait_for_state("live")
        after = publish(server, 100, 3)  # their ids are below those that the clients have seen
        for name in BOTH:
            seen = clients.wait_for(name, before + after)
            assert [each["verdict"] for each in seen.verdicts] == ["fresh", "gap"]
            assert seen.stats["duplicates"] == 0
        clients.check(AWAY, NO_SOCKET)
        clients.context.close()


# --- the network goes and comes


def nothing_is_missing(server: Server, clients: BrowserClients, published: list[int]) -> None:
    """Publish one more, and wait until both have it behind everything else, once and in order."""
    numbers = published + publish(server, len(published), 1)
    for name in BOTH:
        seen = clients.wait_for(name, numbers)
        assert seen.verdict == "recovered" and seen.stats["duplicates"] == 0
    clients.check(AWAY, NO_SOCKET)


def test_a_cut_without_a_word_is_found_and_mended(
    server: Server, proxied: BrowserClients, proxy: FaultProxy
) -> None:
    """As a pulled cable: no FIN, no RST. What was on its way comes later, on a connection that nobody listens to."""
    proxied.start_both(stream=STREAM, **WATCHFUL)
    proxied.wait_for_state("live")
    before = publish(server, 0, 3)
    for name in BOTH:
        proxied.wait_for(name, before)
    proxy.hold()
    away = publish(server, 3, 20)
    for name in BOTH:
        proxied.wait(name, lambda seen: "silence" in seen.reasons("waiting"), "it has left the connection")
        states = [each["state"] for each in proxied.report(name).states]
        assert states[states.index("waiting") - 1] == "stale"
    proxy.heal()
    proxied.wait_for_state("live")
    nothing_is_missing(server, proxied, before + away)


@pytest.mark.slow
def test_a_short_silence_is_stale_and_no_reconnect(
    server: Server, proxied: BrowserClients, proxy: FaultProxy
) -> None:
    proxied.start_both(stream=STREAM, staleAfter=1000, lostAfter=60_000)
    proxied.wait_for_state("live")
    proxy.hold()
    proxied.wait_for_state("stale")
    proxy.heal()
    proxied.wait_for_state("live")
    numbers = publish(server, 0, 2)
    for name in BOTH:
        assert proxied.wait_for(name, numbers).stats["reconnects"] == 0
    proxied.check()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["cut", "half_close"])
def test_what_is_published_while_away_comes_once_and_in_order(
    server: Server, proxied: BrowserClients, proxy: FaultProxy, fault: str
) -> None:
    proxied.start_both(stream=STREAM, **WATCHFUL)
    proxied.wait_for_state("live")
    before = publish(server, 0, 3)
    for name in BOTH:
        proxied.wait_for(name, before)
    proxy.refuse()
    getattr(proxy, fault)()
    proxied.wait_for_state("waiting")
    away = publish(server, 3, 20)
    proxy.heal()
    proxied.wait_for_state("live")
    nothing_is_missing(server, proxied, before + away)


@pytest.mark.slow
def test_offline_waits_and_online_comes_back_at_once(
    server: Server, proxied: BrowserClients, proxy: FaultProxy
) -> None:
    proxied.start_both(stream=STREAM, backoffBase=3_600_000, backoffCap=3_600_000)
    proxied.wait_for_state("live")
    proxied.context.set_offline(True)
    proxy.cut()  # Chromium leaves open sockets alone
    proxied.wait_for_state("waiting", reason="offline")
    lost = next(each for each in proxied.report("sse").states if each["state"] == "waiting")
    assert lost["retryIn"] <= int(QUICK["RETRY_MAX"]), (
        "it comes back when the server has said, not in an hour"
    )
    numbers = publish(server, 0, 20)
    proxied.context.set_offline(False)
    proxied.wait_for_state("live")
    for name in BOTH:
        assert proxied.wait_for(name, numbers).verdict == "recovered"
    proxied.check(AWAY, NO_SOCKET, r"net::ERR_INTERNET_DISCONNECTED")


# --- one transport and the other


def switch(clients: BrowserClients, name: str) -> None:
    """Switch to the other transport, and wait for an update over it."""
    other = OTHER[clients.report(name).transport]
    clients.client(name, f"switchTo('{other}')")
    clients.wait(name, lambda seen: seen.updates[-1]["transport"] == other, f"updates come over {other}")


@pytest.mark.parametrize("first", BOTH)
def test_a_switch_in_mid_stream_loses_and_doubles_nothing(
    server: Server, clients: BrowserClients, first: str
) -> None:
    clients.start("one", "connect", transport=first, stream=STREAM)
    clients.wait_for_state("live", ["one"])
    with SteadyWriter(server, STREAM) as writer:
        for _ in range(3):
            writer.wait_for_more()
            switch(clients, "one")
        numbers = writer.end()
    seen = clients.wait_for("one", numbers)
    assert {update["transport"] for update in seen.updates} == set(BOTH)
    until(lambda: server.connections(OTHER[first]) == 1 and server.connections(first) == 0, "one is left")
    clients.check(NO_SOCKET)


@pytest.mark.slow
@pytest.mark.parametrize("first", BOTH)
def test_a_position_is_handed_from_one_transport_to_the_other(
    server: Server, clients: BrowserClients, first: str
) -> None:
    clients.start("old", FACTORIES[first], stream=STREAM)
    clients.wait_for_state("live", ["old"])
    before = publish(server, 0, 3)
    clients.wait_for("old", before)
    clients.client("old", "close()")
    away = publish(server, 3, 20)
    clients.start("new", FACTORIES[OTHER[first]], stream=STREAM, position=clients.report("old").position)
    clients.wait_for_state("live", ["new"])
    after = publish(server, 23, 1)
    seen = clients.wait_for("new", away + after)
    assert seen.verdict == "recovered" and seen.verdicts[0]["replaying"] in (20, None)
    assert clients.report("old").numbers == before
    clients.check()


@pytest.mark.slow
def test_where_websockets_are_blocked_sse_is_taken(browser: Browser, server: Server) -> None:
    clients = BrowserClients(browser, server)
    clients.opened.page.route_web_socket("**/cable", lambda socket: socket.close())
    clients.start("one", "connect", stream=STREAM)
    clients.wait_for_state("live", ["one"])
    numbers = publish(server, 0, 3)
    assert clients.wait_for("one", numbers).transport == "sse"
    clients.check(NO_SOCKET)
    clients.context.close()
