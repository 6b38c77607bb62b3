"""Tabs that share one connection (web/client/shared.js) in a real Chromium: each gets each update once, in order.

The tabs are the dashboard's own document, under its own Content-Security-Policy, with another script in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route

from tests.browser.opened_page import OpenedPage
from tests.live.server import Server
from tests.live.wire import until

STREAMS = (f"shared{n}" for n in count())
ALL = ",".join(["dashboard_updates:state", *(f"shared{n}:log" for n in range(40))])
SCRIPT = """
import { connectShared } from "./client/index.js";
const options = Object.fromEntries(new URLSearchParams(location.search));
const seen = { updates: [], states: [], verdicts: [] };
const client = connectShared({
  ...options,
  onUpdate: (data) => seen.updates.push(data.n),
  onState: (state, { transport, reason }) => seen.states.push([state, transport, reason ?? ""].join(" ").trim()),
  onVerdict: ({ verdict }) => seen.verdicts.push(verdict),
});
Object.assign(window, { client, seen });
"""


class Tab:
    """One tab with a shared client. `query` holds the options of the client."""

    def __init__(self, context: BrowserContext, origin: str, query: str) -> None:
        self.opened = OpenedPage(context.new_page())
        self.page.goto(f"{origin}/dashboard/sse-test?{query}")
        self.waits_for("state", "live")

    @property
    def page(self) -> Page:
        return self.opened.page

    def client(self, name: str) -> Any:
        """A property of its client."""
        return self.page.evaluate(f"window.client?.{name}")

    def waits_for(self, name: str, value: object) -> None:
        until(lambda: self.client(name) == value, f"the {name} is {value}")

    def seen(self, name: str) -> Any:
        return self.page.evaluate(f"window.seen.{name}")

    def has(self, last: int, limit: float = 20) -> None:
        """Wait for an update, and check that all before it came once and in order."""
        until(lambda: last in self.seen("updates"), f"update {last} has come", limit)
        updates = self.seen("updates")
        assert updates == list(range(updates[0], last + 1))

    def lifecycle(self, state: str) -> None:
        """`frozen` or `active`, as a browser does with tabs that are not used."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Page.setWebLifecycleState", {"state": state})
        session.detach()


class Tabs:
    """The tabs of one browser profile, on a stream of their own."""

    def __init__(self, context: BrowserContext, server: Server, **options: str) -> None:
        self.context, self.server, self.stream = context, server, next(STREAMS)
        self.query = "&".join(f"{name}={value}" for name, value in options.items())
        self.before = {transport: server.connections(transport) for transport in ("sse", "cable")}
        self.published = 0
        self.open_tabs: list[Tab] = []
        context.route(
            "**/static/page.js", lambda route: route.fulfill(content_type="text/javascript", body=SCRIPT)
        )

    def open(self, number: int = 1) -> list[Tab]:
        """Open so many tabs, one after the other; all that are open."""
        for _ in range(number):
            query = f"stream={self.stream}&{self.query}"
            self.open_tabs.append(Tab(self.context, self.server.address.origin, query))
        return self.open_tabs

    def gone(self, tab: Tab) -> list[Tab]:
        """Those that are left without it."""
        self.open_tabs.remove(tab)
        return self.open_tabs

    def publish(self, number: int = 1) -> int:
        """Publish `{"n": …}`, one by one; the last one."""
        for _ in range(number):
            self.published += 1
            self.server.publish(self.stream, {"n": self.published})
        return self.published

    def all_have(self, last: int, limit: float = 20) -> None:
        for tab in self.open_tabs:
            tab.has(last, limit)

    def connections(self, number: int) -> None:
        """Wait until the server counts so many of these tabs, over both transports."""

        def open_now() -> float:
            return sum(self.server.connections(name) - before for name, before in self.before.items())

        until(lambda: open_now() == number, f"{number} connections are open")

    def check_consoles(self) -> None:
        for tab in self.open_tabs:
            assert tab.opened.errors == []


