"""The dashboard page in a real Chromium, against a real server, over both transports.

How its clients reconnect in each case is held by tests/js. What takes seconds, or is about looks, is slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import OpenPage
from tests.live.proxy import PREFIX, PrefixProxy
from tests.live.publishing import BEARER
from tests.live.server import Server
from tests.live.wire import until
from tests.services.redis import RedisServer

TRANSPORTS = ["sse", "cable"]
FIGURES = ["cpu", "memory", "disk", "network", "response_time"]
STREAM = "dashboard_updates"

A_FIGURE = re.compile(r"^\d+\.\d$")


OVERFLOWING = """
    [...document.querySelectorAll("body *")]
      .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1 && getComputedStyle(e).display !== "inline")
      .map((e) => e.outerHTML.slice(0, 120))
"""


def panel(page: Page, transport: str) -> Locator:
    return page.locator(f'.panel[data-transport="{transport}"]')


def field(page: Page, transport: str, name: str) -> Locator:
    return panel(page, transport).locator(f'[data-field="{name}"]')


def shown(page: Page, name: str) -> Locator:
    """A field of the dashboard above the panels."""
    return page.locator(f'#dashboard [data-field="{name}"]')


def toggle(page: Page, transport: str) -> Locator:
    return panel(page, transport).locator('[data-action="toggle"]')


def cut(page: Page, transport: str) -> Locator:
    return panel(page, transport).get_by_role("button", name=re.compile("^Cut the connection of "))


def wait_for_state(page: Page, state: str, transports: list[str] = TRANSPORTS) -> None:
    for transport in transports:
        expect(panel(page, transport)).to_have_attribute("data-state", re.compile(f"^({state})$"))


def collect(server: Server) -> None:
    """Run each collector once, which publishes what it measured."""
    assert server.ask("POST", "/dashboard/trigger-jobs", [BEARER]).status < 300


# --- opening


def test_the_dashboard_and_both_panels_open(server: Server, open_page: OpenPage) -> None:
    opened = open_page(server)
    page = opened.page
    wait_for_state(page, "live")
    for _ in range(2):  # the response time is that of an update before
        collect(server)
    for name in FIGURES:
        expect(shown(page, name)).to_have_text(A_FIGURE)
        expect(page.locator(f'[data-sparkline="{name}"] svg')).to_have_attribute(
            "aria-label", re.compile(r"\d")
        )
    for name in ("cpu", "memory", "disk"):
        assert 0 <= float(shown(page, name).text_content() or "") <= 100
    expect(shown(page, "status")).to_have_text(re.compile("^(online|warning|offline)$"))
    expect(page.locator(".activities li")).not_to_have_count(0)
    expect(page.locator("#comparison")).to_have_text(
        "Both transports are live, and have brought the same updates."
    )
    for transport in TRANSPORTS:
        expect(field(page, transport, "updates")).to_have_text(re.compile("^[1-9]"))
        expect(field(page, transport, "received")).to_have_text(re.compile("^[1-9].*B$"))
        for name in ("p50", "p95", "p99"):
            expect(field(page, transport, name)).to_have_text(re.compile(r"^[\d.]+$"))
        expect(field(page, transport, "age")).to_have_text(re.compile("just now|ago$"))
        expect(field(page, transport, "complete")).to_have_text(
            re.compile(r"^complete since \d\d:\d\d:\d\d$")
        )
        expect(panel(page, transport).locator(".chart-plot canvas")).to_have_count(2)
    expect(page.locator("#clock")).to_have_text(re.compile(r"agree \(± [\d.]+ ms\)"))  # one machine
    assert opened.errors == []


def test_the_figures_follow_what_is_published(server: Server, open_page: OpenPage) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    position = server.publish(STREAM, {"metrics": dict.fromkeys(FIGURES, 12.34)})
    for transport in TRANSPORTS:
        expect(field(page, transport, "position")).to_have_text(position)
    for name in FIGURES:
        expect(shown(page, name)).to_have_text("12.3")
    drawn_by_the_server = open_page(server, "/dashboard/sse-test").page
    expect(shown(drawn_by_the_server, "disk")).to_have_text("12.3")
    expect(field(drawn_by_the_server, "sse", "updates")).to_have_text("0")


@pytest.mark.slow  # the collectors take their time
def test_the_figures_move_by_the_collectors_alone(collecting: Server, open_page: OpenPage) -> None:
    page = open_page(collecting).page
    wait_for_state(page, "live")
    figures = page.locator(".figures")
    expect(figures).not_to_have_text(figures.text_content() or "")


@pytest.mark.slow
@pytest.mark.parametrize(("path", "transport"), [("sse-test", "sse"), ("websocket-test", "cable")])
def test_each_transport_has_a_page_of_its_own(
    server: Server, open_page: OpenPage, path: str, transport: str
) -> None:
    opened = open_page(server, f"/dashboard/{path}")
    wait_for_state(opened.page, "live", [transport])
    expect(opened.page.locator(".panel")).to_have_count(1)
    expect(opened.page.locator(".chip:visible")).to_have_count(1)
    expect(opened.page.locator("#source")).to_be_hidden()
    expect(opened.page.locator(".lead-text:visible")).to_contain_text("alone")
    expect(opened.page.locator(".views [aria-current=page]")).to_have_attribute("data-view", transport)
    assert opened.errors == []


@pytest.mark.slow  # a server of its own
def test_without_demo_and_auto_refresh(
    browser: object, open_page: OpenPage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without DEMO the page cannot publish; without SSE_AUTO_REFRESH it connects when asked."""
    settings = {"JOBS": "inline", "DEMO": "off", "SSE_AUTO_REFRESH": "off"}
    with Server(tmp_path_factory.mktemp("plain"), settings) as plain:
        until(lambda: plain.ask("GET", "/dashboard/refresh").body != b"null", "there is something to draw")
        opened = open_page(plain)
        wait_for_state(opened.page, "closed")
        expect(opened.page.locator("#demo")).to_be_hidden()
        expect(shown(opened.page, "disk")).to_have_text(A_FIGURE)
        expect(shown(opened.page, "as-of")).to_have_text("Server-Sent Events is closed: no update yet")
        for transport in TRANSPORTS:
            toggle(opened.page, transport).click()
        wait_for_state(opened.page, "live")
        assert opened.errors == []


