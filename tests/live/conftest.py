"""Servers for the live tests: one process per set of settings, whose logs are checked after each test.

The server with no settings of its own serves the whole run; any other ends with the module that asked for it.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.live.followers import TRANSPORTS
from tests.live.server import SERVE, Server
from tests.live.wire import Wire
from tests.patience import HANG_LIMIT

STATES = [f"state{n}" for n in range(60)]
LOGS = [f"log{n}" for n in range(400)]
STREAMS = ",".join(["dashboard_updates:state", *(f"{n}:state" for n in STATES), *(f"{n}:log" for n in LOGS)])
MAX_REPLAY = 200
TAIL_SIZE = 50
SHARED = {
    "STREAMS": STREAMS,
    "SSE_HEARTBEAT": "0.5",
    "CABLE_PING": "0.5",
    "MAX_REPLAY": str(MAX_REPLAY),
    "TAIL_SIZE": str(TAIL_SIZE),
    "SEND_TIMEOUT": "30",  # a test that is slow itself, on a busy machine, is not aborted
}


# What they test ends before a stream is handed over: the second form of the server is held each night.
BEFORE_THE_HANDOVER = (
    "test_durability.py",
    "test_hosts.py",
    "test_http.py",
    "test_http_publish.py",
    "test_origins.py",
    "test_prefix.py",
    "test_restore.py",
    "test_tickets.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory as live, and what only the night has time for."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.live)
            if "handover-off" in item.name and item.path.name in BEFORE_THE_HANDOVER:
                item.add_marker(pytest.mark.nightly)


class Key(NamedTuple):
    """What makes two servers the same: the command, and the settings on top of SHARED."""

    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]

    @property
    def ordinary(self) -> bool:
        return self.command == SERVE and {name for name, _ in self.env} <= {"HANDOVER"}


class Servers:
    """The running servers. One is started when its settings are first asked for, and again after it died."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._running: dict[Key, Server] = {}
        self._streams: dict[int, tuple[Iterator[str], Iterator[str]]] = {}
        self._number = count()
        self._used: list[Server] = []

    def new(self, env: Mapping[str, str] | None = None, **more: str) -> Server:
        """A server for one test, not started yet: `with servers.new(...) as server`."""
        return self.new_by(SERVE, **{**(env or {}), **more})

    def new_by(self, command: Sequence[str], **env: str) -> Server:
        """As `new`, run by another command (see `Server`)."""
        directory = self._root / f"server{next(self._number)}"
        directory.mkdir()
        return self._use(Server(directory, {**SHARED, **env}, command))

    def get(self, **env: str) -> Server:
        """The server with these settings on top of SHARED, which other tests use too."""
        return self.get_by(SERVE, **env)

    def get_by(self, command: Sequence[str], **env: str) -> Server:
        """As `get`, run by another command."""
        key = Key(tuple(command), tuple(sorted(env.items())))
        server = self._running.get(key)
        if server is None or not server.alive:
            server = self._running[key] = self.new_by(command, **env).start()
        return self._use(server)

    def _use(self, server: Server) -> Server:
        if server not in self._used:
            self._used.append(server)
        return server

    def stream(self, server: Server, kind: str) -> str:
        """A stream of this server that no other test uses; `kind` is "state" or "log"."""
        states, logs = self._streams.setdefault(id(server), (iter(STATES), iter(LOGS)))
        return next(states if kind == "state" else logs)

    def check_logs(self) -> None:
        """After a test: the servers it used logged no error, and those of other tests are still running."""
        used, self._used = self._used, []
        for server in used:
            server.forget_apis()
            if server.process is not None:
                server.check_log()
        for server in used:
            if server in self._running.values():
                assert server.alive, f"a shared server died:\n{server.output()[-4000:]}"

    def stop(self, *, keep_ordinary: bool = False) -> None:
        """Stop all of them, also when the log of one of them fails its check."""
        with contextlib.ExitStack() as stack:
            for key in [key for key in self._running if not (keep_ordinary and key.ordinary)]:
                stack.callback(self._running.pop(key).stop)


@pytest.fixture(scope="session")
def all_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(tmp_path_factory.mktemp("live"))
    yield servers
    servers.stop()


# A start costs half a second, and an idle server one percent of a core: a dozen of them would slow down the others.
@pytest.fixture(scope="module")
def module_servers(all_servers: Servers) -> Iterator[Servers]:
    yield all_servers
    all_servers.stop(keep_ordinary=True)


@pytest.fixture
def servers(module_servers: Servers) -> Iterator[Servers]:
    yield module_servers
    Wire.close_all()
    module_servers.check_logs()


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    """End a test that waits for ever: heartbeats keep a waiting socket busy, so its own timeout never fires."""

    def too_long(*_: object) -> None:
        raise TimeoutError("this test waits for something that does not come")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(5 * int(HANG_LIMIT))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(
    params=["on", pytest.param("off", marks=pytest.mark.slow)], ids=lambda value: f"handover-{value}"
)
def handover(request: pytest.FixtureRequest) -> str:
    """Every test that asks for a server runs in both forms; test_handover_off.py holds the fast tests of the second."""
    value: str = request.param
    return value


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture
def server(servers: Servers, handover: str) -> Server:
    """The server with no settings of its own."""
    return servers.get(HANDOVER=handover)


@pytest.fixture
def log(servers: Servers, server: Server) -> str:
    """An unused stream of kind log."""
    return servers.stream(server, "log")


@pytest.fixture
def state(servers: Servers, server: Server) -> str:
    """An unused stream of kind state."""
    return servers.stream(server, "state")
