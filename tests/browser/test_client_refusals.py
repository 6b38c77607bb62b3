"""Clients of web/client that are refused: for want of a ticket (docs/protocol.md §6), of room, or for a moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route

from tests.browser.client_page import (
    AWAY,
    BOTH,
    NO_SOCKET,
    OTHER,
    QUICK,
    STREAM,
    BrowserClients,
    no_connection,
    publish,
)
from tests.live.server import TOKEN, Server
from tests.live.test_tickets import AUTH, ticket
from tests.live.wire import until

pytestmark = pytest.mark.slow  # tickets take seconds to expire
SHORT = {"streams": [STREAM], "ttl": 1, "once": True}
FETCHED = f"""{{
    ticket: async () => {{
        globalThis.fetched = (globalThis.fetched ?? 0) + 1;
        const asked = {{
            method: "POST",
            headers: {{ authorization: "Bearer {TOKEN}" }},
            body: JSON.stringify({json.dumps(SHORT)}),
        }};
        return (await (await fetch("/tickets", asked)).json()).ticket;
    }},
}}"""


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("guarded"), {**QUICK, **AUTH}) as running:
        yield running


def test_who_fetches_tickets_comes_back_when_one_has_expired(server: Server, clients: BrowserClients) -> None:
    clients.start_both(FETCHED, stream=STREAM)
    clients.wait_for_state("live")
    numbers = publish(server, 0, 3)
    for name in BOTH:
        clients.wait(name, lambda seen: "token_expired" in seen.reasons("waiting"), "its ticket has expired")
    clients.wait_for_state("live")
    numbers += publish(server, 3, 3)
    for name in BOTH:
        assert clients.wait_for(name, numbers).verdicts[-1]["verdict"] == "recovered"
    assert clients.evaluate("fetched") >= 4  # two clients, two attempts each
    clients.check()


def test_who_has_but_one_ticket_is_closed_when_it_expires(server: Server, clients: BrowserClients) -> None:
    clients.start_both(stream=STREAM, ticket=ticket(server, streams=[STREAM], ttl=1, once=False))
    clients.wait_for_state("closed", reason="token_expired")
    for name in BOTH:
        assert clients.report(name).states[-1]["final"] is True
    no_connection(server)
    clients.check()


def test_a_ticket_function_that_fails_is_asked_again(server: Server, clients: BrowserClients) -> None:
    """For the first time it throws, for the second it rejects; then it has one."""
    good = ticket(server, streams=[STREAM], once=False)
    failing = f"""{{
        ticket: (count => () => {{
            count += 1;
            if (count === 1) throw new Error("no network");
            return count === 2 ? Promise.reject(new Error("busy")) : {json.dumps(good)};
        }})(0),
    }}"""
    for name, factory in (("sse", "connectSse"), ("cable", "connectCable")):
        clients.start(name, factory, failing, stream=STREAM)
    clients.wait_for_state("live")
    for name in BOTH:
        lost = [each for each in clients.report(name).states if each.get("reason") == "no_ticket"]
        assert [each["message"] for each in lost] == ["no network", "busy"]
    clients.check()


@pytest.mark.parametrize("how", ["close()", "reconnect()"])
def test_a_ticket_that_comes_too_late_opens_nothing(
    server: Server, clients: BrowserClients, how: str
) -> None:
    """Closed, or dropped for another attempt, while the ticket was on its way."""
    good = ticket(server, streams=[STREAM], once=False)
    slow = f"""{{
        ticket: () => new Promise(resolve => globalThis.waiting.push(() => resolve({json.dumps(good)}))),
    }}"""
    clients.evaluate("globalThis.waiting = []")
    clients.start_both(slow, stream=STREAM)
    for name in BOTH:
        clients.wait(name, lambda _: clients.evaluate("waiting.length") == 2, "it has asked")
        assert clients.report(name).state == "connecting"
    for name in BOTH:
        clients.client(name, how)
    if how == "reconnect()":
        clients.wait("sse", lambda _: clients.evaluate("waiting.length") == 4, "both have asked again")
    clients.evaluate("waiting.forEach(resolve => resolve())")
    if how == "reconnect()":
        clients.wait_for_state("live")
        assert [server.connections(name) for name in BOTH] == [1, 1]
    else:
        no_connection(server)
        clients.wait_for_state("closed")
    clients.check()


def test_a_ticket_of_another_secret_is_refused_for_good(server: Server, clients: BrowserClients) -> None:
    clients.start_both(stream=STREAM, ticket="x.y.z")
    clients.wait("cable", lambda seen: seen.state == "closed", "it is closed")
    assert clients.report("cable").states[-1]["reason"] == "unauthorized"
    # A browser's EventSource tells no status: the client cannot know that another attempt is of no use.
    clients.wait("sse", lambda seen: "refused" in seen.reasons("waiting"), "it is refused")
    clients.client("sse", "close()")
    clients.check(AWAY, NO_SOCKET, "status of 401")


# --- other refusals


def test_a_refused_stream_is_asked_for_again_with_its_position(
    server: Server, clients: BrowserClients
) -> None:
    """Any status but 200 ends an EventSource for good: the client replaces it."""
    lasting = ticket(server, streams=[STREAM], once=False)
    clients.start("sse", "connectSse", stream=STREAM, ticket=lasting)
    clients.wait_for_state("live", ["sse"])
    before = publish(server, 0, 3)
    position = clients.wait_for("sse", before).position
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, body="starting")

    clients.opened.page.route("**/dashboard/stream?*", refuse)
    clients.client("sse", "reconnect()")
    clients.wait("sse", lambda _: len(asked) >= 3, "it has tried again")
    clients.opened.page.unroute("**/dashboard/stream?*")
    clients.wait_for_state("live", ["sse"])
    after = publish(server, 3, 1)
    clients.wait_for("sse", before + after)
    assert all(f"last_event_id={position}" in url for url in asked)
    clients.check(r"status of 503")


def first_live(clients: BrowserClients) -> str:
    """Wait until one of both is live; which."""
    live = until(lambda: [name for name in BOTH if clients.report(name).state == "live"], "one has come in")
    return live[0]


def test_a_full_server_is_waited_for(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, {**QUICK, "MAX_CLIENTS": "1"}) as server:
        clients = BrowserClients(browser, server)
        clients.start("first", "connectSse", stream=STREAM)
        clients.wait_for_state("live", ["first"])
        clients.start_both(stream=STREAM)
        clients.wait_for_state("waiting", reason="full")
        for name in BOTH:
            waits = [each for each in clients.report(name).states if each.get("reason") == "full"]
            assert all(each["retryIn"] > 0 and not each.get("final") for each in waits)
        clients.client("first", "close()")
        came_in = first_live(clients)
        clients.wait_for_state("waiting", [OTHER[came_in]], reason="full")
        clients.client(came_in, "close()")
        clients.wait_for_state("live", [OTHER[came_in]])
        numbers = publish(server, 0, 3)
        clients.wait_for(OTHER[came_in], numbers)
        clients.check(NO_SOCKET)
        clients.context.close()
