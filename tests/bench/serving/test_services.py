"""services.py and the posters of server.py: Redis and PostgreSQL beside a server, how each target is published to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import Environment
from bench.load import payload
from bench.measure import procfs
from bench.serving import resp, target
from bench.serving.broadcast import CommandPublish, HttpPublish, RedisPublish
from bench.serving.net import HOST
from bench.serving.posting import CommandPoster, HttpPoster, RedisPoster
from bench.serving.program import alive
from bench.serving.server import Server
from bench.serving.services import DEBIAN, Postgres
from bench.serving.target_type import Target
from tests import needs
from tests.bench.serving.programs import ended, listens, until
from tests.services.process import service_directory

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[3]


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """Where runs have their directories; none may be left."""
    yield tmp_path
    assert not list(tmp_path.glob("bench-*"))


def with_redis() -> Target:
    return replace(target.floor(), services=("redis",), broadcast=RedisPublish("bench"))


def spoken(port: int, *words: bytes) -> bytes:
    """The one-line reply of Redis to a command."""
    with socket.create_connection((HOST, port), timeout=5) as sock:
        sock.sendall(resp.command(*words))
        reply = resp.read(sock.recv(100))
    assert reply is not None
    return reply[0]


@pytest.fixture
def shared_base() -> Iterator[Path]:
    """The same where another user can reach it, who PostgreSQL is when the tests are root."""
    with service_directory() as directory:
        directory.chmod(0o711)
        yield directory
        assert not list(directory.glob("bench-*"))


def with_postgres() -> Target:
    return replace(target.floor(), services=("postgres",))


def asked_of(url: str, statement: str) -> subprocess.CompletedProcess[str]:
    """What psql makes of a statement."""
    psql = [str(needs.postgres_binaries() / "psql"), url, "-XAtqc", statement]
    return subprocess.run(psql, capture_output=True, text=True, timeout=30, check=False)


def sql(service: Postgres, statement: str) -> str:
    """The answer of PostgreSQL to who has the URL that targets are given."""
    done = asked_of(service.values["postgres_url"], statement)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def of(server: Server) -> Postgres:
    service = server.services["postgres"]
    assert isinstance(service, Postgres)
    return service


def test_it_dies_with_the_bench_and_so_do_its_services() -> None:
    """Even when the bench is killed and can clean up nothing."""
    needs.redis_server()
    needs.postgres_binaries()
    script = (
        "import sys; from dataclasses import replace; from bench.serving import target\n"
        "from bench.serving.server import Server\n"
        "with Server(replace(target.floor(), services=('redis', 'postgres'))) as server:\n"
        " pids = [service.pid for service in server.services.values()]\n"
        " print(server.directory, server.pid, *pids, flush=True)\n sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as bench:
        assert bench.stdout is not None
        directory, *pids = bench.stdout.readline().decode().split()
        bench.send_signal(signal.SIGKILL)
    for pid in pids:
        ended(int(pid))
    shutil.rmtree(directory)


def test_redis_runs_beside_the_server_and_ends_with_it(base: Path) -> None:
    needs.redis_server()
    with Server(with_redis(), base=base) as server:
        service = server.services["redis"]
        assert spoken(service.port, b"PING") == b"PONG"
        assert spoken(service.port, b"DBSIZE") == b"0"
        assert service.values == {
            "redis_port": str(service.port),
            "redis_url": f"redis://127.0.0.1:{service.port}/0",
        }
        pid = service.pid
        assert pid != server.pid
    assert not alive(pid)


def test_redis_runs_on_the_core_that_it_is_given(base: Path) -> None:
    needs.redis_server()
    core = max(os.sched_getaffinity(0))
    with Server(with_redis(), base=base, service_core=core) as server:
        assert os.sched_getaffinity(server.services["redis"].pid) == {core}


def test_redis_is_killed_and_comes_back_empty_on_the_same_port(base: Path) -> None:
    needs.redis_server()
    with Server(with_redis(), base=base) as server:
        port = server.services["redis"].port
        assert spoken(port, b"SET", b"a", b"1") == b"OK"
        server.stop_service()
        assert not listens(port)
        with pytest.raises(Environment, match="redis-server is not running"):
            server.stop_service()
        server.start_service()
        assert server.services["redis"].port == port
        assert spoken(port, b"DBSIZE") == b"0"


def test_postgres_is_durable_behind_a_password_on_its_core_and_ends_with_the_server(
    shared_base: Path,
) -> None:
    needs.postgres_binaries()
    core = max(os.sched_getaffinity(0))
    with Server(with_postgres(), base=shared_base, service_core=core) as server:
        service = of(server)
        settings = "fsync", "synchronous_commit", "full_page_writes"
        assert [sql(service, f"SHOW {name}") for name in settings] == ["on"] * 3
        assert Path(sql(service, "SHOW data_directory")).is_relative_to(server.directory)
        processes = procfs.tree(service.pid)
        assert len(processes) > 3
        stranger = re.sub(r":\w+@", ":guess@", service.values["postgres_url"])
        assert "password authentication failed" in asked_of(stranger, "SELECT 1").stderr
        assert os.sched_getaffinity(service.pid) == {core}
    assert not any(map(alive, processes))


@contextmanager
def busy(service: Postgres) -> Iterator[None]:
    """A backend that computes, and so does not see that its postmaster has gone; for a minute at the most."""
    psql = [str(needs.postgres_binaries() / "psql"), service.values["postgres_url"], "-c"]
    with subprocess.Popen(
        [*psql, "DO $$ BEGIN LOOP END LOOP; END $$"],
        env={**os.environ, "PGOPTIONS": "-c statement_timeout=60s"},
        stderr=subprocess.DEVNULL,
    ):
        count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %'"
        until(lambda: sql(service, count) == "1", "a busy backend")
        yield


def test_postgres_is_killed_and_comes_back_with_what_was_committed(shared_base: Path) -> None:
    """All of it is killed: a backend that went on would keep the cluster from starting again."""
    needs.postgres_binaries()
    with Server(with_postgres(), base=shared_base) as server:
        service = of(server)
        sql(service, "CREATE TABLE kept AS SELECT 1 AS one")
        with busy(service):
            processes, url = procfs.tree(service.pid), service.values["postgres_url"]
            server.stop_service("postgres")
            for pid in processes:
                ended(pid)
        server.start_service("postgres")
        assert service.values["postgres_url"] == url
        assert sql(service, "SELECT one FROM kept") == "1"


def test_a_directory_that_postgres_cannot_reach_is_named(tmp_path: Path) -> None:
    needs.postgres_binaries()
    if os.getuid() != 0:
        pytest.skip("it runs as the user who made the directory")
    tmp_path.chmod(0o700)
    with (
        pytest.raises(Environment, match=r"no PostgreSQL .* in .*ermission denied.*: set TMPDIR to a folder"),
        Server(with_postgres(), base=tmp_path),
    ):
        pass


def test_a_postgres_that_is_not_on_the_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not list(DEBIAN.glob("*/bin/postgres")):
        pytest.skip("that is where Debian has it")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Postgres.need().met


def test_a_target_without_redis_has_none_to_stop(base: Path) -> None:
    with (
        Server(target.floor(), base=base) as server,
        pytest.raises(
            Environment, match="floor has no service 'redis' to lose: choose a target that has one"
        ),
    ):
        server.stop_service()


def test_redis_that_dies_is_told(base: Path) -> None:
    needs.redis_server()
    with Server(with_redis(), base=base) as server:
        os.kill(server.services["redis"].pid, signal.SIGKILL)
        until(lambda: server.died.startswith("redis ended by itself (-9): "), "word of its end")


def test_the_poster_is_the_one_that_the_target_names(base: Path) -> None:
    needs.redis_server()
    plan: list[tuple[Target, type]] = [
        (target.floor(), HttpPoster),
        (with_redis(), RedisPoster),
        (replace(target.floor(), broadcast=CommandPublish(("cat",))), CommandPoster),
    ]
    for one, kind in plan:
        with Server(one, base=base) as server, server.poster() as poster:
            assert isinstance(poster, kind)
            now = time.monotonic_ns()
            assert poster.post(payload.stamped(payload.update(1, now), now)) == 201


def test_the_words_of_a_publishing_command_are_filled_in(base: Path) -> None:
    command = CommandPublish(("sh", "-c", "echo {port} {kind}; cat >heard"))
    with Server(replace(target.floor(), broadcast=command), kind="state", base=base) as server:
        with server.poster() as poster:
            poster.post(b"1")
        assert (server.directory / "heard").read_text() == "1\n"
        assert (server.directory / "publisher.output").read_text() == f"{server.port} state\n"


def test_http_is_published_to_with_the_token_of_the_target(base: Path) -> None:
    refusing = replace(target.floor(), broadcast=HttpPublish(accepted=(200,)))
    with Server(refusing, base=base) as server, server.poster() as poster:
        assert poster.post(b"{}") == 201  # of the floor, which is not among what this target accepts
        assert server.died == ""
