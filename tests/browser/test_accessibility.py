"""The page for those who do not see it as drawn, or do not use a mouse: axe-core's rules, and the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests import needs
from tests.browser.conftest import OpenPage
from tests.browser.opened_page import OpenedPage
from tests.live.publishing import BEARER
from tests.live.server import Server

pytestmark = pytest.mark.slow
AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = {
    "/dashboard": ["sse", "cable"],
    "/dashboard/sse-test": ["sse"],
    "/dashboard/websocket-test": ["cable"],
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules that a colour scheme can break
PHONE: ViewportSize = {"width": 360, "height": 780}
GRAVE = ("serious", "critical")
FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]"
# What has the focus: which it is among FOCUSABLE, what it is called, and whether one sees that it has it.
FOCUSED = f"""
    () => {{
        const element = document.activeElement;
        const style = getComputedStyle(element);
        const label = getComputedStyle(element.closest("label")?.querySelector("span") ?? element);
        return {{
            number: [...document.querySelectorAll("{FOCUSABLE}")].indexOf(element),
            text: element.outerHTML.slice(0, 120),
            marked: [style, label].some(each => each.outlineStyle !== "none" && each.outlineWidth !== "0px"),
        }};
    }}
"""
# Those that Tab has to reach: seen, not disabled, and of a group of radio buttons only the one that is chosen.
REACHABLE = f"""
    () => [...document.querySelectorAll("{FOCUSABLE}")].flatMap((element, number) =>
        element.tabIndex >= 0 && !element.disabled && element.checkVisibility({{ visibilityProperty: true }}) &&
        !(element.type === "radio" && !element.checked) ? [number] : [])
"""


@pytest.fixture(scope="module")
def axe() -> Path:
    if not AXE.exists():
        needs.missing("AXE-CORE", "Run scripts/setup-node.")
    return AXE


@pytest.fixture(scope="module")
def drawn(server: Server) -> Server:
    """A server that has something to draw."""
    assert server.ask("POST", "/dashboard/trigger-jobs", [BEARER]).status < 300
    return server


def faults(page: Page, axe: Path, rules: list[str] | None = None, within: str = "html") -> list[str]:
    """The grave faults that axe-core finds, by these rules alone where they are given: the rule and the elements."""
    if not page.evaluate("'axe' in globalThis"):
        page.add_script_tag(path=axe)
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = page.evaluate("([within, options]) => axe.run(within, options)", [within, options])["violations"]
    return [
        f"{fault['id']}: {[node['html'][:160] for node in fault['nodes'][:3]]}"
        for fault in found
        if fault["impact"] in GRAVE
    ]


def faults_by_scheme(page: Page, axe: Path, within: str = "html") -> list[str]:
    """As `faults`, in light, and in dark by the rules of colours."""
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found += [
            f"{scheme}: {fault}" for fault in faults(page, axe, COLOURS if scheme == "dark" else None, within)
        ]
    return found


def wait_for_state(page: Page, transports: list[str], state: str) -> None:
    for transport in transports:
        expect(page.locator(f'.panel[data-transport="{transport}"]')).to_have_attribute("data-state", state)


@pytest.fixture(scope="module")
def unguarded(browser: Browser) -> Iterator[BrowserContext]:
    """Where axe-core is let past the page's policy."""
    context = browser.new_context(bypass_csp=True)
    yield context
    context.close()


@pytest.mark.parametrize("path", VIEWS)
def test_axe_finds_nothing_grave(drawn: Server, unguarded: BrowserContext, axe: Path, path: str) -> None:
    page = unguarded.new_page()
    page.goto(drawn.address.origin + path)
    wait_for_state(page, VIEWS[path], "live")
    assert faults_by_scheme(page, axe) == []


