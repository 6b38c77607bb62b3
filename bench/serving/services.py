"""The services that a target needs beside it. The bench starts its own, on free ports, in the run's directory."""

from __future__ import annotations

import socket
from pathlib import Path

from bench.errors import Environment
from bench.serving import resp
from bench.serving.net import HOST, free_port
from bench.serving.program import Program, until_ready

START_SECONDS = 10.0
ANSWER_SECONDS = 1.0
ROOM = ("--maxclients", "65000")  # a server may subscribe once a client; Redis lowers it to its file limit


class Redis:
    """`with Redis(directory, core) as redis:`, a redis-server that keeps nothing on disk. `core` None: the bench's own
    core, which is the load client's, so that the server under test has its core to itself."""

    name = "redis"
    needed = "redis-server"
    remedy = "apt install redis-server"

    def __init__(self, directory: Path, core: int | None = None) -> None:
        self.directory = directory
        self.core = core
        self.port = free_port()
        self.program: Program | None = None

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.program is not None:
            self.program.stop()

    @property
    def values(self) -> dict[str, str]:
        """What a target's placeholders are filled with."""
        return {"redis_port": str(self.port), "redis_url": f"redis://{HOST}:{self.port}/0"}

    @property
    def pid(self) -> int:
        """Its process id; 0 while it is not running."""
        return self.program.pid if self.program is not None else 0

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        words = ("--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no", *ROOM)
        self.program = Program(
            (self.needed, *words, "--dir", str(self.directory), "--daemonize", "no"),
            {},
            self.directory,
            self.directory / "redis.output",
            self.core,
        )
        try:
            until_ready(self.program, self._answers, "redis-server", START_SECONDS)
        except BaseException:
            self.program.kill()
            raise

    def kill(self) -> None:
        """End it as a crash would: SIGKILL; `start` brings it back, empty."""
        if self.program is None or self.program.status is not None:
            raise Environment("redis-server is not running: start it before it is killed")
        self.program.kill()
        self.program = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=ANSWER_SECONDS) as sock:
                sock.sendall(resp.command(b"PING"))
                return resp.read(sock.recv(64)) == (b"PONG", b"")
        except OSError:
            return False


SERVICES: dict[str, type[Redis]] = {"redis": Redis}
