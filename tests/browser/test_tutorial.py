"""docs/tutorial.md: its page and its commands, in the order of the document, with a restart of the server within."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_examples import listens
from tests.live.examples import running
from tests.live.server import Server, free_port
from tests.live.wire import Address, until

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text()
HALVES = ("sse", "cable")
SOON = {"RETRY_MIN": "50", "RETRY_MAX": "100"}


def blocks(title: str, language: str) -> list[str]:
    """The blocks of a language in the section that is called so, without its number."""
    (section,) = re.findall(rf"^## \d\. {title}\n(.*?)(?=^## )", DOCUMENT, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


class Desk:
    """The reader's directory: a server with the settings of the document, and the other terminals."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.site = Address("127.0.0.1", free_port())
        settings, _ = blocks("Start the server", "sh")
        exported = dict(re.findall(r"^export (\w+)=(\S+)$", self._changed(settings), re.MULTILINE))
        self.server = Server(directory, {**exported, **SOON})
        self.run(settings)
        (page,) = blocks("A page of your own", "html")
        (directory / "index.html").write_text(self._changed(page))

    def run(self, commands: str) -> None:
        """Run a block in a terminal of its own that has read the settings, where they are."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-e"],
            input=f"[ ! -e settings.sh ] || . ./settings.sh\n{self._changed(commands)}",
            cwd=self.directory,
            env={"PATH": path, "DATABASE_URL": self.server.env["DATABASE_URL"]},
            text=True,
            timeout=60,
            check=True,
        )

    def _changed(self, text: str) -> str:
        """A text of the document with the ports of the test."""
        text = text.replace("127.0.0.1:8000", self.site.netloc)
        return text.replace("127.0.0.1:3000", self.server.address.netloc) if hasattr(self, "server") else text


@pytest.fixture
def desk(browser: Browser, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    serve = blocks("A page of your own", "sh")[0].splitlines()[-1].replace("8000", str(made.site.port))
    with made.server, running(tmp_path, serve, tmp_path / "site.log"):
        until(lambda: listens(made.site), "the page's server listens")
        yield made


def says(page: Page, name: str, text: str | re.Pattern[str]) -> None:
    for half in HALVES:
        expect(page.locator(f"#{half} {name}")).to_have_text(text)


def lists(page: Page, *items: str) -> None:
    for half in HALVES:
        expect(page.locator(f"#{half} li")).to_have_text(list(items))


@pytest.mark.slow  # two servers, and two commands of a second each
def test_the_page_of_the_tutorial_survives_a_restart(desk: Desk, open_page: OpenPage) -> None:
    opened = open_page(SimpleNamespace(address=desk.site), "/")
    says(opened.page, ".state", "live")
    says(opened.page, ".verdict", "fresh")
    desk.run(blocks("A page of your own", "sh")[1])
    lists(opened.page, "soup: 7")
    assert opened.errors == []
    desk.server.end()
    assert desk.server.wait() == 0
    says(opened.page, ".state", re.compile(r"^waiting \((server_restart|lost)\)$"))
    (publish,) = blocks("Restart the server", "sh")
    desk.run(publish)
    desk.server.start()
    # The pauses between attempts have grown while it was away; this asks for an attempt now.
    opened.page.evaluate("window.dispatchEvent(new Event('online'))")
    says(opened.page, ".state", "live")
    says(opened.page, ".verdict", "recovered")
    lists(opened.page, "soup: 7", "bread: 2", "milk: 1.5")
