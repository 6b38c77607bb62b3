"""What a web developer meets in production: odd updates, faulty callbacks, late timers, prefixes, many reconnects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession

from tests.browser.client_page import (
    BOTH,
    NO_SOCKET,
    PATHS,
    QUICK,
    STREAM,
    BrowserClients,
    no_connection,
    publish,
)
from tests.live.proxy import PREFIX, PrefixProxy
from tests.live.server import Server
from tests.live.wire import until

pytestmark = pytest.mark.slow
MANY = 100
FACTORIES = ("connectSse", "connectCable", "connect")
RECONNECT = """
    async (times) => {
        const clients = Object.values(harness.clients).map(({ client }) => client);
        for (let time = 0; time < times; time += 1) {
            for (const client of clients) client.reconnect();
            while (clients.some(({ state }) => state !== "live")) await new Promise(act => setTimeout(act, 5));
        }
    }
"""
ODD: list[Any] = [
    None,
    0,
    "text",
    [],
    {"activities": [{"message": {"toString": 1}}]},
    {"__proto__": {"polluted": 1}},
    {"constructor": {"prototype": 1}},
    "\u2028</script>",
    "x" * 60_000,
]


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), QUICK) as running:
        yield running


def test_whatever_is_published_reaches_the_app_as_it_is(server: Server, clients: BrowserClients) -> None:
    clients.start_both(stream=STREAM)
    clients.wait_for_state("live")
    position = server.publish(STREAM, *ODD)
    for name in BOTH:
        seen = clients.wait(name, lambda seen: seen.position == position, "all have come")
        # As text: on its way out of the browser a value loses what is called `__proto__`.
        kept = f"JSON.stringify(harness.clients.{name}.kept.updates.map(update => update.data))"
        assert json.loads(clients.evaluate(kept)) == ODD
        assert seen.state == "live" and seen.ignored == []
    assert clients.evaluate("({}).polluted === undefined")
    clients.check()


def test_callbacks_that_throw_break_nothing(server: Server, clients: BrowserClients) -> None:
    """Each throws after it has recorded; the errors are the page's, as any other of its own."""
    throwing = """Object.fromEntries(["onUpdate", "onVerdict", "onState"].map(name => [name, (what, meta) => {
        (globalThis.called ??= {})[name] = (globalThis.called[name] ?? 0) + 1;
        throw new Error(`fault of the app in ${name}`);
    }]))"""
    clients.start_both(throwing, stream=STREAM)
    wait_for_own_state(clients, "live")
    publish(server, 0, 3)
    until(lambda: clients.evaluate("called.onUpdate") == 6, "each update was told to both")
    for name in BOTH:
        clients.client(name, "reconnect()")
    until(lambda: clients.evaluate("called.onVerdict") == 4, "both are told a second verdict")
    wait_for_own_state(clients, "live")
    publish(server, 3, 1)
    until(lambda: clients.evaluate("called.onUpdate") == 8, "updates come as before")
    clients.check("fault of the app in on(Update|Verdict|State)")


def wait_for_own_state(clients: BrowserClients, state: str) -> None:
    """As `wait_for_state`, of clients that record nothing."""
    for name in BOTH:
        until(lambda: clients.client(name, "state") == state, f"{name} is {state}")  # noqa: B023


def test_clients_in_one_page_are_apart(server: Server, clients: BrowserClients) -> None:
    """Two of each transport; each with its own cursor and its own figures, and one that is closed takes none along."""
    names = [f"{name}-{number}" for name in BOTH for number in (1, 2)]
    for name in names:
        clients.start(name, {"sse": "connectSse", "cable": "connectCable"}[name[:-2]], stream=STREAM)
    clients.wait_for_state("live", names)
    before = publish(server, 0, 3)
    for name in names:
        clients.wait_for(name, before)
    for name in BOTH:
        clients.client(f"{name}-1", "close()")
    after = publish(server, 3, 3)
    for name in BOTH:
        assert clients.wait_for(f"{name}-2", before + after).stats["updates"] == 6
        assert clients.report(f"{name}-1").numbers == before
    clients.check()


