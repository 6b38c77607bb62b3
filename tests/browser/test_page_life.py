"""What clients do when their page is hidden, frozen, or left and come back to with the Back button: really so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import needs
from tests.browser.client_page import BOTH, QUICK, STREAM, no_connection, publish
from tests.browser.conftest import ARGUMENTS
from tests.browser.real_tabs import RealChromium, TabClients
from tests.browser.steady_writer import SteadyWriter
from tests.live.server import Server
from tests.live.wire import Address, until
from tests.services.fault_proxy import FaultProxy

pytestmark = pytest.mark.slow  # a browser of its own


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealChromium]:
    with RealChromium(needs.chromium(), ARGUMENTS, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def server(chromium: RealChromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), QUICK) as running:
        yield running


@pytest.fixture
def clients(chromium: RealChromium, server: Server) -> Iterator[TabClients]:
    yield TabClients(chromium, server.address)
    chromium.close_tabs()


def hide(clients: TabClients) -> None:
    """Open another tab in front."""
    clients.chromium.open_tab()
    until(lambda: clients.evaluate("document.hidden"), "the tab is hidden")


def test_hidden_for_longer_than_the_limit_it_pauses(server: Server, clients: TabClients) -> None:
    clients.start_both(stream=STREAM, hiddenLimit=300)
    clients.wait_for_state("live")
    before = publish(server, 0, 3)
    for name in BOTH:
        clients.wait_for(name, before)
    hide(clients)
    clients.wait_for_state("waiting", reason="hidden")
    no_connection(server)
    away = publish(server, 3, 20)
    clients.tab.bring_to_front()
    clients.wait_for_state("live")
    for name in BOTH:
        seen = clients.wait_for(name, before + away)
        assert seen.verdict == "recovered"
        resumed = next(each for each in seen.states[2:] if each["state"] == "connecting")
        assert resumed["hidden"] is False
    assert clients.violations() == []


def test_hidden_for_less_it_stays_connected(server: Server, clients: TabClients) -> None:
    clients.start_both(stream=STREAM)
    clients.wait_for_state("live")
    hide(clients)
    numbers = publish(server, 0, 3)
    for name in BOTH:
        clients.wait_for(name, numbers)
    clients.tab.bring_to_front()
    until(lambda: not clients.evaluate("document.hidden"), "the tab is seen")
    numbers += publish(server, 3, 3)
    for name in BOTH:
        seen = clients.wait_for(name, numbers)
        assert [each["state"] for each in seen.states] == ["connecting", "live"]


def test_seen_again_it_does_not_sit_out_a_delay(server: Server, clients: TabClients) -> None:
    clients.start_both(stream=STREAM, backoffBase=3_600_000, backoffCap=3_600_000)
    clients.wait_for_state("live")
    hide(clients)
    server.kill()
    clients.wait_for_state("waiting")
    server.start()
    clients.tab.bring_to_front()
    clients.wait_for_state("live")
    numbers = publish(server, 0, 1)
    for name in BOTH:
        assert clients.wait_for(name, numbers).verdict == "recovered"


def test_a_frozen_page_comes_back_whole(server: Server, clients: TabClients) -> None:
    clients.start_both(stream=STREAM)
    clients.wait_for_state("live")
    before = publish(server, 0, 3)
    for name in BOTH:
        clients.wait_for(name, before)
    hide(clients)
    clients.tab.freeze()
    no_connection(server)
    away = publish(server, 3, 20)
    clients.tab.thaw()
    clients.tab.bring_to_front()
    clients.wait_for_state("live")
    for name in BOTH:
        assert clients.wait_for(name, before + away).verdict == "recovered"


def test_left_and_come_back_to_it_resumes_where_it_was(server: Server, clients: TabClients) -> None:
    """The browser keeps the page as it was (back-forward cache), since its connections were closed in time."""
    clients.start_both(stream=STREAM)
    clients.wait_for_state("live")
    before = publish(server, 0, 3)
    for name in BOTH:
        clients.wait_for(name, before)
    clients.tab.go_to(f"{server.address.origin}/up")
    until(lambda: clients.evaluate("location.pathname") == "/up", "the page was left")
    no_connection(server)
    away = publish(server, 3, 20)
    clients.evaluate("history.back()")
    until(lambda: clients.evaluate("'harness' in globalThis"), "the page is back")
    clients.wait_for_state("live")
    for name in BOTH:
        seen = clients.wait_for(name, before + away)  # the old ones are still there: the page was kept
        assert seen.verdict == "recovered"


def test_a_sleep_of_the_machine_is_no_silence(server: Server, clients: TabClients) -> None:
    """The timers are late, and what was sent meanwhile is still to be read: no reason to reconnect."""
    clients.start_both(stream=STREAM, staleAfter=1000, lostAfter=3500)
    clients.wait_for_state("live")
    with SteadyWriter(server, STREAM) as writer:
        clients.chromium.sleep()
        writer.wait_for_more(300)  # which takes longer than a silence may
        clients.chromium.wake()
        numbers = writer.end()
    for name in BOTH:
        seen = clients.wait_for(name, numbers)
        assert "waiting" not in {each["state"] for each in seen.states}


def test_a_connection_that_died_in_the_sleep_is_replaced(server: Server, chromium: RealChromium) -> None:
    with FaultProxy(server.address.port) as proxy:
        clients = TabClients(chromium, Address("127.0.0.1", proxy.port))
        clients.start_both(stream=STREAM, staleAfter=1000, lostAfter=2000)
        clients.wait_for_state("live")
        with SteadyWriter(server, STREAM) as writer:
            chromium.sleep()
            proxy.hold()
            writer.wait_for_more(120)
            chromium.wake()
            for name in BOTH:
                clients.wait(name, lambda seen: "silence" in seen.reasons("waiting"), "it has left it")
            proxy.heal()
            numbers = writer.end()
        for name in BOTH:
            assert clients.wait_for(name, numbers).verdict == "recovered"
        chromium.close_tabs()
