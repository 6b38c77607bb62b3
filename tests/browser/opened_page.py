"""A page that a test has opened, with what its console complains of."""

from __future__ import annotations

from playwright.sync_api import ConsoleMessage, Error, Page


class OpenedPage:
    """One page in a browser profile of its own, with the errors and warnings of its console."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", self._page_error)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def _page_error(self, error: Error) -> None:
        self.errors.append(f"uncaught: {error}")
