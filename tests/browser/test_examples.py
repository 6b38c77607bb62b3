"""examples/: the pages, served as their README says, on ports of the tests, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import needs
from tests.browser.conftest import OpenPage
from tests.live import examples
from tests.live.server import Server
from tests.live.wire import Address, until

pytestmark = (
    pytest.mark.slow
)  # each page has a web server of its own, and Rails' client stays away for up to 18 seconds
PAGES = {"Plain page": "8000", "React": "8001", "Rails": "8002"}  # and the ports that the README shows
LIVE = {"Plain page": "live over cable", "React": "live over cable", "Rails": "connected"}
FIGURES = {"metrics": {"cpu": 12.34, "memory": 40}}


@pytest.fixture(scope="module")
def ports() -> dict[str, str]:
    return examples.page_ports()


@pytest.fixture(scope="module")
def server(
    browser: Browser, ports: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that lets the pages in, as the README says."""
    shown = examples.START
    variable, _, origins = examples.changed(shown, ports).split(" ")[0].partition("=")
    settings = {variable: origins, "JOBS": "off", "RETRY_MIN": "50", "RETRY_MAX": "100"}
    with Server(tmp_path_factory.mktemp("server"), settings) as running:
        yield running


@pytest.fixture
def page(
    request: pytest.FixtureRequest, server: Server, ports: dict[str, str], open_page: OpenPage, tmp_path: Path
) -> Iterator[Page]:
    """An example, served by the last command of its section, opened, and connected."""
    title = request.param
    if title != "Plain page":
        needs.node()
        needs.node_modules(examples.EXAMPLES / title.lower())
    replaced = {**ports, "127.0.0.1:3000": server.address.netloc}
    examples.copied(tmp_path, replaced)
    command = examples.changed(examples.commands(title)[-1], replaced)
    address = Address("127.0.0.1", int(ports[PAGES[title]]))
    with examples.running(tmp_path, command, tmp_path / "log"):
        until(lambda: listens(address), f"{command} listens")
        opened = open_page(SimpleNamespace(address=address), "/")
        expect(opened.page.locator("#state")).to_have_text(LIVE[title])
        assert opened.errors == []
        yield opened.page


def listens(address: Address) -> bool:
    try:
        address.connect().close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("page", PAGES, indirect=True)
def test_a_page_shows_each_update(page: Page, server: Server) -> None:
    server.publish("dashboard_updates", FIGURES)
    expect(page.locator("#cpu")).to_have_text("12.3 %")
    expect(page.locator("#memory")).to_have_text("40.0 %")


@pytest.mark.parametrize("page", ["Plain page"], indirect=True)
def test_the_plain_page_changes_its_transport_and_takes_text_for_text(page: Page, server: Server) -> None:
    page.get_by_role("button").click()
    expect(page.locator("#state")).to_contain_text("live over sse")
    server.publish("dashboard_updates", {"activities": [{"message": "<b>bold</b>"}, 7, None]})
    expect(page.locator("#activities li")).to_have_text(["<b>bold</b>", "undefined", "undefined"])
    odd: object
    for odd in ({"metrics": {"cpu": "1"}, "activities": {"message": 1}}, None, [], "text"):
        server.publish("dashboard_updates", odd)
    server.publish("dashboard_updates", FIGURES)
    expect(page.locator("#cpu")).to_have_text("12.3 %")
    expect(page.locator("#activities li")).to_have_count(0)


@pytest.mark.parametrize("page", PAGES, indirect=True)
def test_a_page_comes_back_after_a_restart(
    page: Page, server: Server, request: pytest.FixtureRequest
) -> None:
    server.end()
    server.wait()
    expect(page.locator("#state")).not_to_contain_text("live")
    server.start()
    server.publish("dashboard_updates", {"metrics": {"cpu": 99, "memory": 98}})
    expect(page.locator("#cpu")).to_have_text("99.0 %")
    expect(page.locator("#state")).to_contain_text("connected" if "Rails" in request.node.name else "live")
