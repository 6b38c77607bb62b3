"""An app of the repository's files behind the router: idle limits, deploys, HTTPS, a Redis that is away."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests import needs
from tests.browser.conftest import ARGUMENTS
from tests.browser.opened_page import OpenedPage
from tests.dyno.app import App, Plan
from tests.dyno.dyno import Dyno
from tests.dyno.exchange import Limits, Line
from tests.dyno.router import Router
from tests.live.crowd import CableMember, Crowd, ExtMember, Member, SseMember
from tests.live.followers import TRANSPORTS, Position, follow
from tests.live.publishing import BEARER, RATE, updates
from tests.live.server import FORBIDDEN, TOKEN, Server
from tests.live.sse import Ended, SseClient
from tests.live.wire import Address, ask, until
from tests.services.certificates import Certificate
from tests.services.process import service_directory

pytestmark = pytest.mark.live
# Of each test its own: an update's number is its id.
STREAMS = ("idle", "deploy", "deploy-http", "preboot", "preboot-http", "redis-kill", "redis-freeze")
CLIENTS: Sequence[type[Member]] = [SseMember] * 40 + [CableMember] * 20 + [ExtMember] * 20
SCALE = 20  # by which heartbeats and the router's silence are shorter than they are by default
SILENCE = Limits().silence / SCALE
CONFIG = {
    "PUBLISH_TOKEN": TOKEN,
    "STREAMS": ",".join(["dashboard_updates:state", *(f"{name}:log" for name in STREAMS)]),
    "SSE_HEARTBEAT": f"{15 / SCALE}",
    "CABLE_PING": f"{3 / SCALE}",
    "MAX_REPLAY": "10000",  # more than comes while a slow machine starts a dyno
    "JOBS": "off",
    "DRAIN_SECONDS": "2",
    "RETRY_MIN": "100",
    "RETRY_MAX": "1000",
}


class Logged:
    """The log of the platform."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def take(self, source: str, text: str) -> None:
        self.lines.append(f"{source}: {text}")

    def find(self, part: str) -> list[str]:
        return [line for line in self.lines if part in line]


@pytest.fixture(scope="module")
def log() -> Logged:
    return Logged()


@pytest.fixture(scope="module")
def app(log: Logged) -> Iterator[App]:
    """One web dyno and one worker for the tests of this file; in the end nothing has gone wrong on them."""
    plan = Plan(formation={"worker": 1}, config=CONFIG, limits=Limits(silence=SILENCE))
    with service_directory() as directory:
        with App(directory, plan, log.take) as app:
            assert app.deploy(), log.lines
            yield app
        ends = log.find("Process exited with")
        assert ends == [line for line in ends if line.endswith(("status 0", "status 1"))], ends
        assert not [line for phrase in FORBIDDEN for line in log.find(phrase)]


@pytest.fixture
def address(app: App) -> Address:
    return Address("127.0.0.1", app.router.port, tls=True)


@pytest.mark.slow
def test_both_transports_live_longer_than_the_router_bears_silence(
    app: App, address: Address, log: Logged
) -> None:
    """Heartbeats alone keep them, at the ratio that the defaults have. What the worker publishes arrives, too."""
    clients = [follow(transport, address, "idle") for transport in TRANSPORTS]
    for client in clients:
        interval = float(CONFIG["SSE_HEARTBEAT" if client.transport == "sse" else "CABLE_PING"])
        while client.beats < math.ceil(1.5 * SILENCE / interval):
            client.beat()
    assert ask(address, "POST", "/streams/idle", [BEARER], b'{"n":1}').status == 201
    for client in clients:
        assert client.numbers(1) == [1]
    with follow("sse", address, "dashboard_updates") as dashboard:
        until(lambda: "metrics" in dashboard.next(), "the worker publishes")
    assert not log.find("code=H15")


@dataclass
class Known:
    """A server that is no dyno, for a router."""

    port: int
    name: str = "web.1"
    state: str = "up"


@pytest.mark.slow
def test_a_stream_without_heartbeats_is_cut(certificate: Certificate, tmp_path: Path) -> None:
    """So the router of the other tests can fail them."""
    lines: list[Line] = []
    with (
        Server(tmp_path, {"SSE_HEARTBEAT": "3600"}) as server,
        Router(certificate, Limits(silence=0.5), lines.append) as router,
    ):
        router.route([Known(server.address.port)])
        with SseClient(Address("127.0.0.1", router.port, tls=True)) as client:
            client.until("verdict")
            with pytest.raises(Ended) as end:
                client.until("message")
        assert not end.value.clean
        until(lambda: [line.code for line in lines] == ["H15"], "the router says why")


@contextmanager
def publishing_beside(app: App, stream: str) -> Iterator[list[int]]:
    """Publish numbers from 1 on in a process that no deploy touches; the list has those that it was handed."""
    env = {**os.environ, **app.config}
    command = [sys.executable, "-m", "dashboard_rt", "publish", stream, "-", "--lines"]
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    handed: list[int] = []
    stop = threading.Event()

    def feed() -> None:
        assert process.stdin is not None
        with process.stdin as lines:
            while not stop.wait(1 / RATE):
                handed.append(len(handed) + 1)
                lines.write(b'{"n":%d}\n' % handed[-1])
                lines.flush()

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        yield handed
    finally:
        stop.set()
        thread.join()
        assert process.wait(20) == 0


