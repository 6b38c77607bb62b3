"""What every test file shares: asyncio as the one event loop of anyio's plugin, and readable asserts in helpers."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "tests.live.server",
    "tests.live.wire",
    "tests.live.sse",
    "tests.live.cable",
    "tests.live.followers",
    "tests.live.publishing",
    "tests.live.stock",
)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
