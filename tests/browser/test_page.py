"""The page as people meet it: a real server, a real Chromium, both wires."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import DEMO, Opening
from tests.live.server import Server
from tests.live.wire import until

TRANSPORTS = ["sse", "cable"]
FIGURES = ["cpu", "memory", "disk", "network", "response_time"]
PATIENCE = 20_000  # ms
expect.set_options(timeout=PATIENCE)


def panel(page: Page, transport: str) -> Locator:
    return page.locator(f'.panel[data-transport="{transport}"]')


def field(page: Page, transport: str, name: str) -> Locator:
    return panel(page, transport).locator(f'[data-field="{name}"]')


def wait_for_state(page: Page, state: str, transports: list[str] = TRANSPORTS) -> None:
    for transport in transports:
        expect(panel(page, transport)).to_have_attribute("data-state", state)


SOME = re.compile("^[1-9]")  # a count that is not nought


def number(locator: Locator) -> float:
    return float((locator.text_content() or "").replace("\u202f", ""))


def test_both_panels_go_live_and_show_the_machine(server: Server, visit: Opening) -> None:
    visited = visit(server)
    wait_for_state(visited.page, "live")
    for transport in TRANSPORTS:
        expect(field(visited.page, transport, "received")).to_have_text(SOME)
        for name in FIGURES:
            expect(field(visited.page, transport, name)).to_have_text(re.compile(r"^\d+\.\d$"))
        for name in ("cpu", "memory", "disk"):
            assert 0 <= number(field(visited.page, transport, name)) <= 100
        expect(field(visited.page, transport, "status")).to_have_text(
            re.compile("^(online|warning|offline)$")
        )
        expect(field(visited.page, transport, "verdict")).to_have_text(re.compile("^recovered"))
        expect(field(visited.page, transport, "lag")).to_have_text(re.compile(r"^[\d.]+ ms$"))
        expect(field(visited.page, transport, "age")).to_have_text(re.compile("just now|ago$"))
        expect(panel(visited.page, transport).locator(".activities li")).not_to_have_count(0)
    assert visited.said == []


def test_the_figures_move(server: Server, visit: Opening) -> None:
    """By the collectors alone: nobody asked for an update."""
    page = visit(server).page
    wait_for_state(page, "live")
    figures = [panel(page, transport).locator(".figures") for transport in TRANSPORTS]
    before = [each.text_content() or "" for each in figures]
    for each, shown in zip(figures, before, strict=True):
        expect(each).not_to_have_text(shown)


def test_what_is_shown_is_the_newest_in_the_log(quiet: Server, visit: Opening) -> None:
    page = visit(quiet).page
    wait_for_state(page, "live")
    position = quiet.publish("dashboard_updates", {"metrics": dict.fromkeys(FIGURES, 12.34)})
    for transport in TRANSPORTS:
        expect(field(page, transport, "position")).to_have_text(position)
        for name in FIGURES:
            expect(field(page, transport, name)).to_have_text("12.3")
    drawn_by_the_server = visit(quiet, "/dashboard/sse-test").page
    expect(field(drawn_by_the_server, "sse", "disk")).to_have_text("12.3")
    expect(field(drawn_by_the_server, "sse", "received")).to_have_text("0")


@pytest.mark.parametrize(("path", "transport"), [("sse-test", "sse"), ("websocket-test", "cable")])
def test_each_transport_has_a_view_of_its_own(
    server: Server, visit: Opening, path: str, transport: str
) -> None:
    visited = visit(server, f"/dashboard/{path}")
    wait_for_state(visited.page, "live", [transport])
    expect(visited.page.locator(".panel")).to_have_count(1)
    expect(visited.page.locator(".views [aria-current=page]")).to_have_attribute("data-view", transport)
    assert visited.said == []


def test_a_killed_server_is_found_again(visit: Opening, server: Server) -> None:
    page = visit(server).page
    wait_for_state(page, "live")
    epoch = (field(page, "sse", "position").text_content() or "").rpartition("-")[0]
    assert epoch
    server.kill()
    wait_for_state(page, "reconnecting")
    server.start()
    wait_for_state(page, "live")
    for transport in TRANSPORTS:
        expect(field(page, transport, "verdict")).to_have_text(re.compile("^recovered"))
        expect(field(page, transport, "position")).to_have_text(re.compile(f"^{epoch}-"))
        expect(field(page, transport, "loss")).to_have_text("")


def test_a_server_that_restarts_in_order_says_so(visit: Opening, server: Server) -> None:
    page = visit(server).page
    wait_for_state(page, "live")
    server.end()
    for transport in TRANSPORTS:
        expect(field(page, transport, "loss")).to_contain_text("The server is restarting, next attempt in")
    assert server.wait() == 0
    server.start()
    wait_for_state(page, "live")


def test_a_stream_that_was_refused_is_asked_for_again_from_where_it_was(
    server: Server, visit: Opening
) -> None:
    """Any status but 200 ends an EventSource for good; the page replaces it."""
    page = visit(server).page
    wait_for_state(page, "live")
    button(page, "sse").click()
    expect(panel(page, "sse")).to_have_attribute("data-state", "stopped")
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, body="starting")

    page.route("**/dashboard/stream?*", refuse)
    button(page, "sse").click()
    expect(field(page, "sse", "loss")).to_contain_text("refused, next attempt in")
    page.unroute("**/dashboard/stream?*")
    wait_for_state(page, "live")
    assert asked and all("last_event_id=" in url for url in asked)


def button(page: Page, transport: str) -> Locator:
    return panel(page, transport).get_by_role("button")


def test_a_panel_that_was_away_catches_up(quiet: Server, visit: Opening) -> None:
    page = visit(quiet).page
    wait_for_state(page, "live")
    for transport in TRANSPORTS:
        button(page, transport).click()
    wait_for_state(page, "stopped")
    page.get_by_role("button", name="Send a burst").click()
    expect(page.locator("#answer")).to_contain_text("Published up to")
    for transport in TRANSPORTS:
        expect(button(page, transport)).to_have_accessible_name(re.compile("^Connect "))
        button(page, transport).click()
    wait_for_state(page, "live")
    for transport in TRANSPORTS:
        expect(field(page, transport, "verdict")).to_have_text("recovered, 100 replayed")
        expect(field(page, transport, "received")).to_have_text("100")


def test_a_burst_reaches_both_panels_whole(quiet: Server, visit: Opening) -> None:
    visited = visit(quiet)
    wait_for_state(visited.page, "live")
    visited.page.get_by_role("button", name="Send one").click()
    expect(visited.page.locator("#answer")).to_contain_text("Published up to")
    visited.page.get_by_role("button", name="Send a burst").click()
    for transport in TRANSPORTS:
        expect(field(visited.page, transport, "received")).to_have_text("101")
    assert visited.said == []


def test_pause_holds_the_figures_and_resume_shows_the_newest(quiet: Server, visit: Opening) -> None:
    page, other = visit(quiet).page, visit(quiet).page
    for each in (page, other):
        wait_for_state(each, "live")
    page.get_by_role("button", name="Pause").click()
    held = [field(page, transport, "position").text_content() for transport in TRANSPORTS]
    newest = quiet.publish("dashboard_updates", {"metrics": {"disk": 77.7}}, {"metrics": {"disk": 88.8}})
    for transport in TRANSPORTS:
        expect(field(other, transport, "position")).to_have_text(newest)
    assert [field(page, transport, "position").text_content() for transport in TRANSPORTS] == held
    wait_for_state(page, "live")
    page.get_by_role("button", name="Resume").click()
    for transport in TRANSPORTS:
        expect(field(page, transport, "position")).to_have_text(newest)
        expect(field(page, transport, "disk")).to_have_text("88.8")


def test_markup_in_an_update_stays_text(quiet: Server, visit: Opening) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    visited = visit(quiet)
    wait_for_state(visited.page, "live")
    update = {
        "system_status": {"status": evil, "message": evil, "uptime": evil, "last_check": evil},
        "metrics": dict.fromkeys(FIGURES, evil),
        "activities": [{"message": evil, "time": evil, "level": evil, "css_class": evil}, None, 7],
        "published_at_ms": evil,
    }
    quiet.publish("dashboard_updates", update)
    for transport in TRANSPORTS:
        expect(field(visited.page, transport, "message")).to_have_text(evil)
        expect(panel(visited.page, transport).locator(".activities li").first).to_contain_text(evil)
        expect(field(visited.page, transport, "cpu")).to_have_text("\N{EN DASH}")
    assert visited.page.locator(".panel img, .panel script").count() == 0
    assert visited.page.title() == "dashboard-rt"
    assert visited.said == []


def test_updates_of_another_shape_hurt_nobody(quiet: Server, visit: Opening) -> None:
    visited = visit(quiet)
    wait_for_state(visited.page, "live")
    shapes: list[Any] = [
        None,
        7,
        "text",
        [],
        {"metrics": None},
        {"metrics": 1, "activities": {}, "system_status": "x"},
    ]
    for odd in shapes:
        quiet.publish("dashboard_updates", odd)
    quiet.publish("dashboard_updates", {"metrics": {"disk": 55.5}})
    for transport in TRANSPORTS:
        expect(field(visited.page, transport, "disk")).to_have_text("55.5")
    wait_for_state(visited.page, "live")
    assert visited.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_no_width_scrolls_sideways(server: Server, visit: Opening, width: int, scheme: str) -> None:
    page = visit(server, viewport={"width": width, "height": 800}, color_scheme=scheme).page
    wait_for_state(page, "live")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    overflowing = page.evaluate(
        "[...document.querySelectorAll('body *')].filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1"
        " && getComputedStyle(e).display !== 'inline').map((e) => e.outerHTML.slice(0, 120))"
    )
    assert overflowing == []


def background(page: Page) -> str:
    said: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return said


def test_dark_follows_the_system_until_somebody_chooses(server: Server, visit: Opening) -> None:
    light = background(visit(server, color_scheme="light").page)
    page = visit(server, color_scheme="dark").page
    dark = background(page)
    assert light != dark
    page.get_by_role("button", name="Switch between light and dark").click()
    assert background(page) == light
    page.reload()
    assert background(page) == light
    page.get_by_role("button", name="Switch between light and dark").click()
    assert background(page) == dark


def test_it_speaks_of_connections_and_not_of_numbers(server: Server, visit: Opening) -> None:
    page = visit(server).page
    wait_for_state(page, "live")
    expect(panel(page, "sse").get_by_role("status")).to_have_text("Server-Sent Events: live")
    expect(panel(page, "cable").get_by_role("status")).to_have_text("Action Cable: live")
    expect(page.get_by_role("region", name="Action Cable")).to_have_count(1)
    expect(page.locator("[aria-live]")).to_have_count(0)
    assert page.locator(".figures dt").all_text_contents()[:2] == ["CPU", "Memory"]


def test_without_demo_nothing_can_be_sent_and_without_auto_refresh_nothing_connects(
    visit: Opening, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {**DEMO, "DEMO": "off", "SSE_AUTO_REFRESH": "off"}
    with Server(tmp_path_factory.mktemp("plain"), settings) as plain:
        until(lambda: plain.ask("GET", "/dashboard/refresh").body != b"null", "there is something to draw")
        visited = visit(plain)
        wait_for_state(visited.page, "stopped")
        expect(visited.page.locator("#demo")).to_be_hidden()
        expect(field(visited.page, "sse", "disk")).to_have_text(re.compile(r"^\d+\.\d$"))
        for transport in TRANSPORTS:
            button(visited.page, transport).click()
        wait_for_state(visited.page, "live")
        assert visited.said == []
