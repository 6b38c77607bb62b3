"""An app on a platform like Heroku: add-ons, config vars, releases, dynos and the router in front of them.

It is made of the repository's own files: `Procfile` and `app.json`, and a slug that holds what git tracks.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil  # type: ignore[import-untyped]

from tests.dyno.dyno import MEMORY_MB, Dyno, Log
from tests.dyno.exchange import Limits
from tests.dyno.router import Router
from tests.needs import program
from tests.services.certificates import self_signed
from tests.services.postgres import QUICK, PostgresServer
from tests.services.process import Service
from tests.services.redis import RedisServer

ROOT = Path(__file__).resolve().parents[2]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
MANIFEST = json.loads((ROOT / "app.json").read_text())
# Key-Value Store mini and Postgres Essential-0: 20 connections each.
REDIS_PLAN = ("--maxclients", "20", "--timeout", "300", "--maxmemory", "25mb")
POSTGRES_CONNECTIONS = 20
SAMPLE_SECONDS = 20.0  # between two looks at their memory
CALM_SECONDS = 10.0  # at least, between a dyno's start and the next one when it crashes


@dataclass(frozen=True)
class Plan:
    """`formation`: dynos of each process type, on top of app.json's; `config`: config vars on top of its `env`."""

    formation: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    port: int = 0  # of the router; 0 takes any free one
    preboot: bool = False  # new dynos are up before the old ones are told to stop


class App:
    """`with App(...) as app`: add-ons and the router run; `deploy` makes the first release. For the main thread."""

    def __init__(self, directory: Path, plan: Plan, log: Log) -> None:
        """`directory`: one that other users can reach; PostgreSQL runs as one of them."""
        self.plan = plan
        self.version = 0
        self.dynos: Sequence[Dyno] = ()
        self._directory = directory
        self._log = log
        certificate = self_signed(directory)
        self.certificate = certificate.certificate
        for name in ("redis", "postgres"):
            (directory / name).mkdir()
        self.redis = RedisServer(directory / "redis", *REDIS_PLAN, tls=certificate)
        self.postgres = PostgresServer(directory / "postgres", *QUICK, tls=certificate)
        self.services: dict[str, Service] = {"redis": self.redis, "postgres": self.postgres}
        self.router = Router(
            certificate, plan.limits, lambda line: log("heroku[router]", str(line)), plan.port
        )
        self.config = {**config_of_manifest(), **self._addons(), **plan.config}
        self._stack = contextlib.ExitStack()
        self._started: list[Dyno] = []
        self._sampled = time.monotonic()

    def _addons(self) -> dict[str, str]:
        return {
            "DATABASE_URL": f"postgres://app@127.0.0.1:{self.postgres.port}/app",
            "REDIS_URL": self.redis.url,
        }

    def __enter__(self) -> Self:
        with self._stack:
            for service in self.services.values():
                self._stack.callback(service.kill)
                service.start()
            self.postgres.sql(f"CREATE ROLE app LOGIN CONNECTION LIMIT {POSTGRES_CONNECTIONS}")
            self.postgres.sql("CREATE DATABASE app OWNER app")
            self._stack.enter_context(self.router)
            self._stack.callback(self._kill)
            self._stack.callback(self._end)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        self.router.route(())
        self._stop(self.dynos)

    def _kill(self) -> None:
        """Kill what Ctrl-C has left: dynos of a deploy that was not brought to its end, or of an end that was not."""
        for dyno in self._started:
            if not dyno.finished:
                dyno.kill()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.router.port}"

    # ---- releases

    def deploy(self) -> bool:
        """Make a release of the files as they are now. One whose `release` fails changes nothing."""
        before = self._slug
        self.version += 1
        build_slug(self._slug)
        release = self._start(f"release.{self.version}", "release")
        if status := release.run():
            then = "the one before it goes on" if self.dynos else "nothing runs"
            self._say(f"Release v{self.version} failed with status {status}: {then}")
            shutil.rmtree(self._slug)
            self.version -= 1
            return False
        self._say(f"Release v{self.version} created")
        shutil.rmtree(before, ignore_errors=True)
        self.restart()
        return True

    def restart(self) -> None:
        """Replace all dynos: new ones start while the old ones get SIGTERM."""
        old = self.dynos
        counts = self._formation().items()
        self.dynos = [self._start(f"{kind}.{n}", kind) for kind, count in counts for n in range(1, count + 1)]
        if self.plan.preboot:
            self._wait_until_up()
        self._route()
        self._stop(old)
        if not self.plan.preboot:
            self._wait_until_up()

    def look(self) -> None:
        """Start dynos again that have crashed, and tell of those that take too much memory: call it now and then."""
        for dyno in self.dynos:
            if dyno.state in ("crashed", "complete"):
                self._start_again(dyno)
        if time.monotonic() > self._sampled + SAMPLE_SECONDS:
            self._sampled = time.monotonic()
            for dyno in self.dynos:
                warn_of_memory(dyno, self._log)

    def _start_again(self, dyno: Dyno) -> None:
        if time.monotonic() < dyno.started + CALM_SECONDS:
            return
        self._log(f"heroku[{dyno.name}]", "State changed from up to crashed")
        dyno.wait()
        again = self._start(dyno.name, dyno.name.partition(".")[0])
        self.dynos = [again if it is dyno else it for it in self.dynos]
        self._route()

    def _route(self) -> None:
        self.router.route(self._web())

    def _web(self) -> list[Dyno]:
        return [dyno for dyno in self.dynos if dyno.name.startswith("web.")]

    def _wait_until_up(self) -> None:
        for dyno in self._web():
            dyno.wait_until_up()

    def _formation(self) -> dict[str, int]:
        shipped = {kind: entry["quantity"] for kind, entry in MANIFEST["formation"].items()}
        return {**shipped, **self.plan.formation}

    @property
    def _slug(self) -> Path:
        return self._directory / f"slug{self.version}"

    def _start(self, name: str, kind: str) -> Dyno:
        directory = self._directory / "dynos" / f"{name}-{secrets.token_hex(4)}"
        dyno = Dyno(name, PROCFILE[kind], self._slug, directory=directory, config=self.config, log=self._log)
        self._started.append(dyno)
        return dyno

    def _stop(self, dynos: Sequence[Dyno]) -> None:
        for dyno in dynos:
            dyno.terminate()
        for dyno in dynos:
            dyno.wait()

    # ---- what is seen of it

    def _say(self, what: str) -> None:
        self._log("heroku[app]", what)

    def status(self) -> list[str]:
        """One line for each part."""
        lines = [f"v{self.version}, {self.router.active} requests in the router"]
        for dyno in self.dynos:
            pss, rss = dyno.memory()
            lines.append(
                f"{dyno.name}: {dyno.state}, {len(dyno.processes())} processes,"
                f" {pss:.0f} MB of {MEMORY_MB} ({rss:.0f} with shared pages counted in each process)"
            )
        return lines + [f"{name}: {word_for(service)}" for name, service in self.services.items()]