@pytest.fixture(scope="module")
def streams(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a log for each test."""
    with Server(tmp_path_factory.mktemp("streams"), {"STREAMS": ALL}) as running:
        yield running


@pytest.fixture
def share(browser: Browser, streams: Server) -> Iterator[Callable[..., Tabs]]:
    contexts = []

    def shared(**options: str) -> Tabs:
        contexts.append(browser.new_context())
        return Tabs(contexts[-1], streams, **options)

    yield shared
    for context in contexts:
        context.close()


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("sharing", "transport"),
    [
        ("worker", "cable"),
        ("locks", "sse"),
        pytest.param("worker", "sse", marks=slow),
        pytest.param("locks", "cable", marks=slow),
    ],
)
def test_three_tabs_share_one_connection(share: Callable[..., Tabs], sharing: str, transport: str) -> None:
    """The first closes while updates come: the others get all of them; with the last one the connection ends."""
    tabs = share(sharing=sharing, transport=transport)
    first, *others = tabs.open(3)
    assert [tab.client("role") for tab in others] == (
        ["worker"] * 2 if sharing == "worker" else ["follower"] * 2
    )
    assert {tab.client("transport") for tab in (first, *others)} == {transport}
    tabs.connections(1)
    tabs.publish(5)
    first.page.close()
    tabs.gone(first)
    tabs.all_have(tabs.publish(5))
    tabs.connections(1)
    assert all(tab.seen("updates")[0] == 1 for tab in others)
    tabs.check_consoles()
    for tab in others:
        tab.page.evaluate("client.close()")
    tabs.connections(0)


@slow
@pytest.mark.parametrize("sharing", ["worker", "locks"])
def test_all_tabs_switch_in_mid_stream(share: Callable[..., Tabs], sharing: str) -> None:
    tabs = share(sharing=sharing, transport="sse")
    first, second = tabs.open(2)
    for transport in ("cable", "sse"):
        tabs.publish(3)
        second.page.evaluate(f"client.switchTo('{transport}')")
        tabs.publish(3)
        first.waits_for("transport", transport)
        tabs.all_have(tabs.publish(3))
        tabs.connections(1)
    tabs.check_consoles()


@slow
@pytest.mark.parametrize("sharing", ["worker", "locks"])
def test_a_tab_that_comes_late_has_the_newest_update_at_once(
    share: Callable[..., Tabs], sharing: str
) -> None:
    tabs = share(sharing=sharing, transport="sse")
    tabs.open(1)
    tabs.all_have(tabs.publish(5))
    late = tabs.open(1)[-1]
    late.has(5)
    assert (late.seen("updates"), late.seen("verdicts")) == ([5], ["fresh"])
    tabs.connections(1)


@slow
def test_a_leader_that_crashes_leaves_the_lock_to_the_next(share: Callable[..., Tabs]) -> None:
    tabs = share(sharing="locks", transport="sse")
    first, second, _ = tabs.open(3)
    tabs.publish(3)
    crash(first)
    tabs.gone(first)
    tabs.publish(3)
    second.waits_for("role", "leader")
    tabs.all_have(tabs.publish(3))
    tabs.connections(1)


def crash(tab: Tab) -> None:
    """Kill the process of a tab."""
    with pytest.raises(Error, match="crash"):
        tab.page.goto("chrome://crash", timeout=10_000)


@slow
@pytest.mark.parametrize("sharing", ["worker", "locks"])
def test_a_tab_that_is_frozen_leaves_and_comes_back_to_what_it_missed(
    share: Callable[..., Tabs], sharing: str
) -> None:
    tabs = share(sharing=sharing, transport="cable", hiddenLimit="Infinity")
    first, second = tabs.open(2)
    tabs.publish(2)
    first.lifecycle("frozen")
    last = tabs.publish(4)
    second.has(last)
    tabs.connections(1)
    first.lifecycle("active")
    first.page.bring_to_front()
    tabs.all_have(tabs.publish(2))
    tabs.connections(1)


@slow
@pytest.mark.parametrize("refusal", ["missing", "policy"])
def test_a_worker_that_cannot_be_loaded_is_replaced_by_locks(
    share: Callable[..., Tabs], refusal: str
) -> None:
    tabs = share(transport="sse")
    if refusal == "missing":
        tabs.context.route("**/shared-worker.js", lambda route: route.fulfill(status=404))
    else:
        tabs.context.route("**/dashboard/sse-test?*", forbid_workers)
    first, second = tabs.open(2)
    assert (first.client("role"), second.client("role")) == ("leader", "follower")
    tabs.all_have(tabs.publish(3))
    tabs.connections(1)


def forbid_workers(route: Route) -> None:
    """The page with a policy that allows no worker."""
    response = route.fetch()
    policy = response.headers["content-security-policy"]
    route.fulfill(
        response=response,
        headers={**response.headers, "content-security-policy": f"{policy}; worker-src 'none'"},
    )


@slow
@pytest.mark.nightly
def test_a_worker_that_crashes_is_started_again(share: Callable[..., Tabs], browser: Browser) -> None:
    tabs = share(sharing="worker", transport="sse")
    tabs.open(2)
    tabs.all_have(tabs.publish(3))
    session = browser.new_browser_cdp_session()
    targets = session.send("Target.getTargets", {"filter": [{"type": "shared_worker"}]})["targetInfos"]
    for target in targets:
        session.send("Target.closeTarget", {"targetId": target["targetId"]})
    assert targets
    tabs.connections(0)
    tabs.all_have(tabs.publish(3), 60)
    tabs.connections(1)


@slow
@pytest.mark.nightly
def test_a_leader_that_hangs_is_replaced_and_comes_back_as_a_follower(share: Callable[..., Tabs]) -> None:
    tabs = share(sharing="locks", transport="sse")
    first, second = tabs.open(2)
    tabs.publish(2)
    session = tabs.context.new_cdp_session(first.page)
    session.send("Debugger.enable")
    session.send("Debugger.pause")
    last = tabs.publish(2)
    until(lambda: second.client("role") == "leader", "the second tab leads")
    second.has(last)
    session.send("Debugger.resume")
    first.waits_for("role", "follower")
    tabs.all_have(tabs.publish(2))
    tabs.connections(1)


@slow
def test_where_websockets_are_refused_all_tabs_fall_back_to_sse(share: Callable[..., Tabs]) -> None:
    tabs = share(transport="auto", cablePath="/nowhere")
    for tab in tabs.open(2):
        tab.waits_for("transport", "sse")
    tabs.all_have(tabs.publish(3))
    tabs.connections(1)