def test_axe_finds_nothing_grave_while_the_server_is_away(
    drawn: Server, unguarded: BrowserContext, axe: Path
) -> None:
    page = unguarded.new_page()
    page.set_viewport_size(PHONE)
    page.goto(drawn.address.origin + "/dashboard")
    wait_for_state(page, VIEWS["/dashboard"], "live")
    drawn.kill()
    try:
        wait_for_state(page, VIEWS["/dashboard"], "waiting")
        assert faults_by_scheme(page, axe) == []
    finally:
        drawn.start()


def test_the_open_doctor_holds_the_focus_until_escape_gives_it_back(
    drawn: Server, unguarded: BrowserContext, axe: Path
) -> None:
    page = unguarded.new_page()
    page.set_viewport_size(PHONE)
    page.goto(drawn.address.origin + "/dashboard")
    wait_for_state(page, VIEWS["/dashboard"], "live")
    opener = page.get_by_role("button", name="Check the connection")
    opener.press("Enter")
    dialog = page.get_by_role("dialog", name="Connection check")
    expect(dialog.get_by_role("button", name="Finish now")).to_be_visible()
    assert faults(page, axe, within="dialog") == []
    assert stops(page) == {"Close", "Finish now"}
    dialog.get_by_role("button", name="Finish now").press("Enter")
    expect(dialog.get_by_role("button", name="Copy report")).to_be_visible()
    expect(dialog.get_by_role("heading", name="Connection check")).to_be_focused()
    assert faults_by_scheme(page, axe, "dialog") == []
    assert stops(page) == {"Close", "Check again", "Copy report"}
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def stops(page: Page) -> set[str]:
    """The buttons that Tab reaches in eight steps forth and back, none of which may lead out of the dialog."""
    reached = set()
    for key in ["Tab"] * 8 + ["Shift+Tab"] * 8:
        page.keyboard.press(key)
        if page.evaluate("document.activeElement === document.body"):
            continue  # where the page ends and begins again
        assert page.evaluate("document.activeElement.closest('dialog') !== null")
        assert page.evaluate(FOCUSED)["marked"]
        if page.evaluate("document.activeElement.tagName") == "BUTTON":  # or the dialog, which scrolls
            reached.add(page.evaluate("document.activeElement.textContent"))
    return reached


@pytest.mark.parametrize("path", VIEWS)
def test_tab_reaches_each_control_and_shows_where_it_is(
    drawn: Server, open_page: OpenPage, path: str
) -> None:
    opened = open_page(drawn, path)
    page = opened.page
    wait_for_state(page, VIEWS[path], "live")
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused["number"] in reached:
            break
        if focused["number"] >= 0:  # not where the page ends and begins again
            assert focused["marked"], focused
            reached.append(focused["number"])
    assert sorted(reached) == page.evaluate(REACHABLE)
    assert opened.errors == []


def press(opened: OpenedPage, name: str, key: str) -> None:
    button = opened.page.get_by_role("button", name=name, exact=True)
    button.focus()
    opened.page.keyboard.press(key)


def test_the_controls_work_by_keyboard(drawn: Server, open_page: OpenPage) -> None:
    opened = open_page(drawn)
    page = opened.page
    wait_for_state(page, VIEWS["/dashboard"], "live")
    press(opened, "Disconnect Server-Sent Events", "Space")
    wait_for_state(page, ["sse"], "closed")
    press(opened, "Connect Server-Sent Events", "Enter")
    wait_for_state(page, ["sse"], "live")
    press(opened, "Pause", "Enter")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    press(opened, "Resume", "Space")
    press(opened, "Publish a test update", "Enter")
    expect(page.locator("#answer")).not_to_be_empty()
    page.get_by_role("radio", name="Auto").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="SSE")).to_be_checked()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="WebSocket")).to_be_checked()
    press(opened, "Cut the connection of WebSocket", "Enter")
    wait_for_state(page, ["cable"], "live")
    assert opened.errors == []


def test_the_first_stop_skips_to_the_dashboard(drawn: Server, open_page: OpenPage) -> None:
    page = open_page(drawn).page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the dashboard")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
