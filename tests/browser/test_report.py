"""The bench's report in a real Chromium: on narrow and wide screens, light and dark.

What the HTML says is held by the unit tests of bench/html; here is how it looks. All of it is slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.html import page as page_
from tests.bench import documents
from tests.bench.document_runs import WIRE

pytestmark = pytest.mark.slow

WIDTHS = [360, 800, 1280]
SCHEMES = ["light", "dark"]
LEAST_TEXT = 10  # px
SHOWN = "(what) => [...document.querySelectorAll(what)].filter((one) => one.checkVisibility()).length"
OPEN = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"

# The texts of each drawing that is shown: their text, their size in px, and their box.
TEXTS = """() => [...document.querySelectorAll('svg[role=img]')].filter((svg) => svg.checkVisibility()).map((svg) => {
  const frame = svg.getBoundingClientRect(), scale = frame.width / svg.viewBox.baseVal.width;
  return { name: svg.getAttribute('aria-label'),
    left: frame.left, right: frame.right, top: frame.top, bottom: frame.bottom,
    texts: [...svg.querySelectorAll('text')].map((text) => {
      const box = text.getBoundingClientRect();
      return { text: text.textContent, size: parseFloat(getComputedStyle(text).fontSize) * scale,
        left: box.left, right: box.right, top: box.top, bottom: box.bottom };
    }) };
})"""


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of every kind of document, with void runs and with labels that contain markup."""
    folder = tmp_path_factory.mktemp("report")
    found = documents.everything(pairs=3)
    found[0] = documents.lossy(documents.voided(found[0], 1), 2)
    found[3] = documents.voided(found[3])
    found.append(documents.document("fanout", label=documents.HOSTILE, pairs=1, seed=7))
    targets = ["app", "floor", "by-hand"]
    found.append(documents.document("fanout", pairs=2, targets=targets, transports=WIRE, seed=8))
    return page_.write(documents.files(found, folder / "results"), folder / "site")


class Opened:
    """The page in a window, with its console messages and the addresses it requested."""

    def __init__(self, page: Page, site: Path) -> None:
        self.page = page
        self.messages: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(site.as_uri())


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=str)
def opened(request: pytest.FixtureRequest, browser: Browser, site: Path) -> Iterator[Opened]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    yield Opened(context.new_page(), site)
    context.close()


def overlaps(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two boxes share more than the rounding of a pixel."""
    across: float = min(one["right"], other["right"]) - max(one["left"], other["left"])
    down: float = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return across > 1 and down > 3  # a line's box is higher than its letters


def test_no_message_no_request_no_scrolling_sideways(opened: Opened, site: Path) -> None:
    page = opened.page
    for opening in ("", OPEN):
        page.evaluate(opening)
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [site.as_uri()]


def test_texts_in_drawings_are_readable_inside_and_apart(opened: Opened) -> None:
    opened.page.evaluate(OPEN)
    drawings = opened.page.evaluate(TEXTS)
    assert len(drawings) > 100
    for drawing in drawings:
        texts = drawing["texts"]
        assert texts
        for text in texts:
            where = f"{text['text']!r} in {drawing['name']!r}"
            assert text["size"] >= LEAST_TEXT, where
            assert text["left"] >= drawing["left"] - 1 and text["right"] <= drawing["right"] + 1, where
            assert text["top"] >= drawing["top"] - 2 and text["bottom"] <= drawing["bottom"] + 2, where
        clashes = [
            (one["text"], other["text"])
            for at, one in enumerate(texts)
            for other in texts[at + 1 :]
            if overlaps(one, other)
        ]
        assert clashes == [], drawing["name"]


def test_each_drawing_is_shown_once_for_the_width(opened: Opened) -> None:
    opened.page.evaluate(OPEN)
    wide, narrow = (opened.page.evaluate(SHOWN, f"figure > .{name}") for name in ("wide", "narrow"))
    total = opened.page.locator("figure > .wide").count()
    phone = opened.page.viewport_size["width"] < 720  # type: ignore[index]
    assert (wide, narrow) == ((0, total) if phone else (total, 0))


def colours(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.evaluate(
        """Object.fromEntries(['body', '.mark.sse .outline', '.mark.cable .outline', 'figure']
           .map((what) => [what, getComputedStyle(document.querySelector(what))])
           .map(([style, found]) => [style, found.fill + found.backgroundColor + found.color]))"""
    )
    return found


def test_light_and_dark_differ_and_rows_have_colours(browser: Browser, site: Path) -> None:
    seen = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        seen.append(colours(Opened(context.new_page(), site).page))
        context.close()
    light, dark = seen
    assert all(light[what] != dark[what] for what in light)
    assert light[".mark.sse .outline"] != light[".mark.cable .outline"]


def test_void_runs_are_shown_struck_through(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800})
    page = Opened(context.new_page(), site).page
    page.evaluate(OPEN)
    cell = page.locator("tr.void s").first
    assert "line-through" in cell.evaluate("(one) => getComputedStyle(one).textDecorationLine")
    expect(page.locator("tr.void + tr.reason").first).to_contain_text("left out: ")
    context.close()


def test_markup_in_a_label_stays_text(browser: Browser, site: Path) -> None:
    context = browser.new_context()
    opened = Opened(context.new_page(), site)
    assert opened.page.locator("h3", has_text="<script>alert(1)</script>").count() == 1
    assert opened.page.locator("script").count() == 0
    assert opened.messages == []
    context.close()


def test_links_to_raw_files_lead_to_them(browser: Browser, site: Path) -> None:
    context = browser.new_context()
    page = Opened(context.new_page(), site).page
    link = page.locator("section .origin a").first
    target = (site.parent / (link.get_attribute("href") or "")).resolve()
    assert target.is_file()
    assert target.parent == site.parent / "raw"
    context.close()


def test_tables_are_unfolded_in_print(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport={"width": 800, "height": 1000})
    page = Opened(context.new_page(), site).page
    page.emulate_media(media="print")
    table = page.locator("details table").first
    assert table.evaluate("(one) => one.checkVisibility({ contentVisibilityAuto: true })")
    assert table.evaluate("(one) => one.getBoundingClientRect().height") > 20
    context.close()