@pytest.mark.slow
@pytest.mark.parametrize("preboot", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_a_deploy_loses_and_doubles_nothing(app: App, address: Address, log: Logged, preboot: bool) -> None:
    """The old dyno gets SIGTERM twice while the new one starts; clients come back to where they were.

    Updates are published all the time: by a process beside, and through the router, where some have to be repeated.
    """
    app.plan = replace(app.plan, preboot=preboot, formation={"worker": 0})
    name = "preboot" if preboot else "deploy"
    with Crowd(address, name, CLIENTS) as crowd, updates(address, f"{name}-http", patient=True) as posted:
        until(crowd.all_here, "all are connected")
        with publishing_beside(app, name) as handed:
            until(lambda: crowd.least() > 0, "updates flow")
            version, old = app.version, app.dynos
            assert app.deploy()
            assert app.version == version + 1
            assert [dyno.process.returncode for dyno in old] == [0] * len(old)
            until(crowd.all_here, "all are back")
            sofar = len(handed)
            until(lambda: crowd.least() > sofar, "updates still flow")
        until(lambda: crowd.all_have(handed[-1]), "all have every update")
        assert crowd.replayed > 0, "some came while they were away"
        assert len(crowd.told) == len(CLIENTS), "each was told goodbye, once"
        assert crowd.surprises == 0, "no connection ended otherwise"
        assert set(crowd.statuses) == {"200", "101"}
    with follow("sse", address, f"{name}-http") as newcomer:
        epoch, last = newcomer.cursor
    with follow("sse", address, f"{name}-http", Position(epoch, 0)) as reader:
        assert reader.numbers(last) == posted
    assert not log.find("code=H18") + log.find("R12"), "no response was cut off, no process killed"


@pytest.mark.slow
def test_a_release_that_fails_leaves_the_one_before_it(app: App, address: Address, log: Logged) -> None:
    dynos, version = app.dynos, app.version
    app.config["MAX_CLIENTS"] = "many"
    try:
        assert not app.deploy()
    finally:
        del app.config["MAX_CLIENTS"]
    assert log.find("MAX_CLIENTS"), "its sentence names the variable"
    assert (app.dynos, app.version) == (dynos, version)
    assert ask(address, "GET", "/up").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", pytest.param("freeze", marks=pytest.mark.nightly)])
def test_it_boots_while_redis_is_away(app: App, address: Address, fault: str) -> None:
    """A web dyno that does not listen after 60 seconds is killed; then its updates come by way of the database."""
    getattr(app.redis, fault)()
    try:
        app.restart()
        assert app.dynos[0].state == "up"
        until(lambda: ask(address, "GET", "/up").status == 200, "it serves")
        assert ask(address, "GET", "/ready").json()["broker"] is False
        stream = f"redis-{fault}"
        clients = [follow(transport, address, stream) for transport in TRANSPORTS]
        assert ask(address, "POST", f"/streams/{stream}", [BEARER], b'{"n":2}').status == 201
        for client in clients:
            assert client.numbers(1) == [2]
    finally:
        app.redis.start() if fault == "kill" else app.redis.thaw()
    until(lambda: ask(address, "GET", "/ready").status == 200, "Redis is heard again")


@pytest.mark.slow
def test_ctrl_c_in_a_deploy_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the release, which is no dyno of the app yet."""
    started: list[Dyno] = []

    def interrupted(release: Dyno) -> int:
        started.append(release)
        raise KeyboardInterrupt

    monkeypatch.setattr(Dyno, "run", interrupted)
    with (
        service_directory() as directory,
        pytest.raises(KeyboardInterrupt),
        App(directory, Plan(), lambda *_: None) as app,
    ):
        app.deploy()
    (release,) = started
    assert release.processes() == []


@pytest.mark.slow
def test_https_is_forced(app: App, address: Address) -> None:
    plain = address._replace(tls=False)
    moved = ask(plain, "GET", "/dashboard?a=b")
    assert (moved.status, moved.head.get("location")) == (308, f"{address.origin}/dashboard?a=b")
    assert ask(plain, "POST", "/streams/idle", [BEARER], b"{}").status == 403
    page = ask(address, "GET", "/dashboard")
    assert (page.status, page.head.get("strict-transport-security")) == (200, "max-age=31536000")


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_speaks_wss_and_complains_of_nothing(app: App) -> None:
    path = needs.chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        opened = OpenedPage(browser.new_context(ignore_https_errors=True).new_page())
        sockets: list[str] = []
        opened.page.on("websocket", lambda socket: sockets.append(socket.url))
        opened.page.goto(f"{app.url}/dashboard")
        for transport in ("sse", "cable"):
            panel = opened.page.locator(f'.panel[data-transport="{transport}"]')
            expect(panel).to_have_attribute("data-state", "live", timeout=20_000)
        assert sockets == [f"{app.url.replace('https', 'wss')}/cable"]
        assert opened.errors == []
        browser.close()