@pytest.mark.parametrize("strips", [True, False], ids=["removes", "leaves"])
def test_behind_a_path_prefix(browser: Browser, prefixed: Server, strips: bool) -> None:
    with PrefixProxy(prefixed.address, strips) as proxy:
        clients = BrowserClients(browser, prefixed, proxy.address, PREFIX)
        clients.start_both()
        for transport in BOTH:
            clients.start(f"auto-{transport}", "connect", transport=transport)
        names = [*BOTH, *(f"auto-{transport}" for transport in BOTH)]
        clients.wait_for_state("live", names)
        position = prefixed.publish("dashboard_updates", {"n": 0}, {"n": 1})
        for name in names:
            seen = clients.wait(name, lambda seen: seen.position == position, "both have come")
            assert seen.numbers[-2:] == [0, 1]
        assert proxy.outside == []
        clients.check()
        clients.context.close()


def test_closed_while_it_connects(server: Server, clients: BrowserClients) -> None:
    """In the same turn, and in the first callback: nothing stays, and nothing is said but that."""
    for factory in FACTORIES:
        options = json.dumps({"url": server.address.origin + PATHS.get(factory, "/"), "stream": STREAM})
        clients.evaluate(
            f"harness.start('{factory}', '{factory}', {options});"
            f"harness.clients.{factory}.client.close();"
            f"harness.clients.{factory}.client.close()"
        )
        clients.start(
            f"{factory}-told",
            factory,
            f"{{ onState: () => harness.clients['{factory}-told'].client.close() }}",
            stream=STREAM,
        )
    no_connection(server)
    for factory in FACTORIES:
        for name in (factory, f"{factory}-told"):
            seen = clients.report(name)
            assert seen.state == "closed" and seen.verdicts == [] and seen.updates == []
        assert [each["state"] for each in clients.report(factory).states] == ["closed"]
    clients.check(NO_SOCKET)


@pytest.mark.parametrize("position", ["other-7", "not a position", "-", "%00&stream=none", "x" * 3000])
def test_a_position_of_elsewhere_is_a_gap(server: Server, clients: BrowserClients, position: str) -> None:
    clients.start_both(stream=STREAM, position=position)
    clients.wait_for_state("live")
    numbers = publish(server, 0, 3)
    for name in BOTH:
        assert clients.wait_for(name, numbers).verdict == "gap"
    clients.check()


def test_a_hundred_reconnects_leave_nothing_behind(server: Server, clients: BrowserClients) -> None:
    session = clients.context.new_cdp_session(clients.opened.page)
    nothing = listeners(session)
    clients.start_both(stream=STREAM)
    clients.wait_for_state("live")
    before = listeners(session)
    numbers = []
    for first in range(0, 10):
        clients.evaluate(f"({RECONNECT})({MANY // 10})")
        numbers += publish(server, first, 1)
    for name in BOTH:
        assert clients.wait_for(name, numbers).stats["reconnects"] == MANY
        assert server.connections(name) == 1
    assert listeners(session) == before
    assert objects(session, "EventSource") == 1
    assert objects(session, "WebSocket") == 1
    for name in BOTH:
        clients.client(name, "close()")
    no_connection(server)
    assert listeners(session) == nothing
    clients.check(NO_SOCKET)


def listeners(session: CDPSession) -> dict[str, int]:
    """The number of listeners of the window and of the document."""
    found = {}
    for target in ("window", "document"):
        handle = session.send("Runtime.evaluate", {"expression": target})["result"]["objectId"]
        found[target] = len(session.send("DOMDebugger.getEventListeners", {"objectId": handle})["listeners"])
    return found


def objects(session: CDPSession, name: str) -> int:
    """The objects of a class that are still reachable."""
    session.send("HeapProfiler.collectGarbage")
    prototype = session.send("Runtime.evaluate", {"expression": f"{name}.prototype"})["result"]["objectId"]
    alive = session.send("Runtime.queryObjects", {"prototypeObjectId": prototype})["objects"]["objectId"]
    counted = {"objectId": alive, "functionDeclaration": "function () { return this.length; }"}
    count: int = session.send("Runtime.callFunctionOn", counted)["result"]["value"]
    return count
