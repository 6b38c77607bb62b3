"""`dashboard-rt serve`: uvicorn with our protocol classes, in this process or in several below a supervisor."""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing.connection
import resource
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from types import FrameType
from typing import NoReturn

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from ..hub.timer import next_tick
from ..logconfig import announce, log_config
from ..settings import Settings
from .limits import user_timeout_ms
from .listeners import BACKLOG, listen, set_user_timeout, url
from .shutdown import end_at_once, end_before_the_start

# After a worker could not start, and from the start of one that died to that of its successor: one that dies at once,
# for want of memory, would take a core for the imports of the next ones.
START_AGAIN_SECONDS = 5.0
# For a worker to begin to answer: on a busy machine, or a small dyno, the imports alone take longer than the 5 seconds
# that uvicorn gives, which would kill it and the next one for ever. Heroku gives a dyno as long to boot.
START_SECONDS = 60.0
DYNO_SECONDS = 30  # from the SIGTERM of a dyno to its SIGKILL
GRACE_SECONDS = 5  # behind DRAIN_SECONDS, for what does not end by itself
# Behind those, for a worker to end: one that stands still would keep the supervisor for ever, which waits for it at
# its own end and when it replaces it.
KILL_SECONDS = 5
LOOK_SECONDS = 0.1  # between two looks for signals while a worker is waited for
FAILURES = (STARTUP_FAILURE, -signal.SIGKILL)  # exit codes

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status. Raises BadSetting."""
    listeners = listen(settings.host, settings.port)
    for listener in listeners:
        set_user_timeout(listener, user_timeout_ms(settings.send_timeout))
    announce(f"The dashboard is at {url(listeners[0])} (Ctrl-C stops it)", settings)
    _log_platform(settings)
    config = uvicorn_config(settings)
    if settings.web_concurrency > 1:
        supervisor = Supervisor(config, sockets=listeners)
        supervisor.run()
        return int(any(process.exitcode in FAILURES for process in supervisor.processes))
    return _serve_here(QuietServer(config), listeners)


def _log_platform(settings: Settings) -> None:
    """Log who set WEB_CONCURRENCY, which a platform does unasked, and a drain that is too long for a dyno."""
    if settings.web_concurrency > 1:
        by = settings.web_concurrency_set_by
        logger.info(
            "Serving with %d processes (WEB_CONCURRENCY%s).",
            settings.web_concurrency,
            f", set by {by}" if by else "",
        )
    longest = DYNO_SECONDS - GRACE_SECONDS - KILL_SECONDS
    if settings.dyno is not None and settings.drain_seconds > longest:
        logger.warning(
            "DRAIN_SECONDS (%g) is too long for a dyno, which is killed %d seconds behind SIGTERM. Set at most %d.",
            settings.drain_seconds,
            DYNO_SECONDS,
            longest,
        )


class QuietServer(Server):
    """uvicorn's server, but its main loop ticks once a second instead of ten times, and stops at once on a signal.

    The ticks share the wake-ups of our timers: wake-ups are nearly all that an idle process costs.
    """

    _loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Tick until it is time to stop. uvicorn counts ticks, and does its work at each whole tenth one: always 0."""
        self._loop = loop = asyncio.get_running_loop()
        self._signalled = asyncio.Event()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_tick(loop.time(), 1)):
                    await self._signalled.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop. A Ctrl-C while it is stopping ends the process at once.

        uvicorn would leave out the shutdown of the app then, which is cancelled later, with a traceback, and goes on
        for as long as it likes. It would also raise the signal again at the end, for the status: ours is 0.
        """
        if sig == signal.SIGINT and self.should_exit:
            end_at_once()
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)


def _serve_here(server: Server, listeners: list[socket.socket]) -> int:
    def stop(number: int, frame: FrameType | None) -> None:
        """Hear a signal where uvicorn does not: before it has begun, and when it has ended and a thread has not."""
        if not server.started:
            end_before_the_start()
        if number == signal.SIGINT:
            end_at_once()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        server.run(sockets=listeners)
    except SystemExit:  # with the status by which uvicorn's supervisor knows a start that failed
        if server.started:
            raise
    return 0 if server.started else 1


class Worker(Process):
    """A worker process, as its supervisor sees it."""

    started_at = 0.0  # by time.monotonic()
    _answers = False  # yet

    def start(self) -> None:
        self.started_at = time.monotonic()
        super().start()

    def is_alive(self, timeout: float = 5) -> bool:
        """Return whether it answers within `timeout` seconds, or still has time for its first answer."""
        while self.parent_conn.poll():
            self.parent_conn.recv()  # an answer that came late: it says nothing about now
            self._answers = True
        if self._answers:
            return super().is_alive(timeout)
        self._answers = super().is_alive(LOOK_SECONDS)
        is_starting = time.monotonic() < self.started_at + START_SECONDS
        return self._answers or (is_starting and self.process.is_alive())


class Supervisor(Multiprocess):
    """uvicorn's supervisor of worker processes, which alone hears Ctrl-C.

    A terminal sends it to every process of the group. The workers have it blocked from birth: one that is still
    importing would answer with a traceback, and what they have to do they are told by SIGTERM. That the supervisor
    has ended without a word they notice themselves (shutdown.py).
    """

    processes: list[Worker]  # type: ignore[assignment]  # uvicorn's annotation knows its own class only

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.should_exit = StopAsked(self.signal_queue)
        self._retired: dict[Worker, float] = {}  # told to stop; when they are killed, by time.monotonic()
        self._missing = 0  # workers that have died and are to be started
        self._start_at = 0.0  # not before, by time.monotonic()

    def init_processes(self) -> None:
        resource_tracker.ensure_running()  # begun by the first worker's start, it would unblock the signal
        self._missing = self.processes_num
        self._start_missing()

    def handle_ttin(self) -> None:
        """Have one worker more."""
        self.processes_num += 1
        self._missing += 1

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died or stand still.

        One that cannot start while others serve is started again later, because what it needs is away. uvicorn would
        end all of them, with their clients.
        """
        self._kill_overdue()
        for worker in list(self.processes):
            if self.should_exit.is_set():
                return
            if not worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                # Heroku tells the workers to stop, too: one that has obeyed while it was asked has not died.
                if self.should_exit.is_set():
                    return
                self._bury(worker)
        self._start_missing()

    def _bury(self, worker: Worker) -> None:
        silent = worker.exitcode is None
        worker.kill()
        worker.join()
        others = [it for it in self.processes if it is not worker]
        if silent:
            logger.warning("The worker %s did not answer. It is killed, and replaced.", worker.pid)
        elif worker.exitcode != STARTUP_FAILURE:
            logger.warning("The worker %s has died. It is replaced.", worker.pid)
            self._start_at = max(self._start_at, worker.started_at + START_AGAIN_SECONDS)
        elif any(it.is_ready(timeout=1) for it in others):
            logger.error(
                "The worker %s could not start. The others go on, and it is tried again.", worker.pid
            )
            self._start_at = time.monotonic() + START_AGAIN_SECONDS
        else:
            logger.error("The worker %s could not start, and no other one serves.", worker.pid)
            self.should_exit.set()
            return
        self.processes = others
        self._missing += 1

    def _start_missing(self) -> None:
        if self.should_exit.is_set() or time.monotonic() < self._start_at:
            return
        with _ctrl_c_blocked():
            for _ in range(self._missing):
                worker = Worker(self.config, self.sockets)
                worker.start()
                self.processes.append(worker)
        self._missing = 0

    def terminate_all(self) -> None:
        """Have the workers stop, and close the listeners, which this process has too.

        Otherwise whoever connects during the drain would be accepted by nobody, and wait instead of being refused.
        """
        for listener in self.sockets:
            listener.close()
        for worker in self.processes:
            self._retire(worker)

    def restart_all(self) -> None:
        """Replace the workers one by one, each when its successor serves.

        uvicorn waits for the drain of each without hearing a signal: eight workers would take more than a minute to
        stop, and a second Ctrl-C would wait as long.
        """
        for index, old in enumerate(self.processes):
            new = Worker(self.config, self.sockets)
            with _ctrl_c_blocked():  # not for longer: it is to be heard
                new.start()
            if not new.wait_until_ready(START_SECONDS, self.should_exit):
                new.kill()
                new.join()
                if not self.should_exit.is_set():
                    logger.error("The worker %s is kept: its successor did not start in time.", old.pid)
                return
            self.processes[index] = new
            self._retire(old)
            while old.exitcode is None and not self.should_exit.is_set():
                self._kill_overdue()
                multiprocessing.connection.wait([old.process.sentinel], LOOK_SECONDS)

    def handle_ttou(self) -> None:
        """Have one worker less, without waiting for its drain."""
        if self.processes_num > 1:
            self.processes_num -= 1
            if self._missing:
                self._missing -= 1
            else:
                self._retire(self.processes.pop())

    def _retire(self, worker: Worker) -> None:
        assert self.config.timeout_graceful_shutdown is not None
        self._retired = {it: kill_at for it, kill_at in self._retired.items() if it.exitcode is None}
        self._retired[worker] = time.monotonic() + self.config.timeout_graceful_shutdown + KILL_SECONDS
        worker.terminate()

    def _kill_overdue(self) -> None:
        """Kill workers that do not end. What was acknowledged is on disk."""
        for worker, kill_at in self._retired.items():
            if worker.exitcode is None and time.monotonic() >= kill_at:
                logger.error("The worker %s does not end: it is killed.", worker.pid)
                worker.kill()
                self._retired[worker] = math.inf

    def handle_int(self) -> None:
        if self.should_exit.is_set():
            self._end_at_once()
        super().handle_int()

    def join_all(self) -> None:
        """Wait for the workers, which may take as long as a drain. A Ctrl-C then is impatience."""
        while running := [worker.process.sentinel for worker in self._retired if worker.exitcode is None]:
            if signal.SIGINT in self.signal_queue:
                self._end_at_once()
            self._kill_overdue()
            multiprocessing.connection.wait(running, LOOK_SECONDS)

    def _end_at_once(self) -> NoReturn:
        for worker in {*self.processes, *self._retired}:
            worker.kill()
        end_at_once()


