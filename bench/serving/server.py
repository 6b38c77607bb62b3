"""A running target: started pinned to a core in a directory of its own, waited for, and ended whatever happens."""

from __future__ import annotations

import http.client
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from bench.errors import BenchError, Environment
from bench.measure import spread
from bench.serving import posting
from bench.serving.broadcast import CommandPublish, HttpPublish, RedisPublish
from bench.serving.net import HOST, free_port
from bench.serving.placeholder import filled
from bench.serving.posting import Publish
from bench.serving.program import STOP_SECONDS, Program, Stopped, alive, inherited, last_words, until_ready
from bench.serving.services import SERVICES, Service
from bench.serving.target_type import Target

START_SECONDS = 30.0


def check_outside(target: Target, host: str, port: int, pid: int) -> None:
    """Raise Environment unless a server that the bench did not start runs and answers."""
    if not alive(pid):
        raise Environment(f"{target.name}: there is no process {pid}; write its pid into the file")
    if not is_ready(target, host, port):
        where = f"http://{host}:{port}{target.ready_path}"
        raise Environment(f"{target.name} does not answer {where} with 200: start it, or mend ready_path")


def is_ready(target: Target, host: str, port: int) -> bool:
    """Whether its `ready_path` is answered with 200."""
    asking = http.client.HTTPConnection(host, port, timeout=1)
    try:
        asking.request("GET", target.ready_path)
        return asking.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


def nothing_to_lose(target: str, service: str) -> str:
    """The sentence for a target without such a service."""
    return f"{target} has no service {service!r} to lose: choose a target that has one, such as app-redis-postgres"


class Server:
    """`with Server(target, kind="log", core=0) as server:`; `pid` is the root of its process tree, of which services
    are no part: they run on `service_core`, or on the bench's own, and their CPU is not the target's."""

    def __init__(
        self,
        target: Target,
        kind: str = "log",
        core: int | None = None,
        base: Path | None = None,
        service_core: int | None = None,
    ) -> None:
        self.target = target
        self.core = core
        self.base = base
        self.service_core = service_core
        self.host, self.port, self.pid = HOST, 0, 0
        self.stopped_by_force = False
        self.services: dict[str, Service] = {}
        self._values = {"kind": kind}
        self._program: Program | None = None
        self._taking: set[int] = set()  # processes that took a connection
        self._stack = ExitStack()

    def __enter__(self) -> Server:
        if self.target.missing:
            raise Environment(f"{self.target.name} cannot run here, it lacks {self.target.missing}")
        with ExitStack() as stack:
            self.directory = Path(tempfile.mkdtemp(prefix="bench-", dir=self.base))
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            for name in self.target.services:
                service = SERVICES[name](self.directory, self.service_core)
                self.services[name] = stack.enter_context(service)
                self._values |= service.values
            stack.callback(self._end)
            self._place()
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        died = self.died
        self._stack.close()
        if died and isinstance(error, BenchError):  # why a connection closed matters more than that it did
            raise Environment(f"{error}; {died}") from error

    @property
    def _output(self) -> Path:
        return self.directory / "output"

    def _place(self) -> None:
        """Where it listens, before it is started: a second start has the same port and the same directory."""
        if self.target.outside is not None:
            self.host, self.port, self.pid = self.target.outside
        else:
            self.port = free_port()
        self._values |= {"port": str(self.port), "directory": str(self.directory)}
        if self.target.build is not None:
            self._values["binary"] = str(self.target.build.built())

    def start(self) -> None:
        """Start it, unless it was there before the bench, and wait until it answers; again after `stop`, with the
        same port and directory."""
        if self.target.outside is not None:
            check_outside(self.target, self.host, self.port, self.pid)
            return
        command, variables = self.target.filled(**self._values)
        self._program = Program(command, variables, self.directory, self._output, self.core)
        self.pid = self._program.pid
        until_ready(self._program, self._is_ready, self.target.name, START_SECONDS)
        if self.target.processes > 1:  # the first that is ready would be given all the clients
            what, self._taking = f"{self.target.name} with {self.target.processes} processes", set()
            until_ready(self._program, self._all_take_clients, what, START_SECONDS)

    def _is_ready(self) -> bool:
        return is_ready(self.target, self.host, self.port)

    def _all_take_clients(self) -> bool:
        """Whether as many processes as there should be have been seen to answer; one more connection each time."""
        asking = http.client.HTTPConnection(self.host, self.port, timeout=1)
        try:
            asking.request("GET", self.target.ready_path)
            asking.getresponse().read()
            self._taking |= spread.over_processes(self.pid, self.port).keys()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()
        return len(self._taking) >= self.target.processes

    def stop(self, grace: float = STOP_SECONDS) -> Stopped:
        """SIGTERM, `grace` seconds, SIGKILL, for the whole process tree. Answers how it ended; raises Environment
        for a server that is not ours to stop, or not running."""
        if self._program is None:
            raise Environment(
                f"{self.target.name} cannot be stopped: the bench did not start it, or stopped it"
            )
        program, self._program = self._program, None
        stopped = program.stop(grace)
        self.stopped_by_force |= stopped.forced
        return stopped

    def restart(self, grace: float = STOP_SECONDS) -> Stopped:
        """Stop it and start it again; answers how it ended."""
        stopped = self.stop(grace)
        self.start()
        return stopped

    def stop_service(self, name: str = "redis") -> None:
        """Kill a service as a crash would (SIGKILL)."""
        self._service(name).kill()

    def start_service(self, name: str = "redis") -> None:
        """Start it again on the same port, with what it kept on disk."""
        self._service(name).start()

    def _service(self, name: str) -> Service:
        if name not in self.services:
            raise Environment(nothing_to_lose(self.target.name, name))
        return self.services[name]

    def poster(self) -> Publish:
        """A connection to publish over; a context manager."""
        match self.target.broadcast:
            case HttpPublish() as publish:
                return posting.HttpPoster(publish, self.host, self.port)
            case RedisPublish() as publish:
                return posting.RedisPoster(publish, HOST, self.services["redis"].port)
            case CommandPublish(command):
                words = [filled(word, self._values) for word in command]
                return posting.CommandPoster(words, self.directory, inherited())

    @property
    def died(self) -> str:
        """One sentence when it, or a service of it, ended by itself; empty else."""
        running = {self.target.name: self._program}
        running |= {name: service.program for name, service in self.services.items()}
        sentences = [
            f"{name} ended by itself ({program.status}): {program.said()}"
            for name, program in running.items()
            if program is not None and program.status is not None
        ]
        return "; ".join(sentences)

    def said(self) -> str:
        """The end of what the server printed, in all its starts."""
        if self.target.outside is not None:
            return "what it printed is not the bench's to read"
        return last_words(self._output)

    def _end(self) -> None:
        """A server that ended by itself may have left children behind: it is stopped all the same."""
        if self._program is not None:
            self.stop()
