"""A real Chromium and a real server for the browser tests; without a Chromium they skip loudly (tests/needs.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

from tests import needs
from tests.live.server import Server

# As root there is no sandbox, and a container's /dev/shm is small.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
DEMO = {"JOBS": "inline", "DEMO": "on"}
QUIET = {"JOBS": "off", "DEMO": "on"}

Opening = Callable[..., "Visit"]


class Visit:
    """One page in a browser of its own profile, with everything its console said."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", self._error)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(f"{message.type}: {message.text}")

    def _error(self, error: Error) -> None:
        self.said.append(f"uncaught: {error}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lives here."""
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


# Both ask for the browser first: nothing is started for tests that will be skipped.
@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as a newcomer has it: real collectors, demo on."""
    with Server(tmp_path_factory.mktemp("server"), DEMO) as running:
        yield running


@pytest.fixture(scope="module")
def quiet(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which nothing happens but what a test does."""
    with Server(tmp_path_factory.mktemp("quiet"), QUIET) as running:
        yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[Opening]:
    """`visit(server, path, **context)` opens a page; context as in Playwright's new_context."""
    contexts = []

    def open_page(server: Server, path: str = "/dashboard", **context: Any) -> Visit:
        contexts.append(browser.new_context(**context))
        visited = Visit(contexts[-1].new_page())
        visited.page.goto(server.address.origin + path)
        return visited

    yield open_page
    for context in contexts:
        context.close()
