"""docs/calculator in a real Chromium, opened as a file: what it reckons is held by tests/js/calculator.test.mjs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import needs

ROOT = Path(__file__).parents[2]
CALCULATOR = ROOT / "docs" / "calculator" / "index.html"
AXE = ROOT / "tests" / "js" / "node_modules" / "axe-core" / "axe.min.js"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
OPEN = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"


class OpenedFile:
    """The page in a window, with what its console says and what it asks other hosts for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))

    def _asked(self, address: str) -> None:
        if not address.startswith(("file:", "data:")):
            self.complaints.append(f"asked for {address}")


@pytest.fixture
def opened(browser: Browser) -> Iterator[OpenedFile]:
    needs.node_modules(AXE.parents[2])
    context = browser.new_context(viewport={"width": 360, "height": 780})
    found = OpenedFile(context.new_page())
    yield found
    context.close()
    assert found.complaints == []


def violations(page: Page) -> Any:
    found = page.evaluate("axe.run({ preload: false }).then((report) => report.violations)")
    return [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]


def test_it_works_from_a_file_by_keyboard_and_keeps_its_inputs_in_the_address(opened: OpenedFile) -> None:
    page = opened.page
    page.goto(CALCULATOR.as_uri())
    verdict, memory = page.get_by_role("status"), page.locator("#results tr", has_text="Memory of all")
    expect(verdict).to_contain_text("1,000 connections")
    before = memory.text_content()

    page.keyboard.press("Tab")
    expect(page.get_by_label("Connections", exact=True)).to_be_focused()
    page.keyboard.type("20000")  # Tab has selected what was there
    expect(verdict).to_contain_text("20,000 connections")
    expect(page.locator("#offers")).to_contain_text("the router")
    assert memory.text_content() != before
    expect(page).to_have_url(re.compile("#clients=20000&rate=1&"))

    page.get_by_label("Updates a second").fill("")
    expect(verdict).to_have_text("Updates a second, to each client: enter a number from 0 to 1,000.")
    expect(page.get_by_label("Updates a second")).to_have_attribute("aria-invalid", "true")
    expect(page).to_have_url(re.compile("#clients=20000&rate=1&"))

    page.goto(f"{CALCULATOR.as_uri()}#clients=3e2&size=9000&streams=100&rate=nonsense")
    page.reload()  # an address that differs behind the # alone opens no page anew
    expect(verdict).to_contain_text("300 connections and 1 update a second: 3 x Standard-1X")
    expect(page.locator("#beyond")).to_contain_text("Bytes of an update: 9,000")
    expect(page.get_by_label("Size of an update")).to_have_value("9000")


@pytest.mark.slow
def test_nothing_bars_anybody_on_a_phone_or_a_desk_in_light_or_dark(opened: OpenedFile) -> None:
    page = opened.page
    page.goto(CALCULATOR.as_uri())
    page.evaluate(OPEN)
    page.add_script_tag(path=AXE)
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert violations(page) == []