class StopAsked(threading.Event):
    """Set when a supervisor is to stop: it has been told, or a signal waits in its queue to be handled."""

    def __init__(self, signals: Collection[int]) -> None:
        super().__init__()
        self._signals = signals

    def is_set(self) -> bool:
        return super().is_set() or not {signal.SIGINT, signal.SIGTERM}.isdisjoint(self._signals)


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Block SIGINT, which processes that are started within inherit. For this one it waits until the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def uvicorn_config(settings: Settings) -> Config:
    """Return how uvicorn runs the app: everything by name, so that it can spawn workers."""
    return Config(
        "dashboard_rt.app:create_served_app",
        factory=True,
        loop="uvloop",
        http="dashboard_rt.server.handover:HttpProtocol",
        ws="dashboard_rt.server.handover:WebSocketProtocol",
        ws_max_size=65536,
        ws_ping_interval=20,
        ws_per_message_deflate=settings.ws_compression,
        lifespan="on",
        log_config=log_config(settings),
        access_log=False,
        workers=settings.web_concurrency,
        server_header=False,
        interface="asgi3",  # uvicorn would take ForwardedHeaders, which is no coroutine function, for ASGI 2
        proxy_headers=False,  # the app reads them itself (forwarded.py)
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds) + GRACE_SECONDS,
    )


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one: each connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # macOS refuses some: MAX_CLIENTS follows the soft limit
            logger.warning("The limit of open files stays at %d: %s", soft, error)
