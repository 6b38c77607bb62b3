"""Servers for the live tests: one process per set of settings, kept for the session, its log judged each time."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.live import stock
from tests.live.followers import TRANSPORTS
from tests.live.server import Server
from tests.live.stock import StockClients
from tests.live.wire import Wire

STATES = [f"state{n}" for n in range(200)]
LOGS = [f"log{n}" for n in range(800)]
STREAMS = ",".join(["dashboard_updates:state", *(f"{n}:state" for n in STATES), *(f"{n}:log" for n in LOGS)])
SHARED = {"STREAMS": STREAMS, "SSE_HEARTBEAT": "1", "CABLE_PING": "1", "MAX_REPLAY": "200", "TAIL_SIZE": "50"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "limit(seconds): how long this test may take, instead of 40")
    config.addinivalue_line(
        "markers", "last: runs at the end, what it waits for passes beside the other tests"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lives here, and let the quiet minute (test_node.py) be asked for last: it passes beside the others."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.live)
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


class Servers:
    """Starts a server when its settings are first asked for, and again when a test killed it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._running: dict[tuple[tuple[str, str], ...], Server] = {}
        self._streams: dict[int, tuple[Iterator[str], Iterator[str]]] = {}
        self._number = count()
        self.asked: list[Server] = []

    def new(self, env: Mapping[str, str] | None = None, **more: str) -> Server:
        """A server of the test's own, not started yet: `with servers.new(...) as server`."""
        directory = self._root / f"server{next(self._number)}"
        directory.mkdir()
        server = Server(directory, {**SHARED, **(env or {}), **more})
        return self._noted(server)

    def get(self, **env: str) -> Server:
        """The session's server with these settings on top of SHARED."""
        key = tuple(sorted(env.items()))
        server = self._running.get(key)
        if server is None or not server.alive:
            server = self._running[key] = self.new(env).start()
        return self._noted(server)

    def _noted(self, server: Server) -> Server:
        if server not in self.asked:
            self.asked.append(server)
        return server

    def stream(self, server: Server, kind: str) -> str:
        """A stream of this server that no test has touched."""
        states, logs = self._streams.setdefault(id(server), (iter(STATES), iter(LOGS)))
        return next(states if kind == "state" else logs)

    def judge(self) -> None:
        """After a test: what it asked is alive unless ended on purpose, and says nothing bad."""
        asked, self.asked = self.asked, []
        for server in asked:
            if server.process is not None:
                server.check_log()
        for server in asked:
            if server in self._running.values():
                assert server.alive, f"the shared server died:\n{server.output()[-4000:]}"

    def stop(self) -> None:
        """All of them, even when one of them has bad last words."""
        with contextlib.ExitStack() as stack:
            for server in self._running.values():
                stack.callback(server.stop)


@pytest.fixture(scope="session")
def all_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(tmp_path_factory.mktemp("live"))
    yield servers
    servers.stop()


class Quiet(NamedTuple):
    """A server that nobody publishes on, and the stock clients that stay with it; None where they are not wanted."""

    server: Server | None = None
    clients: StockClients | None = None


@pytest.fixture(scope="session", autouse=True)
def quiet_minute(
    request: pytest.FixtureRequest, all_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Quiet]:
    """Begins with the session, so that its real minute passes while the other tests run."""
    wanted = any(item.get_closest_marker("last") for item in request.session.items)
    if not wanted or stock.missing():
        yield Quiet()
        return
    with all_servers.new(CABLE_PING="3") as server:
        watched = [stock.client(server, kind, "log0", quiet=60_000) for kind in stock.KINDS]
        clients = StockClients(watched, tmp_path_factory.mktemp("quiet") / "node.log")
        yield Quiet(server, clients)
        clients.stop()


@pytest.fixture
def servers(all_servers: Servers) -> Iterator[Servers]:
    all_servers.asked = []
    yield all_servers
    Wire.close_all()
    all_servers.judge()


@pytest.fixture(autouse=True)
def time_limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """Heartbeats keep a waiting socket busy for ever, so a test as a whole has an end too (seconds)."""
    marker = request.node.get_closest_marker("limit")

    def too_long(*_: object) -> None:
        raise TimeoutError("this test waits for something that does not come")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(marker.args[0] if marker else 40)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["on", "off"], ids=lambda value: f"handover-{value}")
def handover(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture
def server(servers: Servers, handover: str) -> Server:
    """The ordinary server of the behaviours, in both forms."""
    return servers.get(HANDOVER=handover)


@pytest.fixture
def log(servers: Servers, server: Server) -> str:
    """An untouched stream of kind log."""
    return servers.stream(server, "log")


@pytest.fixture
def state(servers: Servers, server: Server) -> str:
    """An untouched stream of kind state."""
    return servers.stream(server, "state")
