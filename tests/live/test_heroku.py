"""The files that Heroku reads: the Procfile's processes, with the environment that Heroku sets, on TLS services."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from dashboard_rt.settings import DASHBOARD_STREAM, described
from tests.live.followers import TRANSPORTS, follow
from tests.live.server import FORBIDDEN, KEPT, die_with_parent, free_port
from tests.live.wire import Address, ask, until
from tests.services.certificates import Certificate, self_signed
from tests.services.postgres import QUICK, PostgresServer
from tests.services.process import service_directory
from tests.services.redis import RedisServer

ROOT = Path(__file__).resolve().parents[2]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
APP = json.loads((ROOT / "app.json").read_text())
SERVE_LIMIT = 30.0  # seconds


class Dyno:
    """One process type of the Procfile, as Heroku runs it: a shell, whose processes all get the signals."""

    def __init__(self, kind: str, env: Mapping[str, str], log: Path) -> None:
        self.log = log
        self.port = free_port()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "DYNO": f"{kind}.1", "PORT": str(self.port)}
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*die_with_parent(), "bash", "-c", PROCFILE[kind]],
                cwd=ROOT,
                env={**kept, **env, **own},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def processes(self) -> list[psutil.Process]:
        shell = psutil.Process(self.process.pid)
        return [shell, *shell.children(recursive=True)]

    def terminate(self) -> None:
        """SIGTERM to all of its processes at once."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.process.poll() is None:
            for process in self.processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def environment(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The config vars of an app made from app.json; the add-ons speak TLS with a certificate of their own."""
    redis = RedisServer(tmp_path_factory.mktemp("redis"), tls=certificate)
    with service_directory() as directory:
        postgres = PostgresServer(directory, *QUICK, tls=certificate)
        try:
            redis.start()
            postgres.start()
            variables = {name: entry.get("value") for name, entry in APP["env"].items()}
            secret = {name: secrets.token_hex(16) for name, value in variables.items() if value is None}
            given = {name: value for name, value in variables.items() if value is not None}
            yield {
                **given,
                **secret,
                "DATABASE_URL": postgres.url(postgres.new_database()).replace("postgresql:", "postgres:"),
                "REDIS_URL": redis.url,
                "WEB_CONCURRENCY": "2",
                "WEB_CONCURRENCY_SET_BY": "heroku/python",
                "FORWARDED_ALLOW_IPS": "*",
                "DRAIN_SECONDS": "1",
            }
        finally:
            redis.kill()
            postgres.kill()


def test_the_files_name_settings_that_exist() -> None:
    names = {name for _, name, _ in described()}
    assert set(APP["env"]) <= names
    words = [word.partition("=")[0] for line in PROCFILE.values() for word in line.split() if "=" in word]
    assert set(words) <= names | {"PYTHONPATH"}
    assert set(PROCFILE) == {"web", "worker", "release"} >= set(APP["formation"])


@pytest.mark.slow
@pytest.mark.limit(120)
def test_release_web_and_worker(environment: dict[str, str], tmp_path: Path) -> None:
    """Both transports are served by two processes, a worker's updates arrive, and SIGTERM to all ends all with 0."""
    assert shutil.which("bash"), "Heroku's shell"
    release = Dyno("release", environment, tmp_path / "release.log")
    assert release.process.wait(SERVE_LIMIT) == 0, release.output()
    dynos = [
        Dyno(kind, {**environment, "JOBS": "off"}, tmp_path / f"{kind}.log") for kind in ("web", "worker")
    ]
    web = dynos[0]
    address = Address("127.0.0.1", web.port)
    try:
        until(lambda: ready(address), "the web dyno is ready", SERVE_LIMIT)
        clients = [follow(transport, address, DASHBOARD_STREAM) for transport in TRANSPORTS]
        bearer = [("authorization", f"Bearer {environment['PUBLISH_TOKEN']}")]
        first = ask(address, "POST", f"/streams/{DASHBOARD_STREAM}", bearer, b'{"n": "published"}')
        assert first.status == 201, first
        for client in clients:
            while client.next().get("n") != "published":
                pass  # the worker publishes too
            assert "metrics" in client.next(), "an update of the worker"
        for dyno in dynos:
            dyno.terminate()
        for client in clients:
            assert client.goodbye().reason == "server_restart"
        for dyno in dynos:
            assert dyno.process.wait(SERVE_LIMIT) == 0, dyno.output()
            for phrase in FORBIDDEN:
                assert phrase not in dyno.output()
    finally:
        for dyno in dynos:
            dyno.kill()


def ready(address: Address) -> bool:
    try:
        return ask(address, "GET", "/ready").status == 200
    except OSError:
        return False
