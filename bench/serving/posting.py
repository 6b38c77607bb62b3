"""One connection to publish over, whatever is at its other end: HTTP, Redis or a program. Blocking, on purpose:
the publisher keeps one publish in flight, so that the order on the wire is the order of its schedule.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bench.errors import Environment
from bench.load.wire import WireError
from bench.serving import http, resp
from bench.serving.broadcast import ACCEPTED, HttpPublish, RedisPublish

TIMEOUT_SECONDS = 15.0
END_SECONDS = 3.0


class Publish(Protocol):
    """What the publisher publishes over."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def post(self, body: bytes, lines: bool = False) -> int:
        """Publish one update, or several, one a line. Answers 201 once it was accepted, else the HTTP status that
        refused it. Raises Environment when no answer comes."""
        ...


class _Connection:
    """A blocking connection that is closed behind a `with` block."""

    def __init__(self, host: str, port: int, whose: str) -> None:
        self.whose = whose
        self.buffer = b""
        try:
            self.sock = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)
        except OSError as error:
            raise Environment(f"no connection to publish over, to {whose}: {error}") from None
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of it; raises Environment."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Environment(f"{self.whose} did not take a publish: {error}") from None

    def receive(self) -> None:
        """Wait for more bytes of an answer; raises Environment."""
        try:
            piece = self.sock.recv(65536)
        except TimeoutError:
            raise Environment(f"{self.whose} did not answer a publish in {TIMEOUT_SECONDS:.0f} s") from None
        except OSError as error:
            raise Environment(f"{self.whose} broke the publisher's connection: {error}") from None
        if not piece:
            raise Environment(f"{self.whose} closed the publisher's connection")
        self.buffer += piece


class HttpPoster(_Connection):
    """One kept-alive HTTP connection."""

    def __init__(self, publish: HttpPublish, host: str, port: int) -> None:
        super().__init__(host, port, "the server")
        self.publish = publish
        self.host = f"{host}:{port}"

    def post(self, body: bytes, lines: bool = False) -> int:
        """Publish.post; several requests wait for each other, and the first refusal is the answer."""
        for request in self.publish.requests(self.host, body, lines):
            self.send(request)
            status = self._answer()
            if status not in self.publish.accepted:
                return status
        return ACCEPTED

    def _answer(self) -> int:
        try:
            while (found := http.read(self.buffer)) is None:
                self.receive()
        except WireError as error:
            raise Environment(f"a publish was answered with something else: {error}") from None
        response, self.buffer = found
        return response.status


class RedisPoster(_Connection):
    """One connection to Redis. How many heard it is not asked: a server may subscribe only when clients are there."""

    def __init__(self, publish: RedisPublish, host: str, port: int) -> None:
        super().__init__(host, port, "Redis")
        self.publish = publish

    def post(self, body: bytes, lines: bool = False) -> int:
        """Publish.post; several commands go out in one write."""
        commands = self.publish.commands(body, lines)
        self.send(b"".join(commands))
        for _ in commands:
            self._answer()
        return ACCEPTED

    def _answer(self) -> None:
        try:
            while (found := resp.read(self.buffer)) is None:
                self.receive()
        except resp.RespError as error:
            raise Environment(f"a publish was refused: {error}") from None
        self.buffer = found[1]


class CommandPoster:
    """A program that publishes what it reads: a line an update. 201 means that the pipe took it, no more."""

    def __init__(self, command: Sequence[str], directory: Path, environment: dict[str, str]) -> None:
        self.output = directory / "publisher.output"
        with self.output.open("wb") as output:
            try:
                self.process = subprocess.Popen(
                    command,
                    cwd=directory,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the bench, which then ends it
                )
            except OSError as error:
                raise Environment(f"the publishing command cannot be started: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it ended first: `post` has said so, or nothing was left to publish
            self.process.stdin.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def post(self, body: bytes, lines: bool = False) -> int:
        """Publish.post."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(body + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            said = self.output.read_text(errors="replace").strip()[-500:]
            raise Environment(f"the publishing command ended: {said or 'it printed nothing'}") from None
        return ACCEPTED
