"""A real Chromium and a real server for the browser tests; without a Chromium they skip (tests/needs.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests import needs
from tests.browser.client_page import BrowserClients
from tests.browser.opened_page import OpenedPage
from tests.live.proxy import PREFIX, PrefixProxy
from tests.live.server import Server
from tests.patience import HANG_LIMIT

# As root there is no sandbox, and a container's /dev/shm is small.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]

expect.set_options(timeout=1000 * HANG_LIMIT)  # ms

OpenPage = Callable[..., "OpenedPage"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory as a browser test."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


# Per module, not per session: Playwright's loop must have ended before the next asynchronous test starts its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = needs.chromium()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        launched.close()


# They ask for the browser first, so that no server is started for tests that will be skipped.
@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose page may publish, with no collectors: its only updates are those of the tests."""
    # After a cut each test would wait for the server's longest time to come back. In ms.
    settings = {"JOBS": "off", "DEMO": "on", "RETRY_MAX": "1500"}
    with Server(tmp_path_factory.mktemp("server"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def collecting(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with its collectors, as `make run` starts it."""
    with Server(tmp_path_factory.mktemp("collecting"), {"JOBS": "inline", "DEMO": "on"}) as running:
        yield running


@pytest.fixture(scope="module")
def prefixed(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose page is seen under a path."""
    settings = {"JOBS": "off", "DEMO": "on", "ROOT_PATH": PREFIX}
    with Server(tmp_path_factory.mktemp("prefixed"), settings) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """`open_page(server, path, **context)` opens a page; context as in Playwright's new_context."""
    contexts = []

    def opened(server: Server | PrefixProxy, path: str = "/dashboard", **context: Any) -> OpenedPage:
        contexts.append(browser.new_context(**context))
        page = OpenedPage(contexts[-1].new_page())
        page.page.goto(server.address.origin + path)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def client_page(browser: Browser, server: Server) -> Iterator[BrowserClients]:
    opened = BrowserClients(browser, server)
    yield opened
    opened.context.close()


@pytest.fixture
def clients(client_page: BrowserClients) -> Iterator[BrowserClients]:
    """Clients of web/client in a page of the module's `server`."""
    yield client_page
    client_page.reset()
