"""docs/clients.md, docs/rails.md, docs/access.md: their blocks for pages, with installed packages, in a Chromium."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_examples import listens
from tests.live.cable import EXT
from tests.live.clients_document import DOCUMENT, NODE, block, blocks, install_package
from tests.live.examples import running
from tests.live.server import Server, free_port
from tests.live.test_proxies import BARE
from tests.live.test_tickets import AUTH, ticket
from tests.live.wire import Address, until
from tests.services.nginx import Nginx

STREAM = "dashboard_updates"
PAGE = """\
<!doctype html>
<link rel="icon" href="data:," />
{import_map}
<script>
  const session = {session}, drawn = [], warned = [];
  const draw = data => drawn.push(data.n), show = () => {{}}, warn = text => warned.push(text);
  const sockets = [];
  WebSocket = class extends WebSocket {{ constructor(...given) {{ super(...given); sockets.push(this); }} }};
</script>
<script type="module">{block}</script>
"""
STOCK = {
    "@rails/actioncable": "./actioncable.esm.js",
    "@anycable/core": "./node_modules/@anycable/core/index.js",
    "nanoevents": "./node_modules/nanoevents/index.js",
}
[SHOWN] = re.findall(r'`(<script type="importmap">.*</script>)`', DOCUMENT)
IMPORT_MAP = SHOWN.replace("}}", f", {json.dumps(STOCK)[1:-1]}}}}}")
ACTION_CABLE = NODE / "node_modules" / "@rails" / "actioncable" / "app" / "assets" / "javascripts"


class Site:
    """A web server of its own origin."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = Address("127.0.0.1", free_port())

    @property
    def command(self) -> str:
        return f"python3 -m http.server {self.address.port} --bind 127.0.0.1"

    def write(self, address: Address, text: str) -> None:
        """Put a page there, with the address of a server in it."""
        page = text.replace("127.0.0.1:3000", address.netloc)
        (self.directory / "index.html").write_text(page)


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    with running(made.directory, made.command, made.directory / "log"):
        until(lambda: listens(made.address), "the site listens")
        yield made


@pytest.fixture(scope="module")
def packed(site: Site) -> Site:
    """The site, with what npm installs in an app."""
    install_package(site.directory)
    shutil.copy(ACTION_CABLE / "actioncable.esm.js", site.directory)
    for package in ("@anycable/core", "nanoevents"):
        shutil.copytree(NODE / "node_modules" / package, site.directory / "node_modules" / package)
    return site


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), {"ALLOWED_ORIGINS": site.address.origin}) as running:
        yield running


def module_page(script: str, session: Any = None) -> str:
    return PAGE.format(import_map=IMPORT_MAP, session=json.dumps(session), block=script)


def draws_each_update_once(page: Page, server: Server, stream: str = STREAM) -> None:
    """The newest is drawn when the page comes, and then each as it is published."""
    until(lambda: page.evaluate("drawn") == [1], "the newest update is drawn")
    server.publish(stream, {"n": 2}, {"n": 3})
    until(lambda: page.evaluate("drawn") == [1, 2, 3], "each update is drawn once")


def test_the_page_without_npm(site: Site, server: Server, open_page: OpenPage) -> None:
    site.write(server.address, block("In five minutes", "html"))
    opened = open_page(SimpleNamespace(address=site.address), "/")
    expect(opened.page.locator("#state")).to_have_text("live over cable")
    server.publish(STREAM, {"n": 1})
    expect(opened.page.locator("#figures")).to_have_text('{\n  "n": 1\n}')


@pytest.mark.slow  # an nginx of its own
def test_behind_a_proxy_without_upgrades_the_page_goes_on_over_sse(
    site: Site, server: Server, open_page: OpenPage, tmp_path: Path
) -> None:
    nginx = Nginx(tmp_path, [server.address.port], BARE)
    nginx.start()
    try:
        site.write(Address("127.0.0.1", nginx.port), block("In five minutes", "html"))
        opened = open_page(SimpleNamespace(address=site.address), "/")
        expect(opened.page.locator("#state")).to_have_text("live over sse")
        server.publish(STREAM, {"n": 4})
        expect(opened.page.locator("#figures")).to_have_text('{\n  "n": 4\n}')
    finally:
        nginx.kill()


SECTIONS = ("In five minutes", "Positions", "Switching", "One connection for all tabs", "Stock clients")
BLOCKS = {
    **{section: block(section, "js") for section in SECTIONS},
    "Rails": blocks("rails", "3. Point the pages here", "js")[0],
    "Rails, resuming": blocks("rails", "4. Resume after a break", "js")[0],
}


@pytest.mark.slow  # npm takes seconds
@pytest.mark.parametrize("name", BLOCKS)
def test_a_module_draws_each_update_once(
    name: str, packed: Site, server: Server, open_page: OpenPage
) -> None:
    server.put(STREAM, {"n": 1})
    packed.write(server.address, module_page(BLOCKS[name]))
    opened = open_page(SimpleNamespace(address=packed.address), "/")
    draws_each_update_once(opened.page, server)
    if name == "Switching":
        until(lambda: server.connections("sse") == 0, "the old transport is closed")
    if name == "Rails, resuming":
        assert opened.page.evaluate("sockets[0].protocol") == EXT, "the base protocol resumes nothing"
    assert opened.errors == [] and opened.page.evaluate("warned") == []


# ---- with tickets


@pytest.fixture(scope="module")
def guarded(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants tickets, with one more stream."""
    settings = {
        **AUTH,
        "ALLOWED_ORIGINS": site.address.origin,
        "STREAMS": f"{STREAM}:state,orders:state",
        "RETRY_MIN": "50",
        "RETRY_MAX": "100",
    }
    with Server(tmp_path_factory.mktemp("guarded"), settings) as running:
        yield running


@pytest.mark.slow  # npm takes seconds
@pytest.mark.parametrize("number", range(3), ids=["ours", "EventSource", "AnyCable"])
def test_a_page_has_its_ticket_from_its_own_backend(
    number: int, packed: Site, guarded: Server, open_page: OpenPage
) -> None:
    guarded.publish("orders", {"n": 1})
    (packed.directory / "stream-ticket").write_text(ticket(guarded, once=number == 0, streams=["orders"]))
    packed.write(guarded.address, module_page(blocks("access", "3. Send them from the page", "js")[number]))
    opened = open_page(SimpleNamespace(address=packed.address), "/")
    draws_each_update_once(opened.page, guarded, "orders")
    assert opened.errors == []


@pytest.mark.slow  # npm takes seconds
def test_a_page_fetches_a_ticket_for_each_attempt(packed: Site, guarded: Server, open_page: OpenPage) -> None:
    guarded.publish(STREAM, {"n": 1})
    session = {"ticket": ticket(guarded, once=False)}
    packed.write(guarded.address, module_page(block("Tickets", "js"), session))
    opened = open_page(SimpleNamespace(address=packed.address), "/")
    draws_each_update_once(opened.page, guarded)
    assert opened.errors == []
    guarded.end()
    guarded.wait()
    guarded.start()
    guarded.publish(STREAM, {"n": 4})
    until(lambda: opened.page.evaluate("drawn") == [1, 2, 3, 4], "it is back, with another ticket")
