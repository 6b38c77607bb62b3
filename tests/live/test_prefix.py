"""Behind a proxy that shows the server under a path: both streams, the page and its files stay inside of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.live.cable import CableClient, identifier
from tests.live.conftest import Servers
from tests.live.proxy import PREFIX, PrefixProxy
from tests.live.publishing import BEARER
from tests.live.server import Server
from tests.live.sse import SseClient
from tests.live.wire import ask


@pytest.fixture
def prefixed(servers: Servers, handover: str) -> Server:
    return servers.get(HANDOVER=handover, ROOT_PATH=PREFIX)


@pytest.fixture(params=[True, False], ids=["removes", "leaves"])
def proxy(request: pytest.FixtureRequest, prefixed: Server) -> Iterator[PrefixProxy]:
    """A proxy that removes the prefix, and one that leaves it."""
    with PrefixProxy(prefixed.address, strips=request.param) as proxy:
        yield proxy


def test_the_page_and_all_that_it_names_are_behind_the_prefix(proxy: PrefixProxy) -> None:
    for path in (PREFIX, f"{PREFIX}/", f"{PREFIX}/dashboard", f"{PREFIX}/dashboard/"):
        page = ask(proxy.address, "GET", path)
        assert page.status == 200 and page.head.get("location") is None
    text = page.body.decode()
    addresses = re.findall(r'(?:src|href)="(/[^"]*)"', text)
    assert addresses
    for address in addresses:
        assert ask(proxy.address, "GET", address).status == 200, address
    for trigger in re.findall(r'data-trigger="([^"]*)"', text):
        assert ask(proxy.address, "POST", trigger, [BEARER]).status == 201, trigger
    found = re.search(r'id="page-settings">(.*?)</script>', text)
    assert found is not None
    settings = json.loads(found[1])
    with SseClient(proxy.address, settings["sse_endpoint"]) as sse:
        assert sse.event().name == "verdict"
    with CableClient(proxy.address, target=settings["cable_endpoint"]) as cable:
        cable.welcome()
        assert cable.subscribe(identifier())["type"] == "confirm_subscription"
    assert not proxy.outside


def test_an_update_crosses_the_proxy_on_both_transports(
    proxy: PrefixProxy, prefixed: Server, servers: Servers
) -> None:
    log = servers.stream(prefixed, "log")
    with (
        SseClient(proxy.address, f"{PREFIX}/dashboard/stream/?stream={log}") as sse,
        CableClient(proxy.address, target=f"{PREFIX}/cable/") as cable,
    ):
        assert sse.event().name == "verdict"
        cable.welcome()
        assert cable.subscribe(identifier(log))["type"] == "confirm_subscription"
        published = ask(proxy.address, "POST", f"{PREFIX}/streams/{log}", [BEARER], b'{"n":1}')
        assert published.status == 201
        while (event := sse.event()).name == "heartbeat":
            pass
        assert json.loads(event.data) == {"n": 1}
        assert cable.message()["message"] == {"n": 1}