def config_of_manifest() -> dict[str, str]:
    """Return the config vars that app.json asks for; secrets are made up."""
    return {
        name: secrets.token_hex(32) if entry.get("generator") == "secret" else entry["value"]
        for name, entry in MANIFEST["env"].items()
    }


def build_slug(target: Path) -> None:
    """Copy what git tracks, as it is in the working tree, without what `.slugignore` names; compile it."""
    command = [program("git", "git"), "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert listed.returncode == 0, "git lists no files: this has to be a checkout."
    ignored = {line for line in (ROOT / ".slugignore").read_text().splitlines() if not line.startswith("#")}
    for name in listed.stdout.decode().split("\0")[:-1]:
        if ignored.isdisjoint(Path(name).parts[:1]):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # deleted, and not committed yet
                shutil.copy(ROOT / name, target / name, follow_symlinks=False)
    compileall.compile_dir(target / "src", quiet=1)  # once, instead of at each start


def warn_of_memory(dyno: Dyno, log: Log) -> None:
    used = dyno.memory().pss
    if used > MEMORY_MB:
        code = "R15 (Memory quota vastly exceeded)" if used > 2 * MEMORY_MB else "R14 (Memory quota exceeded)"
        log(f"heroku[{dyno.name}]", f"Process running mem={used:.0f}M({used / MEMORY_MB:.1%}). Error {code}")


def word_for(service: Service) -> str:
    """Return what a service does, and where."""
    if not service.running:
        return "killed"
    state = psutil.Process(service.pid).status()
    return f"{'frozen' if state == psutil.STATUS_STOPPED else 'running'} on port {service.port}"
