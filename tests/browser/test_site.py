"""The site of the documents, built, and opened in a real Chromium from the disk, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from scripts.site import build as building
from scripts.site.document import Document, read

pytestmark = pytest.mark.slow

NARROW, WIDE = 360, 1280
# The page itself must not scroll sideways; tables and code do, within it. What pokes out is named.
TOO_WIDE = """() => document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth ? []
  : [...document.querySelectorAll('article *')]
    .filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML.slice(0, 90))"""
# A row that fills more than half the screen: a column of it is too narrow for a word.
TOO_TALL = """() => [...document.querySelectorAll('article tr')]
  .filter((one) => one.offsetHeight > innerHeight / 2).map((one) => one.textContent.slice(0, 90))"""
CONTRAST = """() => { const style = getComputedStyle(document.body);
  return [style.color, style.backgroundColor].map((text) => text.match(/[0-9.]+/g).slice(0, 3).map(Number)); }"""


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return read()


@pytest.fixture(scope="module")
def site(documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert building.build(documents, work=folder / "work", site=folder / "site") == []
    return folder / "site"


class Opened:
    """A window on the site, with its console messages and the addresses that it requested."""

    def __init__(self, page: Page, site: Path) -> None:
        self.page = page
        self.site = site
        self.messages: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.messages.append(message.text)

    def open(self, name: str) -> None:
        self.page.goto((self.site / name).as_uri(), wait_until="domcontentloaded")

    def asked_elsewhere(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture
def opened(browser: Browser, site: Path) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": WIDE, "height": 900})
    opened = Opened(page, site)
    yield opened
    page.close()
    assert opened.messages == []
    assert opened.asked_elsewhere() == []


@pytest.mark.nightly  # forty pages
def test_every_page_fits_on_a_phone(opened: Opened, documents: list[Document]) -> None:
    opened.page.set_viewport_size({"width": NARROW, "height": 800})
    for document in documents:
        if document.site:
            opened.open(document.site.replace(".md", ".html"))
            assert opened.page.evaluate(TOO_WIDE) == [], document.path
            assert opened.page.evaluate(TOO_TALL) == [], document.path


def test_the_search_works_without_a_server(opened: Opened) -> None:
    opened.open("index.html")
    opened.page.get_by_role("button", name="Search").click()
    opened.page.locator("input[aria-label=Search]").fill("SSE_HEARTBEAT")
    opened.page.get_by_role("option").filter(has_text="SSE_HEARTBEAT").first.click()
    opened.page.wait_for_url("**/*.html?h=SSE_HEARTBEAT*")


def test_it_follows_the_system_and_can_be_switched(opened: Opened) -> None:
    for scheme in ("light", "dark"):
        opened.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        opened.open("settings.html")
        text, ground = (sum(colour) for colour in opened.page.evaluate(CONTRAST))
        assert (text < ground) == (scheme == "light")
    opened.page.locator("label[for=__palette_1]").click()
    text, ground = (sum(colour) for colour in opened.page.evaluate(CONTRAST))
    assert text < ground


def test_the_report_of_the_bench_and_raw_files_are_in_it(opened: Opened) -> None:
    opened.open("results.html")
    opened.page.get_by_role("article").locator("a[href='report/index.html']").first.click()
    opened.page.wait_for_url("**/report/index.html", wait_until="commit")
    opened.open("results.html")
    opened.page.get_by_role("article").locator("a[href^='files/bench/results/']").first.click()
    opened.page.wait_for_url("**/files/bench/results/**", wait_until="commit")
    assert opened.page.evaluate("document.contentType") in (
        "application/json",
        "text/html",
    )  # a file, or a folder
