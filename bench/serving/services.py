"""The services that a target needs beside it. The bench starts its own, on free ports, in the run's directory."""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from bench.errors import Environment
from bench.serving import resp
from bench.serving.need import Need
from bench.serving.net import HOST, free_port
from bench.serving.program import Program, until_ready

START_SECONDS = 30.0
ANSWER_SECONDS = 1.0
MAKE_SECONDS = 60.0
ROOM = ("--maxclients", "65000")  # a server may subscribe once a client; Redis lowers it to its file limit
DEBIAN = Path("/usr/lib/postgresql")  # its PostgreSQL, by version; not on PATH
# What is acknowledged is on the disk: both are the defaults, and said all the same, for whoever reads the result.
DURABLE = ("-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on")


class Service(ABC):
    """`with Redis(directory, core) as redis:`. `core` None: the bench's own core, which is the load client's, so that
    the server under test has its core to itself. Subclasses say what it is, and when it answers."""

    name: str
    needed: str
    remedy: str
    end_signal = signal.SIGTERM
    user: str | None = None

    def __init__(self, directory: Path, core: int | None = None) -> None:
        self.directory = directory
        self.core = core
        self.port = free_port()
        self.program: Program | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.program is not None:
            self.program.stop(number=self.end_signal)

    @classmethod
    def folders(cls) -> Sequence[Path]:
        """Where its program may be, besides on PATH; the best first."""
        return ()

    @classmethod
    def need(cls) -> Need:
        """Its program."""
        return Need("program", cls.needed, cls.remedy, tuple(map(str, cls.folders())))

    @property
    @abstractmethod
    def values(self) -> dict[str, str]:
        """What a target's placeholders are filled with."""

    @property
    def pid(self) -> int:
        """Its process id; 0 while it is not running."""
        return self.program.pid if self.program is not None else 0

    @abstractmethod
    def command(self) -> Sequence[str]:
        """How it is started, in the foreground, on `port`."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes connections now."""

    def version(self) -> str:
        """What its program says of itself, such as "postgres (PostgreSQL) 15.18"."""
        asking = [self.command()[0], "--version"]
        said = subprocess.run(
            asking, capture_output=True, text=True, timeout=START_SECONDS, check=False
        ).stdout
        return said.partition("\n")[0].strip()

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        output = self.directory / f"{self.name}.output"
        self.program = Program(self.command(), {}, self.directory, output, self.core, user=self.user)
        try:
            until_ready(self.program, self.answers, self.needed, START_SECONDS)
        except BaseException:
            self.program.kill()
            raise

    def kill(self) -> None:
        """End it as a crash would: SIGKILL; `start` brings it back."""
        if self.program is None or self.program.status is not None:
            raise Environment(f"{self.needed} is not running: start it before it is killed")
        self.program.kill()
        self.program = None


class Redis(Service):
    """A redis-server that keeps nothing on disk; after `kill` it comes back empty."""

    name = "redis"
    needed = "redis-server"
    remedy = "apt install redis-server"

    @property
    def values(self) -> dict[str, str]:
        """Its port and URL."""
        return {"redis_port": str(self.port), "redis_url": f"redis://{HOST}:{self.port}/0"}

    def command(self) -> Sequence[str]:
        """Without persistence."""
        words = ("--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no", *ROOM)
        return (self.needed, *words, "--dir", str(self.directory), "--daemonize", "no")

    def answers(self) -> bool:
        """Whether it answers a PING."""
        try:
            with socket.create_connection((HOST, self.port), timeout=ANSWER_SECONDS) as sock:
                sock.sendall(resp.command(b"PING"))
                return resp.read(sock.recv(64)) == (b"PONG", b"")
        except OSError:
            return False


class Postgres(Service):
    """A PostgreSQL cluster of the run's own, as its installation configures a new one, which waits for the disk at
    each commit; after `kill` it has all that was committed. The system's own cluster is never touched."""

    name = "postgres"
    needed = "postgres"
    remedy = "apt install postgresql"
    end_signal = signal.SIGQUIT  # at once: a checkpoint would write what is removed a moment later
    role = "bench"

    def __init__(self, directory: Path, core: int | None = None) -> None:
        super().__init__(directory / self.name, core)
        self._password = secrets.token_hex(16)  # any user of this machine can reach the port
        self._owner = unprivileged()
        self.user = self._owner.pw_name if self._owner is not None else None

    @classmethod
    def folders(cls) -> Sequence[Path]:
        """Debian's, the newest version first."""
        return sorted(DEBIAN.glob("[0-9]*/bin"), key=lambda path: -int(path.parent.name.partition(".")[0]))

    @property
    def values(self) -> dict[str, str]:
        """Its port, and the URL of its database."""
        where = f"{HOST}:{self.port}/postgres"
        return {
            "postgres_port": str(self.port),
            "postgres_url": f"postgresql://{self.role}:{self._password}@{where}",
        }

    def command(self) -> Sequence[str]:
        """On loopback only, without a socket in the file system."""
        listen = ("-p", str(self.port), "-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories=")
        return (self._tool("postgres"), "-D", str(self.directory / "data"), *listen, *DURABLE)

    def answers(self) -> bool:
        """Whether it lets clients in: while it recovers from a crash it accepts and refuses them."""
        asking = [self._tool("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(asking, check=False, timeout=ANSWER_SECONDS * 10).returncode == 0

    def start(self) -> None:
        """Service.start; the first time the cluster is made."""
        if not self.directory.exists():
            self._make()
        super().start()

    def _make(self) -> None:
        password = self.directory / "password"
        self.directory.mkdir(mode=0o700)
        password.write_text(self._password)
        if self._owner is not None:
            self.directory.parent.chmod(0o711)  # its processes have to pass through the run's directory
            for path in (self.directory, password):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        users = ("--username", self.role, "--pwfile", str(password), "--auth", "scram-sha-256")
        data = ("-D", str(self.directory / "data"), "-E", "UTF8", "--locale", "C", "--no-sync")
        self._run("initdb", *data, *users)
        os.sync()  # in one go, where initdb would wait for each of 900 files; left out it would happen in the window

    def _run(self, tool: str, *words: str) -> None:
        who = self._owner
        done = subprocess.run(
            [self._tool(tool), *words],
            cwd=self.directory,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAKE_SECONDS,
            check=False,
            user=None if who is None else who.pw_uid,
            group=None if who is None else who.pw_gid,
            extra_groups=None if who is None else (),
        )
        if done.returncode:
            said = " | ".join(done.stderr.strip().splitlines()[-3:])
            whom = f": set TMPDIR to a folder that the user {self.user} can reach" if self.user else ""
            raise Environment(f"no PostgreSQL cluster can be made in {self.directory}: {said}{whom}")

    def _tool(self, name: str) -> str:
        """The path of a program of the installation that `need` finds."""
        return str(Path(self.need().found() or self.needed).resolve().with_name(name))


def unprivileged() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as; None: as the bench. It refuses to be root."""
    if os.getuid() != 0:
        return None
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


SERVICES: dict[str, type[Service]] = {one.name: one for one in (Redis, Postgres)}


def needs(names: Iterable[str]) -> tuple[Need, ...]:
    """The programs of these services."""
    return tuple(SERVICES[name].need() for name in names)
