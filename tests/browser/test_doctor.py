"""The transport doctor in a real Chromium, on a page of the server's origin, through a real nginx with faults.

What each observation means is held by tests/js/doctor.test.mjs; here is whether a browser sees it. What takes a server
or an nginx of its own is slow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.live.server import Server
from tests.live.sse import SseClient
from tests.live.test_tickets import AUTH
from tests.live.wire import until
from tests.services.nginx import Nginx

Finding = dict[str, Any]
Found = dict[str, Finding]
Through = Callable[..., Page]

SCRIPT = """
import { createDoctorDialog, diagnose } from "/static/doctor.js";
const at = (path) => new URL(path, location.href).href;
const options = { sseUrl: at("/dashboard/stream"), cableUrl: at("/cable"), healthUrl: at("/health"),
  triggerUrl: at("/dashboard/trigger-test-pubsub"), seconds: 2 };
window.check = (more) => diagnose({ ...options, ...more });
window.more = {};
const button = Object.assign(document.createElement("button"), { id: "check", textContent: "Check the connection" });
document.body.replaceChildren(button);
window.dialog = createDoctorDialog({ button, settings: () => ({ ...options, ...window.more }) });
"""
QUICK = {"JOBS": "off", "DEMO": "on", "SSE_HEARTBEAT": "1", "CABLE_PING": "1"}
PATIENT = {"slowAfter": 15_000, "seconds": 3}  # slowAfter in ms: this machine may be busy
LEVELS = ("good", "note", "warning", "bad")


@pytest.fixture(scope="module")
def quick(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that publishes when its page asks it to, and whose heartbeats come within a short test."""
    with Server(tmp_path_factory.mktemp("quick"), QUICK) as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def open_at(context: BrowserContext, port: int, errors: list[str] | None = None) -> Page:
    """Our page with its policy, at the origin of a server or of a proxy, where nothing runs but the doctor.

    Only the script is the test's: Chromium lets no document open a WebSocket to this machine that a test has fulfilled.
    """
    page = context.new_page()
    if errors is not None:
        page.on("console", lambda message: errors.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/static/page.js", lambda route: route.fulfill(body=SCRIPT, content_type="text/javascript"))
    page.route("**/static/theme.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto(f"http://127.0.0.1:{port}/dashboard")
    # Not wait_for_function, which evaluates in the page and which its policy forbids.
    until(lambda: page.evaluate("window.dialog !== undefined"), "the page has its dialog")
    return page


def check(page: Page, **more: object) -> dict[str, Found]:
    """What was found of each transport, and of the server, by its id. `more`: options of `diagnose`."""
    findings: list[Finding] = page.evaluate("more => window.check(more)", more)
    found: dict[str, Found] = {"sse": {}, "cable": {}, "server": {}}
    for finding in findings:
        found[finding.get("transport") or "server"][finding["id"]] = finding
    return found


def serious(found: Found) -> set[str]:
    return {name for name, finding in found.items() if finding["level"] in ("warning", "bad")}


# --- a way without faults


def test_a_healthy_way_is_called_good(quick: Server, context: BrowserContext) -> None:
    errors: list[str] = []
    page = open_at(context, quick.address.port, errors)
    found = check(page, **PATIENT)
    assert {where: serious(each) for where, each in found.items()} == {
        "sse": set(),
        "cable": set(),
        "server": set(),
    }
    for transport in ("sse", "cable"):
        for name in ("opening", "delivery", "heartbeat"):
            assert found[transport][name]["level"] == "good", found[transport]
        assert re.search(r"first byte \d+ ms", found[transport]["opening"]["measured"])
        assert found[transport]["delivery"]["measured"].startswith("3 test updates")
    assert found["cable"]["subprotocol"]["level"] == "good"
    assert found["server"]["http_version"]["measured"] == "http/1.1"
    assert found["server"]["transport"]["title"] == "Use WebSocket here"
    assert errors == []
    until(
        lambda: quick.connections("sse") == quick.connections("cable") == 0,
        "the doctor has closed what it opened",
    )


@pytest.mark.slow
def test_the_dialog_says_what_was_found(quick: Server, context: BrowserContext) -> None:
    """By keyboard alone: opened, watched, read, copied, closed; the focus comes back."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    errors: list[str] = []
    page = open_at(context, quick.address.port, errors)
    page.evaluate("more => { window.more = more }", PATIENT)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Connection check")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("progressbar", name="Time watched")).to_be_visible()
    expect(dialog.get_by_role("status")).to_have_text("Watching both transports …")
    expect(dialog.get_by_role("status")).to_have_text(re.compile("^All is well"), timeout=20_000)
    expect(dialog.get_by_role("progressbar")).to_be_hidden()
    expect(dialog.get_by_role("heading", level=3)).to_have_text(
        ["Which transport here", "SSE", "WebSocket", "Server"]
    )
    expect(dialog.locator("[data-finding=transport]")).to_contain_text("Use WebSocket here")
    assert (
        page.evaluate("getComputedStyle(window.dialog.element).borderRadius") == "16px"
    )  # its style sheet is there
    dialog.get_by_role("button", name="Copy report").press("Enter")
    expect(dialog.get_by_role("status")).to_have_text("The report is copied.")
    report = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"^WebSocket: good$", report, re.MULTILINE), report
    assert "good: Each update comes at once (3 test updates" in report
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#check")).to_be_focused()
    assert errors == []


@pytest.mark.slow
def test_a_check_can_be_finished_and_closed_early(quick: Server, context: BrowserContext) -> None:
    page = open_at(context, quick.address.port)
    page.evaluate("window.more = { seconds: 600, slowAfter: 15_000 }")
    page.locator("#check").press("Enter")
    dialog = page.get_by_role("dialog", name="Connection check")

    def both_are_open(number: int) -> None:
        until(lambda: quick.connections("sse") == quick.connections("cable") == number, f"each has {number}")

    both_are_open(1)
    dialog.get_by_role("button", name="Finish now").press("Enter")
    expect(dialog.get_by_role("status")).to_have_text(re.compile("^All is well"))
    expect(dialog.get_by_role("heading", level=2)).to_be_focused()  # the button that had the focus is gone
    both_are_open(0)
    dialog.get_by_role("button", name="Check again").press("Enter")
    both_are_open(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    both_are_open(0)


@pytest.mark.slow
def test_what_the_server_says_stays_text(quick: Server, context: BrowserContext) -> None:
    evil = "<img src=x onerror='document.title=1'>"
    page = open_at(context, quick.address.port)
    body = json.dumps({"degraded": [evil, 7, None], "by_settings": {}})
    page.route("**/health", lambda route: route.fulfill(body=body, content_type="application/json"))
    page.evaluate("window.more = { seconds: 1 }")
    page.locator("#check").click()
    dialog = page.get_by_role("dialog", name="Connection check")
    expect(dialog.locator("[data-finding=outage]")).to_contain_text(evil)
    expect(dialog.locator("[data-finding=outage]")).to_have_count(1)
    assert page.locator("img").count() == 0


# --- ways with faults: a real nginx in front

UPGRADES = """proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;"""
SITE = """
upstream app.localhost {{ server 127.0.0.1:3000; }}
server {{
    listen 8080;
    location / {{
        proxy_pass http://app.localhost;
        proxy_set_header Host $http_host;
    }}
    location = /dashboard/stream {{
        proxy_pass http://app.localhost;
        proxy_set_header Host $http_host;
        {stream}
    }}
    location = /cable {{
        proxy_pass http://app.localhost;
        {cable}
    }}
}}
"""


@pytest.fixture
def through(context: BrowserContext, tmp_path: Path) -> Iterator[Through]:
    """`through(server, stream=…, cable=…)`: a page behind an nginx with these lines in the locations of the streams."""
    with ExitStack() as stack:

        def opened(server: Server, stream: str = "", cable: str = UPGRADES, site: str = SITE) -> Page:
            nginx = Nginx(tmp_path, [server.address.port], site.format(stream=stream, cable=cable))
            stack.callback(nginx.kill)
            nginx.start()
            return open_at(context, nginx.port)

        yield opened


@pytest.mark.slow
def test_a_plain_nginx_is_called_good(quick: Server, through: Through) -> None:
    """With its default buffering, which our header turns off for the stream."""
    found = check(through(quick), **PATIENT)
    assert not serious(found["sse"]) and not serious(found["cable"]), found


@pytest.mark.slow
def test_a_proxy_that_buffers(quick: Server, through: Through) -> None:
    found = check(through(quick, "proxy_ignore_headers X-Accel-Buffering;"))
    assert serious(found["sse"]) == {"no_answer"} and not serious(found["cable"])
    held = found["sse"]["no_answer"]
    assert "proxy_buffering off" in held["advice"] and held["measured"].startswith("2.")
    assert found["server"]["transport"]["title"] == "Use WebSocket here"


@pytest.mark.slow
def test_a_proxy_that_compresses_the_stream(quick: Server, through: Through) -> None:
    gzip = "gzip on; gzip_proxied any; gzip_types text/event-stream; gzip_min_length 0;"
    found = check(through(quick, gzip))
    assert found["sse"]["compression"]["detail"] == "Its content-encoding is gzip."


@pytest.mark.slow
def test_a_proxy_that_cuts_idle_connections(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, through: Through
) -> None:
    """Nothing is published, and neither heartbeat comes within the second that the proxy is patient for."""
    with Server(tmp_path_factory.mktemp("idle"), {"JOBS": "off"}) as server:
        page = through(server, "proxy_read_timeout 1s;", f"{UPGRADES} proxy_read_timeout 1s;")
        found = check(page, triggerUrl=None)
        for transport in ("sse", "cable"):
            cut = found[transport]["cut"]
            assert cut["title"] == "An idle connection is cut" and "cuts idle connections" in cut["detail"]
            assert re.fullmatch(r"\d+ ms|\d\.\d s", cut["measured"]), cut
        assert found["server"]["transport"]["level"] == "bad"


@pytest.mark.slow
def test_a_proxy_that_blocks_websockets(quick: Server, through: Through) -> None:
    found = check(through(quick, cable="proxy_set_header Host $http_host;"))
    assert serious(found["cable"]) == {"upgrade"} and not serious(found["sse"])
    assert found["server"]["transport"]["title"] == "Use SSE here"


@pytest.mark.slow
def test_a_proxy_that_does_not_pass_the_host_on(quick: Server, through: Through) -> None:
    host = "proxy_set_header Host $http_host;"
    found = check(through(quick, cable=UPGRADES.replace(host, ""), site=SITE.replace(host, "")))
    assert serious(found["cable"]) == {"upgrade"}
    assert "proxy_set_header Host" in found["server"]["origin"]["advice"]


@pytest.mark.slow
def test_a_proxy_that_drops_the_subprotocol(quick: Server, through: Through) -> None:
    found = check(through(quick, cable=f"{UPGRADES} proxy_hide_header Sec-WebSocket-Protocol;"))
    assert serious(found["cable"]) == {"subprotocol"}
    assert found["cable"]["subprotocol"]["title"] == "The subprotocol gets lost"


@pytest.mark.slow
def test_a_proxy_that_offers_less(quick: Server, through: Through) -> None:
    found = check(
        through(quick, cable=f"{UPGRADES} proxy_set_header Sec-WebSocket-Protocol actioncable-v1-json;")
    )
    # Chromium takes no protocol that it did not offer, and it did offer this one.
    assert serious(found["cable"]) == {"subprotocol"}
    assert found["cable"]["subprotocol"]["detail"].startswith("The subprotocol is actioncable-v1-json,")


@pytest.mark.slow
def test_a_proxy_whose_server_is_gone(quick: Server, through: Through) -> None:
    page = through(quick, "return 502;", "return 502;")
    found = check(page)
    for transport in ("sse", "cable"):
        assert found[transport]["status"]["title"] == "A proxy cannot reach the server"


# --- servers that refuse, and a browser that has no connection left


@pytest.mark.slow
def test_a_compressing_server(browser: Browser, context: BrowserContext, tmp_path: Path) -> None:
    with Server(tmp_path, {**QUICK, "WS_COMPRESSION": "on"}) as server:
        found = check(open_at(context, server.address.port))
    assert found["cable"]["compression"]["detail"] == "permessage-deflate was negotiated."


@pytest.mark.slow
def test_a_full_server(browser: Browser, context: BrowserContext, tmp_path: Path) -> None:
    with Server(tmp_path, {**QUICK, "MAX_CLIENTS": "1"}) as server:
        page = open_at(context, server.address.port)
        with SseClient(server.address) as client:
            assert client.event().name == "verdict"
            found = check(page)
    for transport in ("sse", "cable"):
        assert found[transport]["goodbye"]["title"] == "The server is full"
        assert "MAX_CLIENTS" in found[transport]["goodbye"]["advice"]


@pytest.mark.slow
def test_a_server_that_wants_tickets(browser: Browser, context: BrowserContext, tmp_path: Path) -> None:
    with Server(tmp_path, {**QUICK, **AUTH}) as server:
        page = open_at(context, server.address.port)
        found = check(page)
        assert found["sse"]["status"]["title"] == "A ticket is wanted"
        assert found["cable"]["goodbye"]["title"] == "The ticket is missing, or not valid"


@pytest.mark.slow
def test_a_server_that_is_gone(browser: Browser, context: BrowserContext, tmp_path: Path) -> None:
    with Server(tmp_path, QUICK) as server:
        page = open_at(context, server.address.port)
    found = check(page)
    for transport in ("sse", "cable"):
        assert serious(found[transport]) == {"unreachable"}
    assert found["server"]["transport"]["title"] == "Neither transport works well here"


@pytest.mark.slow
def test_a_browser_without_a_connection_left(quick: Server, context: BrowserContext) -> None:
    page = open_at(context, quick.address.port)
    page.evaluate(
        "() => { window.tabs = Array.from({ length: 6 }, () => new EventSource('/dashboard/stream')) }"
    )
    until(
        lambda: page.evaluate("window.tabs.every(tab => tab.readyState === EventSource.OPEN)"),
        "all tabs are open",
    )
    found = check(page)
    assert serious(found["sse"]) == {"connection_limit"} and not serious(found["cable"])
    assert found["server"]["transport"]["title"] == "Use WebSocket here"
