"""The dashboard page in a real Chromium, against a real server, over both transports.

How its clients reconnect in each case is held by tests/js. What takes seconds, or is about looks, is slow.
"""

from __future__ import annotations

import re
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
expect.set_options(timeout=20_000)  # ms

A_FIGURE = re.compile(r"^\d+\.\d$")


def panel(page: Page, transport: str) -> Locator:
    return page.locator(f'.panel[data-transport="{transport}"]')


def field(page: Page, transport: str, name: str) -> Locator:
    return panel(page, transport).locator(f'[data-field="{name}"]')


def button(page: Page, transport: str) -> Locator:
    return panel(page, transport).get_by_role("button")


def wait_for_state(page: Page, state: str, transports: list[str] = TRANSPORTS) -> None:
    for transport in transports:
        expect(panel(page, transport)).to_have_attribute("data-state", re.compile(f"^({state})$"))


def collect(server: Server) -> None:
    """Run each collector once, which publishes what it measured."""
    assert server.ask("POST", "/dashboard/trigger-jobs", [BEARER]).status < 300


# --- opening


def test_both_panels_open_and_show_the_machine(server: Server, open_page: OpenPage) -> None:
    opened = open_page(server)
    page = opened.page
    wait_for_state(page, "live")
    for _ in range(2):  # the response time is that of an update before
        collect(server)
    for transport in TRANSPORTS:
        expect(field(page, transport, "received")).to_have_text(re.compile("^[1-9]"))
        for name in FIGURES:
            expect(field(page, transport, name)).to_have_text(A_FIGURE)
        for name in ("cpu", "memory", "disk"):
            assert 0 <= float(field(page, transport, name).text_content() or "") <= 100
        expect(field(page, transport, "status")).to_have_text(re.compile("^(online|warning|offline)$"))
        expect(field(page, transport, "lag")).to_have_text(re.compile(r"^[\d.]+ ms$"))
        expect(field(page, transport, "age")).to_have_text(re.compile("just now|ago$"))
        expect(panel(page, transport).locator(".activities li")).not_to_have_count(0)
    assert opened.errors == []


def test_the_figures_follow_what_is_published(server: Server, open_page: OpenPage) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    position = server.publish(STREAM, {"metrics": dict.fromkeys(FIGURES, 12.34)})
    for transport in TRANSPORTS:
        expect(field(page, transport, "position")).to_have_text(position)
        for name in FIGURES:
            expect(field(page, transport, name)).to_have_text("12.3")
    drawn_by_the_server = open_page(server, "/dashboard/sse-test").page
    expect(field(drawn_by_the_server, "sse", "disk")).to_have_text("12.3")
    expect(field(drawn_by_the_server, "sse", "received")).to_have_text("0")


@pytest.mark.slow  # the collectors take their time
def test_the_figures_move_by_the_collectors_alone(collecting: Server, open_page: OpenPage) -> None:
    page = open_page(collecting).page
    wait_for_state(page, "live")
    figures = [panel(page, transport).locator(".figures") for transport in TRANSPORTS]
    before = [each.text_content() or "" for each in figures]
    for each, shown in zip(figures, before, strict=True):
        expect(each).not_to_have_text(shown)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "transport"), [("sse-test", "sse"), ("websocket-test", "cable")])
def test_each_transport_has_a_page_of_its_own(
    server: Server, open_page: OpenPage, path: str, transport: str
) -> None:
    opened = open_page(server, f"/dashboard/{path}")
    wait_for_state(opened.page, "live", [transport])
    expect(opened.page.locator(".panel")).to_have_count(1)
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
        expect(field(opened.page, "sse", "disk")).to_have_text(A_FIGURE)
        for transport in TRANSPORTS:
            button(opened.page, transport).click()
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
            expect(field(page, transport, "cpu")).to_have_text(re.compile(r"^23\.[45]$"))
        page.get_by_role("button", name="Send one").click()
        expect(page.locator("#answer")).to_have_text(re.compile("^Published up to"))
        for transport in TRANSPORTS:
            expect(field(page, transport, "position")).not_to_have_text(position)
        page.get_by_role("link", name="SSE").click()
        expect(page).to_have_url(f"{proxy.address.origin}{PREFIX}/dashboard/sse-test")
        wait_for_state(page, "live", ["sse"])
        assert opened.errors == [] and proxy.outside == []


# --- reconnecting


def test_the_page_reconnects_and_resumes_after_a_kill(open_page: OpenPage, server: Server) -> None:
    epoch = server.publish(STREAM, {"n": 0}).rpartition("-")[0]
    page = open_page(server).page
    wait_for_state(page, "live")
    server.kill()
    wait_for_state(page, "waiting|connecting")
    server.start()
    wait_for_state(page, "live")
    position = server.publish(STREAM, {"n": 1})
    assert position.startswith(f"{epoch}-")
    for transport in TRANSPORTS:
        expect(field(page, transport, "verdict")).to_have_text(re.compile("^recovered"))
        expect(field(page, transport, "position")).to_have_text(position)
        expect(field(page, transport, "loss")).to_have_text("")


