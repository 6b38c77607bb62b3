"""shutdown: SIGTERM reaches uvicorn after the goodbyes, where there are clients that uvicorn would cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn import Config, Server

from dashboard_rt.server.shutdown import (
    HANG_SECONDS,
    Shutdown,
    cut_hanging,
    forget_sigterm,
    on_stop_signals,
    uvicorn_server,
)
from dashboard_rt.settings import Settings
from dashboard_rt.transports.asgi import Outbox
from dashboard_rt.transports.sse import IDENTITY, SseConnection, SseRequest
from dashboard_rt.types import Kind
from tests.handovers import turns, until
from tests.patience import HANG_LIMIT
from tests.simulation import FakeLog, Process, VirtualLoop

TERM, INT = signal.SIGTERM, signal.SIGINT


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What the test does to the signals of this process is undone."""
    before = {number: signal.getsignal(number) for number in (TERM, INT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Obedient(Server):
    """uvicorn's server, as far as it hears signals."""

    def __init__(self) -> None:
        super().__init__(Config(lambda: None, log_config=None))
        self.heard: list[int] = []
        for number in (TERM, INT):
            signal.signal(number, self.handle_exit)

    def handle_exit(self, sig: int, frame: object) -> None:
        self.heard.append(sig)


class World:
    def __init__(self) -> None:
        settings = Settings.read({"DRAIN_SECONDS": "5"})
        self.process = Process(FakeLog({"dashboard_updates": Kind.STATE}), settings)
        self.server = Obedient()
        self.shutdown = Shutdown(self.process.connections)
        self.sent: list[bytes] = []
        self.gate = asyncio.Event()

    def plain_client(self) -> SseConnection:
        """One that is served over plain ASGI, and takes nothing until the gate is open."""
        client = SseConnection(self.process.connections, IDENTITY)

        async def send(data: bytes) -> None:
            await self.gate.wait()
            self.sent.append(data)

        async def listen() -> None:
            await asyncio.Event().wait()

        async def end() -> None: ...

        async def serve() -> None:
            await outbox.run(listen(), end)
            client.lost("lost")

        client.sink = outbox = Outbox(client, send)
        client.open(b"", SseRequest("dashboard_updates", None), None)
        self.serving = asyncio.ensure_future(serve())
        return client


def run(work: Callable[[World], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(HANG_LIMIT):
            world = World()
            await world.process.start()
            await work(world)

    asyncio.run(limited())


def test_uvicorns_server_is_found_by_its_signal_handler() -> None:
    assert uvicorn_server() is None
    server = Obedient()
    assert uvicorn_server() is server
    signal.signal(TERM, signal.SIG_IGN)
    assert uvicorn_server() is None


def test_without_plain_clients_uvicorn_hears_a_signal_at_once_and_the_goodbyes_begin() -> None:
    async def work(world: World) -> None:
        world.shutdown.install()
        signal.raise_signal(TERM)
        assert world.server.heard == [TERM]
        await until(lambda: world.process.connections.draining)

    run(work)


def test_plain_clients_hear_goodbye_before_uvicorn_hears_the_signal() -> None:
    async def work(world: World) -> None:
        world.plain_client()
        world.shutdown.install()
        signal.raise_signal(TERM)
        signal.raise_signal(TERM)  # platforms say it more than once
        await until(lambda: world.process.connections.draining)
        signal.raise_signal(TERM)
        assert world.server.heard == []
        world.gate.set()
        await until(lambda: world.server.heard)
        assert b"".join(world.sent).count(b"event: goodbye") == 1
        assert world.server.heard == [TERM]
        assert world.process.connections.count == 0
        signal.raise_signal(TERM)  # when all is said there is nothing left to wait for
        assert world.server.heard == [TERM, TERM]
        await world.serving

    run(work)


def test_a_second_ctrl_c_is_impatience() -> None:
    async def work(world: World) -> None:
        world.plain_client()
        world.shutdown.install()
        signal.raise_signal(INT)
        await until(lambda: world.process.connections.draining)
        assert world.server.heard == []
        signal.raise_signal(INT)
        assert world.server.heard == [INT]
        assert world.server.should_exit, "uvicorn takes it for the second one"
        await until(lambda: world.process.connections.count == 0)
        await world.serving

    run(work)


def test_a_worker_whose_supervisor_has_ended_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        sentinel, parent = os.pipe()
        monkeypatch.setattr("multiprocessing.parent_process", lambda: SimpleNamespace(sentinel=sentinel))
        world.shutdown.install()
        await turns()
        assert world.server.heard == []
        os.close(parent)  # as the system does for a process that is killed
        await until(lambda: world.server.heard == [TERM])
        world.shutdown.finish()
        os.close(sentinel)

    run(work)


@pytest.mark.parametrize("first", [TERM, INT])
def test_a_process_without_uvicorn_stops_and_at_a_ctrl_c_behind_that_ends(
    monkeypatch: pytest.MonkeyPatch, first: signal.Signals
) -> None:
    heard: list[object] = []
    monkeypatch.setattr("os._exit", heard.append)
    on_stop_signals(lambda: heard.append("stop"))
    for number in (first, TERM, INT):
        signal.raise_signal(number)
    assert heard == ["stop", "stop", 130, "stop"]  # a real one does not come back


def test_where_the_signals_are_somebody_elses_nothing_is_touched() -> None:
    async def work(world: World) -> None:
        signal.signal(TERM, signal.SIG_IGN)
        world.shutdown.install()
        assert signal.getsignal(TERM) is signal.SIG_IGN
        world.shutdown.finish()

    run(work)


def test_in_another_thread_nothing_is_touched() -> None:
    async def work(world: World) -> None:
        before = signal.getsignal(TERM)
        await asyncio.to_thread(world.shutdown.install)
        assert signal.getsignal(TERM) == before

    run(work)


def test_after_a_drain_uvicorn_does_not_raise_the_sigterm_it_has_obeyed() -> None:
    async def work(world: World) -> None:
        world.shutdown.install()
        world.server._captured_signals = [TERM, INT, TERM]
        world.shutdown.finish()
        assert world.server._captured_signals == [INT]

    run(work)


def test_uvicorn_still_keeps_its_signals_where_we_look() -> None:
    server = Server(Config(lambda: None, log_config=None))
    server.handle_exit(TERM, None)
    assert server._captured_signals == [TERM]
    forget_sigterm(server)
    assert server._captured_signals == []


class Waiting:
    """A connection that uvicorn waits for, and its transport. Of `unsent` bytes the client takes `taken` a second."""

    def __init__(
        self, unsent: int = 0, *, taken: int = 0, more_body: bool = False, closing: bool = False
    ) -> None:
        self.transport = self
        self.cycle = SimpleNamespace(more_body=more_body)
        self.unsent, self.taken, self.closing = unsent, taken, closing
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        self.unsent -= self.taken
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(
    ("connection", "cut"),
    [
        pytest.param(Waiting(), False, id="the app works on its answer"),
        pytest.param(Waiting(9), True, id="reads nothing"),
        pytest.param(Waiting(9, taken=1), False, id="reads"),
        pytest.param(Waiting(more_body=True), True, id="sends no more of its body"),
        pytest.param(Waiting(closing=True), True, id="does not answer the end of TLS"),
    ],
)
def test_who_does_nothing_for_a_second_of_the_shutdown_is_cut(connection: Waiting, cut: bool) -> None:
    async def work() -> None:
        server = Server(Config(lambda: None, log_config=None))
        connections: Any = {connection}
        server.server_state.connections = connections
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cut_hanging(server), 1.5 * HANG_SECONDS)
        assert connection.aborted is cut

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())