@pytest.mark.parametrize("strips", [True, False], ids=["removes", "leaves"])
def test_the_page_lives_behind_a_prefix(prefixed: Server, open_page: OpenPage, strips: bool) -> None:
    """Its files, both streams, its buttons and its links, behind a proxy that removes the prefix or leaves it."""
    with PrefixProxy(prefixed.address, strips) as proxy:
        opened = open_page(proxy, f"{PREFIX}/dashboard")
        page = opened.page
        wait_for_state(page, "live")
        position = prefixed.publish(STREAM, {"metrics": dict.fromkeys(FIGURES, 23.45)})
        for transport in TRANSPORTS:
            expect(field(page, transport, "position")).to_have_text(position)
        expect(shown(page, "cpu")).to_have_text(re.compile(r"^23\.[45]$"))
        expect(page.locator("#clock")).to_have_text(re.compile(r"± [\d.]+ ms"))
        page.get_by_role("button", name="Publish a test update").click()
        expect(page.locator("#answer")).to_have_text(re.compile("^Published "))
        for transport in TRANSPORTS:
            expect(field(page, transport, "position")).not_to_have_text(position)
        page.get_by_role("link", name="SSE", exact=True).click()
        expect(page).to_have_url(f"{proxy.address.origin}{PREFIX}/dashboard/sse-test")
        wait_for_state(page, "live", ["sse"])
        assert opened.errors == [] and proxy.outside == []


# --- reconnecting


@pytest.mark.slow
def test_the_page_reconnects_and_resumes_after_a_kill(open_page: OpenPage, server: Server) -> None:
    epoch = server.publish(STREAM, {"n": 0}).rpartition("-")[0]
    page = open_page(server).page
    wait_for_state(page, "live")
    server.publish(STREAM, {"metrics": {"disk": 66.6}})
    expect(shown(page, "disk")).to_have_text("66.6")
    fresh = colour(shown(page, "disk"))
    server.kill()
    for transport in TRANSPORTS:
        expect(panel(page, transport)).not_to_have_attribute("data-state", "live")
        expect(field(page, transport, "complete")).to_have_text(
            re.compile("^complete up to .*, then unknown$")
        )
        expect(field(page, transport, "age")).to_have_text(re.compile("ago$"))
    # The old figures stay, with their age, and do not look like the present.
    expect(shown(page, "disk")).to_have_text("66.6")
    expect(shown(page, "as-of")).to_contain_text(re.compile(r"is (waiting|connecting): as of .* ago$"))
    expect(shown(page, "disk")).not_to_have_css("color", fresh)
    server.start()
    wait_for_state(page, "live")
    position = server.publish(STREAM, {"metrics": {"disk": 77.7}})
    assert position.startswith(f"{epoch}-")
    expect(shown(page, "disk")).to_have_text("77.7")
    expect(shown(page, "disk")).to_have_css("color", fresh)
    for transport in TRANSPORTS:
        expect(field(page, transport, "position")).to_have_text(position)
        expect(field(page, transport, "reconnects")).to_have_text(re.compile("^[1-9]"))
        expect(field(page, transport, "complete")).to_contain_text("complete since")
        expect(field(page, transport, "loss")).to_have_text("")
        expect(field(page, transport, "sentence")).to_have_text("Updates come as they are published.")


