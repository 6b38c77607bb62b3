"""The page, and a browser's own EventSource, on a server whose streams want a ticket (docs/protocol.md §6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_page import STREAM, TRANSPORTS, field, wait_for_state
from tests.live.server import Server
from tests.live.test_tickets import AUTH, ticket
from tests.live.wire import until

pytestmark = pytest.mark.slow  # servers of their own
COLLECT = """
    url => {
        window.seen = [];
        const source = new EventSource(url);
        source.onmessage = event => window.seen.push(event.data);
        source.onopen = () => window.opened = (window.opened ?? 0) + 1;
    }
"""


def wait_for(page: Page, name: str, count: int) -> None:
    until(lambda: page.evaluate(f"window.{name} ?? 0") == count, f"{name} is {count}")


def shows(server: Server, page: Page) -> None:
    position = server.publish(STREAM, {"n": 1})
    for transport in TRANSPORTS:
        expect(field(page, transport, "position")).to_have_text(position)


def test_the_demo_gets_a_ticket_for_each_attempt(
    browser: object, open_page: OpenPage, tmp_path: Path
) -> None:
    with Server(tmp_path, {**AUTH, "DEMO": "on"}) as server:
        opened = open_page(server)
        wait_for_state(opened.page, "live")
        expect(opened.page.locator("#locked")).to_be_hidden()
        shows(server, opened.page)
        assert opened.errors == []
        server.kill()
        wait_for_state(opened.page, "waiting|connecting")
        server.start()
        wait_for_state(opened.page, "live")
        shows(server, opened.page)


def test_the_page_hands_in_the_ticket_behind_its_address(
    browser: object, open_page: OpenPage, tmp_path: Path
) -> None:
    with Server(tmp_path, AUTH) as server:
        locked = open_page(server)
        expect(locked.page.locator("#locked")).to_be_visible()
        wait_for_state(locked.page, "closed")
        expect(field(locked.page, "sse", "sentence")).to_contain_text("No ticket")
        opened = open_page(server, f"/dashboard#ticket={ticket(server, once=False)}")
        expect(opened.page.locator("#locked")).to_be_hidden()
        wait_for_state(opened.page, "live")
        shows(server, opened.page)
        opened.page.get_by_role("link", name="SSE", exact=True).click()
        wait_for_state(opened.page, "live", ["sse"])
        assert opened.errors == []


def test_an_event_source_comes_back_with_the_same_lasting_ticket(
    browser: object, open_page: OpenPage, tmp_path: Path
) -> None:
    with Server(tmp_path, {**AUTH, "RETRY_MAX": "1000"}) as server:
        page = open_page(server).page
        page.evaluate(COLLECT, f"/dashboard/stream?ticket={ticket(server, once=False)}")
        wait_for(page, "opened", 1)
        server.publish(STREAM, {"n": 1})
        wait_for(page, "seen.length", 1)
        server.kill()
        server.start()
        wait_for(page, "opened", 2)
        server.publish(STREAM, {"n": 2})
        wait_for(page, "seen.length", 2)
        assert page.evaluate("window.seen") == ['{"n": 1}', '{"n": 2}']
