"""The page is left open: half an hour of updates leaves no more behind than its first minutes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, CDPSession, expect

from tests.browser.opened_page import OpenedPage
from tests.browser.test_accessibility import VIEWS, wait_for_state
from tests.live.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
STREAM = "dashboard_updates"
FILLED, LAST = 8, 30  # minutes: by the first all that is bounded is full
UPDATES = 50  # a minute
LONG = "x" * 1000  # what is kept of each of the updates between the two would be a megabyte
MARGIN = 500_000  # bytes: what an engine keeps of code that it has compiled meanwhile


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its heartbeats come soon enough for a page whose clock is moved on."""
    settings = {"DEMO": "on", "SSE_HEARTBEAT": "0.2", "CABLE_PING": "0.2"}
    with Server(tmp_path_factory.mktemp("server"), settings) as running:
        yield running


class Memory(NamedTuple):
    heap: int
    nodes: int
    listeners: int


def memory(session: CDPSession) -> Memory:
    """What is still reachable."""
    session.send("HeapProfiler.collectGarbage")
    counters = session.send("Memory.getDOMCounters")
    heap = session.send("Runtime.getHeapUsage")["usedSize"]
    return Memory(int(heap), counters["nodes"], counters["jsEventListeners"])


def update(number: int) -> dict[str, Any]:
    return {
        "metrics": dict.fromkeys(("cpu", "memory", "disk", "network"), number % 100),
        "activities": [{"time": f"{number}", "message": f"{number} {LONG}", "level": "info"}],
    }


def test_half_an_hour_leaves_nothing_behind(server: Server, browser: Browser) -> None:
    """Not a real one: the page's clock is moved on by a minute between the updates."""
    opened = OpenedPage(browser.new_page())
    page = opened.page
    page.clock.install()
    page.goto(server.address.origin + "/dashboard")
    session = page.context.new_cdp_session(page)
    wait_for_state(page, VIEWS["/dashboard"], "live")
    seen = {}
    for minute in range(LAST + 1):
        first = minute * UPDATES
        position = server.publish(STREAM, *(update(number) for number in range(first, first + UPDATES)))
        for transport in VIEWS["/dashboard"]:
            panel = page.locator(f'.panel[data-transport="{transport}"]')
            expect(panel.locator('[data-field="position"]')).to_have_text(position)
        page.clock.fast_forward(60_000)
        if minute in (FILLED, LAST):
            seen[minute] = memory(session)
    # What is open and closed again, such as a request that is under way, has its nodes and listeners, too.
    assert seen[LAST].nodes <= seen[FILLED].nodes + 50, seen
    assert seen[LAST].listeners <= seen[FILLED].listeners + 10, seen
    assert seen[LAST].heap <= seen[FILLED].heap + MARGIN, seen
    assert opened.errors == []
    page.close()