@pytest.mark.slow
def test_a_restart_in_order_is_shown(open_page: OpenPage, server: Server) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    server.end()
    for transport in TRANSPORTS:
        expect(field(page, transport, "loss")).to_contain_text("The server is restarting, next attempt in")
    assert server.wait() == 0
    server.start()
    wait_for_state(page, "live")


@pytest.mark.slow
def test_a_refused_stream_is_asked_for_again_with_its_position(server: Server, open_page: OpenPage) -> None:
    """Any status but 200 ends an EventSource for good; the page replaces it."""
    server.publish(STREAM, {"n": 0})
    page = open_page(server).page
    wait_for_state(page, "live")
    button(page, "sse").click()
    expect(panel(page, "sse")).to_have_attribute("data-state", "closed")
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, body="starting")

    page.route("**/dashboard/stream?*", refuse)
    button(page, "sse").click()
    expect(field(page, "sse", "loss")).to_contain_text("refused the stream, next attempt in")
    page.unroute("**/dashboard/stream?*")
    wait_for_state(page, "live")
    assert asked and all("last_event_id=" in url for url in asked)


def test_a_stopped_panel_catches_up(server: Server, open_page: OpenPage) -> None:
    page = open_page(server).page
    wait_for_state(page, "live")
    for transport in TRANSPORTS:
        button(page, transport).click()
    wait_for_state(page, "closed")
    page.get_by_role("button", name="Send a burst").click()
    expect(page.locator("#answer")).to_contain_text("Published up to")
    for transport in TRANSPORTS:
        expect(button(page, transport)).to_have_accessible_name(re.compile("^Connect "))
        button(page, transport).click()
    wait_for_state(page, "live")
    for transport in TRANSPORTS:
        expect(field(page, transport, "verdict")).to_have_text("recovered, 100 replayed")
        expect(field(page, transport, "received")).to_have_text("100")


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
    opened.page.get_by_role("button", name="Send one").click()
    expect(opened.page.locator("#answer")).to_contain_text("Published up to")
    opened.page.get_by_role("button", name="Send a burst").click()
    for transport in TRANSPORTS:
        expect(field(opened.page, transport, "received")).to_have_text("101")
    assert opened.errors == []


@pytest.mark.slow
def test_pause_keeps_the_figures_and_resume_shows_the_newest(server: Server, open_page: OpenPage) -> None:
    page, other = open_page(server).page, open_page(server).page
    for each in (page, other):
        wait_for_state(each, "live")
    page.get_by_role("button", name="Pause").click()
    kept = [field(page, transport, "position").text_content() for transport in TRANSPORTS]
    newest = server.publish(STREAM, {"metrics": {"disk": 77.7}}, {"metrics": {"disk": 88.8}})
    for transport in TRANSPORTS:
        expect(field(other, transport, "position")).to_have_text(newest)
    assert [field(page, transport, "position").text_content() for transport in TRANSPORTS] == kept
    wait_for_state(page, "live")
    page.get_by_role("button", name="Resume").click()
    for transport in TRANSPORTS:
        expect(field(page, transport, "position")).to_have_text(newest)
        expect(field(page, transport, "disk")).to_have_text("88.8")


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
    for transport in TRANSPORTS:
        expect(field(opened.page, transport, "message")).to_have_text(evil)
        expect(panel(opened.page, transport).locator(".activities li").first).to_contain_text(evil)
        expect(field(opened.page, transport, "cpu")).to_have_text("\N{EN DASH}")
    assert opened.page.locator(".panel img, .panel script").count() == 0
    assert opened.page.title() == "dashboard-rt"
    assert opened.errors == []


@pytest.mark.slow
def test_updates_of_another_shape_are_no_error(server: Server, open_page: OpenPage) -> None:
    opened = open_page(server)
    wait_for_state(opened.page, "live")
    odd: list[Any] = [None, 7, "text", [], {"metrics": None}]
    odd.append({"metrics": 1, "activities": {}, "system_status": "x"})
    for update in odd:
        server.publish(STREAM, update)
    server.publish(STREAM, {"metrics": {"disk": 55.5}})
    for transport in TRANSPORTS:
        expect(field(opened.page, transport, "disk")).to_have_text("55.5")
    wait_for_state(opened.page, "live")
    assert opened.errors == []


# --- looks


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_no_width_scrolls_sideways(server: Server, open_page: OpenPage, scheme: str) -> None:
    page = open_page(server, color_scheme=scheme).page
    wait_for_state(page, "live")
    collect(server)
    for width in (360, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        overflowing = page.evaluate(
            "[...document.querySelectorAll('body *')].filter((e) => e.scrollWidth > e.clientWidth + 1 &&"
            " e.clientWidth > 1 && getComputedStyle(e).display !== 'inline')"
            ".map((e) => e.outerHTML.slice(0, 120))"
        )
        assert overflowing == [], width


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
    expect(panel(page, "cable").get_by_role("status")).to_have_text("Action Cable: live")
    expect(page.get_by_role("region", name="Action Cable")).to_have_count(1)
    expect(page.locator("[aria-live]")).to_have_count(0)
    assert page.locator(".figures dt").all_text_contents()[:2] == ["CPU", "Memory"]