def colour(locator: Locator) -> str:
    found: str = locator.evaluate("element => getComputedStyle(element).color")
    return found


def test_a_cut_connection_comes_back_and_leaves_the_other_alone(server: Server, open_page: OpenPage) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    for number, transport in enumerate(TRANSPORTS, 1):
        cut(page, transport).click()
        expect(field(page, transport, "reconnects")).to_have_text("1")
        wait_for_state(page, "live")
        assert page.locator('[data-field="reconnects"]').all_text_contents().count("1") == number


@pytest.mark.slow
def test_a_restart_in_order_is_shown(open_page: OpenPage, server: Server) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    server.end()
    for transport in TRANSPORTS:
        expect(field(page, transport, "sentence")).to_contain_text("The server is restarting. Next attempt")
    assert server.wait() == 0
    server.start()
    wait_for_state(page, "live")


@pytest.mark.slow
def test_a_refused_stream_is_asked_for_again_with_its_position(server: Server, open_page: OpenPage) -> None:
    """Any status but 200 ends an EventSource for good; the page replaces it."""
    server.publish(STREAM, {"n": 0})
    page = open_page(server).page
    wait_for_state(page, "live")
    toggle(page, "sse").click()
    wait_for_state(page, "closed", ["sse"])
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, body="starting")

    page.route("**/dashboard/stream?*", refuse)
    toggle(page, "sse").click()
    expect(field(page, "sse", "sentence")).to_contain_text("The server refused the connection")
    wait_for_state(page, "live", ["cable"])
    page.unroute("**/dashboard/stream?*")
    wait_for_state(page, "live")
    assert asked and all("last_event_id=" in url for url in asked)


@pytest.mark.slow
def test_a_closed_panel_catches_up(server: Server, open_page: OpenPage) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    for transport in TRANSPORTS:
        toggle(page, transport).click()
    wait_for_state(page, "closed")
    page.get_by_role("button", name="Burst of 1,000").click()
    expect(page.locator("#answer")).to_contain_text("Published 1,000 updates, up to ")
    for transport in TRANSPORTS:
        expect(toggle(page, transport)).to_have_accessible_name(re.compile("^Connect "))
        toggle(page, transport).click()
    wait_for_state(page, "live")
    for transport in TRANSPORTS:
        expect(field(page, transport, "caught-up")).to_have_text("1,000")
        expect(field(page, transport, "updates")).to_have_text("1,000")
        expect(field(page, transport, "loss")).to_have_text("")


