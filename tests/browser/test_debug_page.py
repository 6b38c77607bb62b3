"""/dashboard/debug in a real Chromium: a page for who opens it there, at any width, light and dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.live.server import Server


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_is_shown_a_page(server: Server, open_page: OpenPage, scheme: str) -> None:
    opened = open_page(server, "/dashboard/debug", color_scheme=scheme)
    page = opened.page
    expect(page.get_by_role("heading", level=2)).to_have_text(
        ["What is degraded", "Log", "Broker", "Connections", "Figures", "Settings"]
    )
    expect(page.get_by_text(f"Process {server.pid} answered.")).to_be_visible()
    expect(page.get_by_role("region", name="What is degraded")).to_contain_text("Nothing")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 18, 22)"
    assert dark == (scheme == "dark")
    for width in (360, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("link", name="Dashboard").click()
    expect(page).to_have_url(f"{server.address.origin}/dashboard")
    assert opened.errors == []
