"""What every test file shares: asyncio as the one event loop of anyio's plugin, and readable asserts in helpers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

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


# The default deadline is 200 ms of wall-clock time, which any generated example misses on a machine that is busy.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# A shell that runs the tests in the background has them ignore Ctrl-C, and every process of theirs with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def every_core() -> Iterator[None]:
    """A bench that was measured within a test moved this process to one core; the next test has all of them again."""
    allowed = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, allowed)
