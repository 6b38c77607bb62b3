"""The listening socket and what `serve` hands to uvicorn."""

from __future__ import annotations

import asyncio
import logging
import pickle
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import ClassVar

import pytest
from starlette.applications import Starlette
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE

from dashboard_rt.errors import LogUnavailable
from dashboard_rt.server import serve
from dashboard_rt.settings import Settings
from tests.patience import HANG_LIMIT
from tests.simulation import VirtualLoop


def test_uvicorn_gets_our_protocols_by_name() -> None:
    config = serve.uvicorn_config(Settings.read({"WEB_CONCURRENCY": "2", "DRAIN_SECONDS": "1.5"}))
    assert (config.workers, config.factory, config.access_log) == (2, True, False)
    assert config.http == "dashboard_rt.server.handover:HttpProtocol"
    assert not config.ws_per_message_deflate and config.ws_max_size == 65536
    assert config.timeout_graceful_shutdown == 2 + serve.GRACE_SECONDS
    # What is done with it: tests/server/test_connection.py. Heroku's router keeps a connection for 90 s.
    assert config.timeout_keep_alive == 95
    assert pickle.dumps(config), "its workers are spawned"


def said_at_the_start(caplog: pytest.LogCaptureFixture, **env: str) -> list[str]:
    caplog.clear()
    caplog.set_level(logging.INFO)
    serve._log_platform(Settings.read(env))
    return caplog.messages


def test_who_wanted_several_processes_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert not said_at_the_start(caplog)
    assert said_at_the_start(caplog, WEB_CONCURRENCY="2") == ["Serving with 2 processes (WEB_CONCURRENCY)."]
    by_buildpack = {"WEB_CONCURRENCY": "2", "WEB_CONCURRENCY_SET_BY": "heroku/python"}
    assert said_at_the_start(caplog, **by_buildpack) == [
        "Serving with 2 processes (WEB_CONCURRENCY, set by heroku/python)."
    ]


