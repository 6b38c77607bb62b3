"""The dashboard's document with another script in it: one that holds nothing but clients of web/client.

The document is the server's own, so its address and its Content-Security-Policy are real. (One that a test makes up has
no network address, and Chromium lets it open no WebSocket to this machine: Local Network Access.)
Knows how to ask clients what they said; knows nothing of the browser that it is in (`evaluate`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from playwright.sync_api import Browser, Route

from tests.browser.opened_page import OpenedPage
from tests.live.server import Server
from tests.live.wire import Address, until

PATH = "/dashboard"
REPLACED = "/static/page.js"
MODULE = Path(__file__).with_name("client_page.js").read_text("utf-8")
FACTORIES = {"sse": "connectSse", "cable": "connectCable"}
BOTH = tuple(FACTORIES)
PATHS = {"connectSse": "/dashboard/stream", "connectCable": "/cable"}
# Short, so that a test of silence waits for a second and not for a minute. In ms.
TUNED = {"backoffBase": 100, "backoffCap": 1000}

# A server for them.
STREAM = "facts"
QUICK = {
    "STREAMS": "dashboard_updates:state,facts:log",
    "DEMO": "on",
    "SSE_HEARTBEAT": "0.2",
    "CABLE_PING": "0.2",
    "RETRY_MIN": "50",
    "RETRY_MAX": "300",
    "DRAIN_SECONDS": "0.3",
}
WATCHFUL: dict[str, Any] = {"staleAfter": 1000, "lostAfter": 2000}  # ms; five and ten heartbeats
OTHER = {"sse": "cable", "cable": "sse"}

# What Chromium itself says on the console when a connection fails.
AWAY = r"net::ERR_(SOCKET_NOT_CONNECTED|CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING)"
NO_SOCKET = r"WebSocket connection to '[^']*' failed"


class Report(NamedTuple):
    """What a client has said so far, and its state now."""

    updates: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    states: list[dict[str, Any]]
    ignored: list[str]
    state: str
    position: str | None
    transport: str
    stats: dict[str, int]

    @property
    def numbers(self) -> list[int]:
        """The `n` of each update, in the order in which they came."""
        return [update["data"]["n"] for update in self.updates]

    @property
    def verdict(self) -> str:
        """The newest one."""
        return str(self.verdicts[-1]["verdict"])

    def reasons(self, state: str) -> set[str]:
        """Why it was ever in this state."""
        return {each.get("reason", "") for each in self.states if each["state"] == state}


class ClientPage:
    """Clients in one page. `address`: where the page sees the server, which may be a proxy; `prefix`: its path."""

    def __init__(self, evaluate: Callable[[str], Any], address: Address, prefix: str = "") -> None:
        self.evaluate = evaluate
        self.address = address
        self.prefix = prefix

    def ready(self) -> Self:
        """Wait until the modules are there."""
        until(lambda: self.evaluate("'harness' in globalThis"), "the modules are loaded")
        return self

    def start(self, name: str, factory: str, extra: str = "{}", **options: Any) -> None:
        """Start a client. `extra`: more options, as a JavaScript expression, for those that are functions."""
        base = self.address.origin + self.prefix
        options = {"url": base + PATHS.get(factory, "/"), **TUNED, **options}
        given = f"{json.dumps(name)}, {json.dumps(factory)}, {json.dumps(options)}"
        self.evaluate(f"harness.start({given}, {extra})")

    def start_both(self, extra: str = "{}", **options: Any) -> None:
        """A client of each transport, under the transport's name."""
        for name, factory in FACTORIES.items():
            self.start(name, factory, extra, **options)

    def client(self, name: str, call: str) -> Any:
        """Evaluate `call` on a client, such as `close()`."""
        return self.evaluate(f"harness.clients[{json.dumps(name)}].client.{call}")

    def report(self, name: str) -> Report:
        return Report(**self.evaluate(f"harness.report({json.dumps(name)})"))

    def wait(self, name: str, check: Callable[[Report], bool], what: str) -> Report:
        """Wait until something is true of what a client has said; its report."""
        try:
            until(lambda: check(self.report(name)), what)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}\n{self.report(name)}") from None
        return self.report(name)

    def wait_for_state(self, state: str, names: Sequence[str] = BOTH, reason: str = "") -> None:
        """Wait until each client is in a state, and for a reason where one is given."""
        for name in names:
            self.wait(
                name,
                lambda seen: seen.state == state and (not reason or seen.states[-1].get("reason") == reason),
                f"it is {state} {reason}",
            )

    def wait_for(self, name: str, numbers: Sequence[int]) -> Report:
        """Wait for the last of these updates, and see that they came once each, in order; what the client said."""
        last = numbers[-1]
        seen = self.wait(name, lambda seen: last in seen.numbers, f"update {last} has come")
        assert seen.numbers == list(numbers), f"{name}: {seen.numbers}"
        return seen

    def violations(self) -> list[str]:
        """What the Content-Security-Policy has refused."""
        found: list[str] = self.evaluate("harness.violations")
        return found


class BrowserClients(ClientPage):
    """Clients in a page of the shared Chromium, with the errors of its console."""

    def __init__(
        self, browser: Browser, server: Server, address: Address | None = None, prefix: str = ""
    ) -> None:
        self.context = browser.new_context()
        self.opened = OpenedPage(self.context.new_page())
        super().__init__(self.opened.page.evaluate, address or server.address, prefix)
        self.opened.page.route(f"**{REPLACED}", _answer)
        self.opened.page.goto(self.address.origin + prefix + PATH)
        self.ready()

    def reset(self) -> Self:
        """As if the page had been opened anew, which takes a second."""
        self.evaluate("harness.reset()")
        self.opened.errors.clear()
        return self

    def check(self, *expected: str) -> None:
        """Fail on any violation of the policy and on any console error that none of these patterns describes."""
        assert not self.violations(), self.violations()
        unexpected = [
            error for error in self.opened.errors if not any(re.search(each, error) for each in expected)
        ]
        assert not unexpected, unexpected


def _answer(route: Route) -> None:
    route.fulfill(content_type="text/javascript", body=MODULE)


def publish(server: Server, first: int, count: int) -> list[int]:
    """Publish `{"n": first}` and on, in one body; the numbers."""
    numbers = list(range(first, first + count))
    server.publish(STREAM, *({"n": n} for n in numbers))
    return numbers


def no_connection(server: Server) -> None:
    """Wait until the server has no client."""
    until(lambda: [server.connections(name) for name in BOTH] == [0, 0], "no connection is left")