@pytest.mark.slow  # a server of its own
def test_what_is_missing_is_said(
    browser: object, open_page: OpenPage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Who was away for more than MAX_REPLAY updates jumps to the newest; the other panel has them all."""
    with Server(tmp_path_factory.mktemp("gap"), {"MAX_REPLAY": "5"}) as server:
        page = open_page(server).page
        wait_for_state(page, "live")
        server.publish(STREAM, {"metrics": {"disk": 11.1}})
        expect(field(page, "sse", "updates")).to_have_text("1")
        toggle(page, "sse").click()
        wait_for_state(page, "closed", ["sse"])
        newest = server.publish(STREAM, *[{"metrics": {"disk": 22.2}}] * 15)
        expect(field(page, "cable", "position")).to_have_text(newest)
        toggle(page, "sse").click()
        expect(field(page, "sse", "loss")).to_have_text(re.compile(r"^14 updates / \d+ s missing$"))
        expect(field(page, "sse", "position")).to_have_text(newest)
        expect(field(page, "cable", "loss")).to_have_text("")
        comparison = page.locator("#comparison")
        expect(comparison).to_contain_text("but Server-Sent Events has 14 updates / ")
        expect(comparison).to_have_attribute("data-level", "attention")


@pytest.mark.slow  # the page asks every 5 seconds
def test_the_page_says_that_the_broker_is_away(
    browser: object, open_page: OpenPage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    with Server(tmp_path_factory.mktemp("with-redis"), {"REDIS_URL": redis.url}) as server:
        page = open_page(server).page
        wait_for_state(page, "live")
        degraded = page.locator("#degraded")
        redis.kill()
        expect(degraded).to_contain_text("The broker is away")
        position = server.publish(STREAM, {"n": 0})
        for transport in TRANSPORTS:
            expect(field(page, transport, "position")).to_have_text(position)
        redis.start()
        expect(degraded).to_have_text("")
        wait_for_state(page, "live")
    redis.kill()


# --- updates


@pytest.mark.slow
def test_a_burst_reaches_both_panels_whole(server: Server, open_page: OpenPage) -> None:
    opened = open_page(server)
    wait_for_state(opened.page, "live")
    opened.page.get_by_role("button", name="Publish a test update").click()
    expect(opened.page.locator("#answer")).to_have_text(re.compile(r"^Published \S+-\d+\.$"))
    opened.page.get_by_role("button", name="Burst of 1,000").click()
    for transport in TRANSPORTS:
        expect(field(opened.page, transport, "updates")).to_have_text("1,001")
    assert opened.errors == []


@pytest.mark.slow
def test_what_was_not_published_is_said(server: Server, open_page: OpenPage) -> None:
    """In the server's words, or, when a proxy answers, with its status."""
    page = open_page(server).page
    wait_for_state(page, "live")
    button = page.get_by_role("button", name="Publish a test update")

    def said_to(respond: Callable[[Route], None]) -> None:
        page.unroute("**/dashboard/trigger-*")
        page.route("**/dashboard/trigger-*", respond)
        button.click()

    answer = page.locator("#answer")
    said_to(lambda route: route.fulfill(status=429, json={"error": "too_many", "detail": "Wait a moment."}))
    expect(answer).to_have_text("Wait a moment.")
    said_to(lambda route: route.fulfill(status=502, body="<html>"))
    expect(answer).to_have_text("The server refused (502): nothing was published.")
    said_to(lambda route: route.abort())
    expect(answer).to_have_text("The server cannot be reached: nothing was published.")


@pytest.mark.slow
def test_the_dashboard_reads_from_the_transport_that_is_chosen(server: Server, open_page: OpenPage) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    server.publish(STREAM, {"metrics": {"disk": 31.1}})
    expect(shown(page, "disk")).to_have_text("31.1")
    toggle(page, "sse").click()
    wait_for_state(page, "closed", ["sse"])
    server.publish(STREAM, {"metrics": {"disk": 32.2}})
    # By itself it goes on with the one that is live.
    expect(shown(page, "disk")).to_have_text("32.2")
    expect(shown(page, "as-of")).to_contain_text("WebSocket, as of")
    page.get_by_role("radio", name="SSE").check(force=True)
    expect(shown(page, "as-of")).to_contain_text("Server-Sent Events is closed: as of")
    newest = server.publish(STREAM, {"metrics": {"disk": 33.3}})
    expect(field(page, "cable", "position")).to_have_text(newest)
    # One cursor: a transport that is behind takes nothing back, and brings what it has missed.
    expect(shown(page, "disk")).to_have_text("32.2")
    toggle(page, "sse").click()
    expect(shown(page, "disk")).to_have_text("33.3")
    expect(shown(page, "as-of")).to_contain_text("Server-Sent Events, as of")
    page.get_by_role("radio", name="SSE").press("ArrowRight")
    expect(page.get_by_role("radio", name="WebSocket")).to_be_checked()
    expect(shown(page, "as-of")).to_contain_text("WebSocket, as of")


@pytest.mark.slow
def test_pause_keeps_the_figures_and_resume_shows_the_newest(server: Server, open_page: OpenPage) -> None:
    page, other = open_page(server).page, open_page(server).page
    for each in (page, other):
        wait_for_state(each, "live")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#comparison")).to_have_text(re.compile(r"^Paused: what you see is of \d\d:"))
    kept = [field(page, transport, "position").text_content() for transport in TRANSPORTS]
    newest = server.publish(STREAM, {"metrics": {"disk": 77.7}}, {"metrics": {"disk": 88.8}})
    for transport in TRANSPORTS:
        expect(field(other, transport, "position")).to_have_text(newest)
    assert [field(page, transport, "position").text_content() for transport in TRANSPORTS] == kept
    wait_for_state(page, "live")
    page.get_by_role("button", name="Resume").click()
    for transport in TRANSPORTS:
        expect(field(page, transport, "position")).to_have_text(newest)
        expect(field(page, transport, "updates")).to_have_text("2")
    expect(shown(page, "disk")).to_have_text("88.8")


def test_markup_in_an_update_stays_text(server: Server, open_page: OpenPage) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    opened = open_page(server)
    wait_for_state(opened.page, "live")
    update = {
        "system_status": {"status": evil, "message": evil, "uptime": evil, "last_check": evil},
        "metrics": dict.fromkeys(FIGURES, evil),
        "activities": [{"message": evil, "time": evil, "level": evil, "css_class": evil}, None, 7],
        "published_at_ms": evil,
    }
    server.publish(STREAM, update)
    expect(shown(opened.page, "message")).to_have_text(evil)
    expect(opened.page.locator(".activities li").first).to_contain_text(evil)
    expect(shown(opened.page, "cpu")).to_have_text("\N{EN DASH}")
    for transport in TRANSPORTS:
        expect(field(opened.page, transport, "ignored")).to_have_text("13")
    assert opened.page.locator("main img, main script").count() == 0
    assert opened.page.title() == "dashboard-rt"
    assert opened.errors == []


def test_an_update_that_is_not_ours_leaves_a_page_that_works(server: Server, open_page: OpenPage) -> None:
    """Also one that it was drawn with: what anybody publishes must not keep it from connecting."""
    odd: list[Any] = [
        *[None, 7, "text", [], {"metrics": None}, {"__proto__": {"metrics": 1}}],
        {"metrics": 1, "activities": {}, "system_status": "x"},
        {
            "metrics": {"cpu": {"toString": 1}},
            "activities": [{"message": {"toString": 1}, "time": {"valueOf": 1}}],
        },
        {"system_status": {"message": "x" * 60_000}},
    ]
    server.publish(STREAM, *odd, odd[7])
    opened = open_page(server)
    wait_for_state(opened.page, "live")
    server.publish(STREAM, *odd)
    server.publish(STREAM, {"metrics": {"disk": "55.5"}})
    expect(shown(opened.page, "disk")).to_have_text("55.5")
    for transport in TRANSPORTS:
        expect(field(opened.page, transport, "updates")).to_have_text("10")
        expect(field(opened.page, transport, "ignored")).to_have_text("11")
    wait_for_state(opened.page, "live")
    assert opened.errors == []


# --- looks


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_no_width_scrolls_sideways(server: Server, open_page: OpenPage, scheme: str) -> None:
    page = open_page(server, color_scheme=scheme).page
    wait_for_state(page, "live")
    collect(server)
    for width in (360, 390, 768, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # A chart takes its new width a moment after its panel.
        until(lambda: page.evaluate(OVERFLOWING) == [], f"nothing overflows at {width} px")


def background(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


@pytest.mark.slow
def test_dark_follows_the_system_until_it_is_switched(server: Server, open_page: OpenPage) -> None:
    light = background(open_page(server, color_scheme="light").page)
    page = open_page(server, color_scheme="dark").page
    dark = background(page)
    assert light != dark
    page.get_by_role("button", name="Switch between light and dark").click()
    assert background(page) == light
    page.reload()
    assert background(page) == light
    page.get_by_role("button", name="Switch between light and dark").click()
    assert background(page) == dark


@pytest.mark.slow
def test_screen_readers_hear_connections_and_not_figures(server: Server, open_page: OpenPage) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    expect(panel(page, "sse").get_by_role("status")).to_have_text("Server-Sent Events: live")
    expect(panel(page, "cable").get_by_role("status")).to_have_text("WebSocket: live")
    for name in ("The dashboard", "How the updates get here", "Server-Sent Events", "WebSocket"):
        expect(page.get_by_role("region", name=name, exact=True)).to_have_count(1)
    expect(page.locator("[aria-live]")).to_have_count(0)
    assert page.locator(".figures dt").all_text_contents()[:2] == ["CPU", "Memory"]
    expect(page.get_by_role("group", name="Read from")).to_have_count(1)
    # Behind each canvas there is a table, which the keyboard opens.
    tables = panel(page, "sse").locator("details summary")
    expect(tables).to_have_count(2)
    tables.first.press("Enter")
    expect(panel(page, "sse").get_by_role("table")).to_be_visible()


@pytest.mark.slow
def test_nothing_moves_for_those_who_asked_for_that(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, reduced_motion="reduce").page
    wait_for_state(page, "live")
    assert page.evaluate("document.getAnimations().length") == 0
    server.kill()
    expect(panel(page, "sse")).not_to_have_attribute("data-state", "live")
    assert page.evaluate("document.getAnimations().length") == 0
    server.start()
