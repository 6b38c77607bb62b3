"""A server process: started on a free port, asked over HTTP, stopped by its pid, its log checked."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from tests.live.sse import SseClient
from tests.live.wire import Address, Closed, Headers, Response, ask, until, unverified
from tests.patience import HANG_LIMIT

TOKEN = "a-token-of-the-tests"
FORBIDDEN: tuple[str, ...] = (  # what a healthy server never logs, whatever its clients do
    "Traceback",
    "Exception in ASGI",
    "never retrieved",
    "never awaited",
    "destroyed but it is pending",
)
BASE = {
    "HOST": "127.0.0.1",
    "DATABASE_URL": "sqlite:///./live.db",
    "JOBS": "off",
    "PUBLISH_TOKEN": TOKEN,
    "DRAIN_SECONDS": "1",
}
# Any other variable might be a setting.
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
SERVE = ("dashboard_rt", "serve")
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def die_with_parent() -> tuple[str, ...]:
    """Return what stands before a command so that it is killed with the test run, where Linux has setpriv.

    Linux sends the signal when the *thread* ends that started the process. So only the main thread may ask for it:
    what another one starts is to outlive it.
    """
    main = threading.current_thread() is threading.main_thread()
    return ("setpriv", "--pdeathsig", "KILL") if main and shutil.which("setpriv") else ()


def free_port() -> int:
    """A port below the ephemeral range, so that no client's own socket can take it between two starts."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Api:
    """Publishing over one kept connection; one per thread."""

    def __init__(self, address: Address) -> None:
        where = (address.host, address.port)
        self.connection = (
            http.client.HTTPSConnection(*where, timeout=20, context=unverified())
            if address.tls
            else http.client.HTTPConnection(*where, timeout=20)
        )

    def post(self, stream: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        try:
            self.connection.request(
                "POST", f"/streams/{stream}", body, {"authorization": f"Bearer {TOKEN}", **headers}
            )
            response = self.connection.getresponse()
            body = response.read()
            is_json = response.headers.get_content_type() == "application/json"  # a proxy's own answer is not
            return response.status, json.loads(body) if is_json else body
        except BaseException:
            self.connection.close()
            raise

    def publish(self, stream: str, *updates: Any, key: str | None = None) -> str:
        """Publish one update, or several as NDJSON; the position of the last."""
        headers = {} if key is None else {"idempotency-key": key}
        if len(updates) != 1:
            headers["content-type"] = "application/x-ndjson"
        body = "\n".join(json.dumps(update, ensure_ascii=False) for update in updates).encode()
        status, answer = self.post(stream, body, headers)
        assert status == 201, (status, answer)
        position: str = answer["position"]
        return position


class Server:
    """One process: `command` (a module and its arguments, `{port}` filled in) with `env`, settings on top of BASE."""

    def __init__(
        self,
        directory: Path,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = SERVE,
        *,
        tls: bool = False,
    ) -> None:
        self.directory = directory
        self.address = Address("127.0.0.1", free_port(), tls)
        self.publishes_to = self.address  # that of another process, for what has to come over the engine
        settings = {**BASE, "PORT": str(self.address.port), **(env or {})}
        self.env = {name: os.environ[name] for name in KEPT if name in os.environ} | settings
        self.command = [
            sys.executable,
            "-m",
            *(part.replace("{port}", str(self.address.port)) for part in command),
        ]
        self.log = directory / "server.log"
        self.forbidden = FORBIDDEN
        self._checked = 0
        self._apis: list[Api] = []
        self._own: Api | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, limit: float = HANG_LIMIT) -> Server:
        """Start it, and return when it answers; `limit` in seconds."""
        self._close_apis()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*die_with_parent(), *self.command], cwd=self.directory, env=self.env, stdout=log, stderr=log
            )
        try:
            until(self._up, "the server answers /up", limit)
        except BaseException as error:
            error.add_note(self.output()[-4000:])
            self.kill()
            raise
        return self

    def _up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}")
        try:
            return ask(self.address, "GET", "/up").status == 200
        except (OSError, Closed):
            return False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Another command of the product beside this server, with its settings; its output."""
        command = [sys.executable, "-m", "dashboard_rt", *arguments]
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def check_log(self) -> None:
        """Fail when what was logged since the last check holds a forbidden phrase."""
        new = self.output()[self._checked :]
        self._checked += len(new)
        for phrase in self.forbidden:
            assert phrase not in new, f"the server's log holds {phrase!r}:\n{new[-6000:]}"

    def end(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and do not wait for the exit."""
        assert self.process is not None
        self.process.send_signal(sig)

    def wait(self, limit: float = 20.0) -> int:
        """The exit status."""
        assert self.process is not None
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running {limit} s later:\n{self.output()[-4000:]}") from None

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close_apis()

    def _close_apis(self) -> None:
        """Close the kept connections of a process that is gone; http.client opens new ones when they are used."""
        for api in self._apis:
            api.connection.close()

    def forget_apis(self) -> None:
        """After a test: close the kept connections, as the server ends them by itself when they idle for long."""
        self._close_apis()
        self._apis.clear()
        self._own = None

    def stop(self) -> None:
        """Stop with SIGTERM if it still runs, and check the log."""
        if self.alive:
            self.end()
            try:
                self.wait()
            finally:
                self.kill()
        self._close_apis()
        self.check_log()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.stop()
        except AssertionError:
            if kind is None:  # the test's own failure tells more than its server's log
                raise

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Response:
        return ask(self.address, method, target, headers, body)

    def api(self) -> Api:
        """A publishing connection for a thread of its own."""
        api = Api(self.publishes_to)
        self._apis.append(api)
        return api

    def publish(self, stream: str, *updates: Any, key: str | None = None) -> str:
        if self._own is None:
            self._own = self.api()
        return self._own.publish(stream, *updates, key=key)

    def put(self, stream: str, update: Any) -> str:
        """Publish one update and wait until new clients are served up to it; its position."""
        return self.seen(stream, self.publish(stream, update))

    def count(self, stream: str, start: int, number: int) -> str:
        """Publish `{"n": start}` and on, `number` of them in one body, and wait until it is seen; the last position."""
        return self.seen(stream, self.publish(stream, *({"n": n} for n in range(start, start + number))))

    def seen(self, stream: str, position: str) -> str:
        """Wait until new clients are served up to here: a 201 says "on disk", fan-out may come a moment later."""
        until(lambda: self._recovers(stream, position), f"{position} is served")
        return position

    def _recovers(self, stream: str, position: str) -> bool:
        with SseClient(self.address, f"/dashboard/stream?stream={stream}&last_event_id={position}") as client:
            return bool(client.event().json()["verdict"] == "recovered")

    def samples(self, suffix: str, **labels: str) -> list[float]:
        """The Prometheus samples whose name ends with `suffix` and whose labels include these."""
        wanted = {f'{name}="{value}"' for name, value in labels.items()}
        found = []
        for line in self.ask("GET", "/metrics").body.decode().splitlines():
            match = SAMPLE.match(line)
            if match and _ends(match[1], suffix) and wanted <= set((match[2] or "").split(",")):
                found.append(float(match[3]))
        return found

    def metric(self, suffix: str, **labels: str) -> float:
        """Their sum; 0 when the server has not counted any yet."""
        return sum(self.samples(suffix, **labels))

    def connections(self, transport: str) -> float:
        return self.metric("connections", transport=transport.partition("-")[0])

    def workers(self) -> list[int]:
        """The pids of the processes that serve, where there are several (WEB_CONCURRENCY)."""
        children = psutil.Process(self.pid).children()
        return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]

    def peers(self, pid: int | None = None) -> set[int]:
        """The ports of the clients whose sockets this process holds, or one below it; of `pid` alone, where given."""
        found: set[int] = set()
        parent = psutil.Process(pid or self.pid)
        for process in (parent, *parent.children()):
            with contextlib.suppress(psutil.NoSuchProcess):  # a worker has ended meanwhile
                found |= {each.raddr.port for each in process.net_connections("tcp") if each.raddr}
        return found


def _ends(name: str, suffix: str) -> bool:
    return name == suffix or name.endswith(f"_{suffix}")
