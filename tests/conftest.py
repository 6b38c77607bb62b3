"""What every test file shares: asyncio as the one event loop of anyio's plugin, and readable asserts in helpers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite(
    "tests.live.server",
    "tests.live.wire",
    "tests.live.sse",
    "tests.live.cable",
    "tests.live.followers",
    "tests.live.publishing",
    "tests.live.stock",
)

# Behind that: what is imported already cannot be rewritten.
from tests.services.postgres import PostgresServer  # noqa: E402
from tests.services.process import service_directory  # noqa: E402
from tests.services.redis import RedisServer  # noqa: E402

# The default deadline is 200 ms of wall-clock time, which any generated example misses on a machine that is busy.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# A shell that runs the tests in the background has them ignore Ctrl-C, and every process of theirs with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One cluster for the whole run: each test makes a database of its own in it, and none stops it."""
    with service_directory() as directory:
        server = PostgresServer(directory)
        server.start()
        yield server
        server.kill()


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the whole run: each test uses channels of its own, and none stops it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(server.cleared_database())


@pytest.fixture(autouse=True)
def every_core() -> Iterator[None]:
    """A bench that was measured within a test moved this process to one core; the next test has all of them again."""
    allowed = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, allowed)