def test_a_drain_fits_into_the_last_seconds_of_a_dyno(caplog: pytest.LogCaptureFixture) -> None:
    """What follows a drain at the latest: GRACE_SECONDS for requests, KILL_SECONDS for a worker that stands still."""
    assert not said_at_the_start(caplog, DYNO="web.1")
    assert not said_at_the_start(caplog, DYNO="web.1", DRAIN_SECONDS="20")
    assert not said_at_the_start(caplog, DRAIN_SECONDS="20.5"), "elsewhere a platform can be told"
    (warning,) = said_at_the_start(caplog, DYNO="web.1", DRAIN_SECONDS="20.5")
    assert "DRAIN_SECONDS (20.5) is too long for a dyno" in warning and "set at most 20" in warning.lower()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_it_accepts_inherits_the_user_timeout(monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    """One system call for the listener instead of two for each connection."""
    found: list[int] = []

    class Stub:
        processes = ()

        def __init__(self, what: object, sockets: list[socket.socket]) -> None:
            for listener in sockets:
                found.append(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
                listener.close()

        def run(self) -> None: ...

    monkeypatch.setattr(serve, "_serve_here", lambda server, listeners: Stub(server, listeners) and 0)
    monkeypatch.setattr(serve, "Supervisor", Stub)
    serve.serve(Settings.read({"PORT": "0", "WEB_CONCURRENCY": workers, "SEND_TIMEOUT": "20"}))
    assert found == [23_000]


@pytest.fixture
def signals() -> Iterator[None]:
    """What the test does to the signals of this process is undone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_a_start_that_failed_has_the_status_of_what_could_not_be_done() -> None:
    def lifespan(app: Starlette) -> AbstractAsyncContextManager[None]:
        raise LogUnavailable("The database is away.")

    config = Config(Starlette(lifespan=lifespan), log_config=None, lifespan="on")
    assert serve._serve_here(serve.QuietServer(config), []) == 1


class FakeWorker:
    """A worker process as the supervisor sees it. Those that it starts itself serve."""

    made: ClassVar[list[FakeWorker]] = []

    def __init__(self, *_: object, exitcode: int | None = None) -> None:
        self.exitcode = exitcode
        self.pid = 1
        self.started_at = time.monotonic()
        FakeWorker.made.append(self)

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def join(self) -> None: ...

    def is_alive(self, timeout: float, should_exit: threading.Event | None = None) -> bool:
        return self.exitcode is None

    is_ready = wait_until_ready = is_alive


class Hung(FakeWorker):
    """One that stands still, until it is killed."""

    process = SimpleNamespace(sentinel=0)

    def terminate(self) -> None: ...

    def kill(self) -> None:
        self.exitcode = -signal.SIGKILL


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch, signals: None) -> serve.Supervisor:
    """One with two workers that serve, and no pause before one is started again."""
    monkeypatch.setattr(serve, "Worker", FakeWorker)
    monkeypatch.setattr(serve, "START_AGAIN_SECONDS", 0.0)
    made = serve.Supervisor(serve.uvicorn_config(Settings.read({"WEB_CONCURRENCY": "2"})), [])
    made.processes = [FakeWorker(), FakeWorker()]  # type: ignore[list-item]
    return made


@pytest.mark.parametrize("exitcode", [-signal.SIGKILL, STARTUP_FAILURE])
def test_a_worker_that_died_or_could_not_start_is_started_again(
    supervisor: serve.Supervisor, exitcode: int
) -> None:
    """Its database may be away: the others serve without it, and so will it when that is back."""
    serving, lost = supervisor.processes
    lost.exitcode = exitcode  # type: ignore[misc]
    supervisor.keep_subprocess_alive()
    assert supervisor.processes == [serving, FakeWorker.made[-1]] and lost not in supervisor.processes
    assert not supervisor.should_exit.is_set()


def test_a_worker_that_was_told_to_stop_as_well_has_not_died(
    supervisor: serve.Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """Platforms send SIGTERM to all processes at once: a worker may end while the supervisor asks whether it lives."""
    workers = list(supervisor.processes)

    def ends_meanwhile(timeout: float) -> bool:
        supervisor.signal_queue.append(signal.SIGTERM)
        return False

    workers[0].is_alive = ends_meanwhile  # type: ignore[method-assign,assignment]
    supervisor.keep_subprocess_alive()
    assert supervisor.processes == workers
    assert not caplog.records


@pytest.mark.parametrize(
    ("exitcode", "age", "replaced"),
    [
        (STARTUP_FAILURE, 0, False),
        (STARTUP_FAILURE, 7200, False),
        (-signal.SIGKILL, 0, False),
        (-signal.SIGKILL, 7200, True),
    ],
)
def test_it_waits_before_it_replaces_a_worker_that_could_not_start_or_died_at_once(
    supervisor: serve.Supervisor, monkeypatch: pytest.MonkeyPatch, exitcode: int, age: float, replaced: bool
) -> None:
    monkeypatch.setattr(serve, "START_AGAIN_SECONDS", 3600.0)
    serving, failed = supervisor.processes
    failed.exitcode = exitcode  # type: ignore[misc]
    failed.started_at -= age
    for _ in range(3):
        supervisor.keep_subprocess_alive()
    assert supervisor.processes == [serving, *FakeWorker.made[-1:]][: 1 + replaced]


def test_when_no_worker_can_start_it_ends(supervisor: serve.Supervisor) -> None:
    for worker in supervisor.processes:
        worker.exitcode = STARTUP_FAILURE  # type: ignore[misc]
    supervisor.keep_subprocess_alive()
    assert supervisor.should_exit.is_set()
    assert any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes)


@pytest.fixture
def hung(supervisor: serve.Supervisor, monkeypatch: pytest.MonkeyPatch) -> list[Hung]:
    """All workers of a supervisor, of which each has no time left once it is told to stop."""
    workers = [Hung(), Hung()]
    supervisor.processes = list(workers)  # type: ignore[arg-type]
    supervisor.config.timeout_graceful_shutdown = 0
    monkeypatch.setattr(serve, "KILL_SECONDS", 0)
    looks = iter(range(len(workers)))
    monkeypatch.setattr("multiprocessing.connection.wait", lambda *_: next(looks))  # not for ever
    return workers


def test_a_worker_that_stands_still_is_killed_when_it_is_replaced(
    supervisor: serve.Supervisor, hung: list[Hung], caplog: pytest.LogCaptureFixture
) -> None:
    """The supervisor would wait for it, and start none for those that die meanwhile."""
    supervisor.restart_all()
    assert [worker.exitcode for worker in hung] == [-signal.SIGKILL] * 2
    assert caplog.messages == ["The worker 1 does not end: it is killed."] * 2
    assert all(worker.exitcode is None for worker in supervisor.processes)


def test_a_worker_too_many_that_stands_still_is_killed(
    supervisor: serve.Supervisor, hung: list[Hung]
) -> None:
    supervisor.handle_ttou()
    assert hung[-1].exitcode is None
    supervisor.keep_subprocess_alive()
    exitcodes: list[int | None] = [worker.exitcode for worker in hung]
    assert exitcodes == [None, -signal.SIGKILL]
    assert len(supervisor.processes) == 1


class Process:
    """The process of a worker that lives, for its supervisor."""

    pid, exitcode, alive = 1, None, True

    def start(self) -> None: ...

    def is_alive(self) -> bool:
        return self.alive


def started_worker() -> serve.Worker:
    """One that answers when a test has it answer."""
    made = serve.Worker(serve.uvicorn_config(Settings.read({})), [])
    made.process = Process()  # type: ignore[assignment]
    made.start()
    return made


def answer(worker: serve.Worker) -> None:
    """Answer one question of the supervisor."""
    worker.child_conn.recv()
    worker.child_conn.send(True)


def test_a_worker_that_still_imports_is_left_alone() -> None:
    worker = started_worker()
    assert [worker.is_alive(0) for _ in range(3)] == [True] * 3
    worker.process.alive = False  # type: ignore[attr-defined]
    assert not worker.is_alive(0)


def test_a_worker_that_never_begins_to_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "START_SECONDS", 0.0)
    assert not started_worker().is_alive(0)


def test_a_worker_that_has_answered_owes_each_answer_in_time() -> None:
    """What it says late, to a question of its start, is no answer to a later one."""
    worker = started_worker()
    for _ in range(2):
        assert worker.is_alive(0)
    for _ in range(2):
        answer(worker)
    assert not worker.is_alive(0)
    answer(worker)  # late again
    threading.Thread(target=answer, args=[worker]).start()
    assert worker.is_alive(HANG_LIMIT)


def test_the_file_limit_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, before[1]), before[1]))
        serve.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_signal_ends_it_at_once_though_it_looks_after_itself_once_a_second() -> None:
    async def work() -> tuple[list[int], float]:
        server = serve.QuietServer(Config(lambda: None, log_config=None, lifespan="off"))
        server.config.load()
        looks: list[int] = []
        real = server.on_tick

        async def on_tick(counter: int) -> bool:
            looks.append(counter)
            return await real(counter)

        server.on_tick = on_tick  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        running = loop.create_task(server.main_loop())
        await asyncio.sleep(3.5)
        server.handle_exit(signal.SIGTERM, None)
        await running
        return looks, loop.time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(work()) == ([0, 0, 0, 0, 0], 3.5)


def test_a_signal_before_the_start_is_heard_too() -> None:
    server = serve.QuietServer(Config(lambda: None, log_config=None, lifespan="off"))
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_only_a_ctrl_c_behind_another_signal_is_impatience(
    monkeypatch: pytest.MonkeyPatch, first: signal.Signals
) -> None:
    statuses: list[int] = []
    monkeypatch.setattr("os._exit", statuses.append)
    server = serve.QuietServer(Config(lambda: None, log_config=None, lifespan="off"))
    for number in (first, signal.SIGTERM):
        server.handle_exit(number, None)
    assert statuses == []
    server.handle_exit(signal.SIGINT, None)
    assert statuses == [130]
