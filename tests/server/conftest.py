"""What the tests of the server share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail when anything is logged: a stranger must not be able to fill a log. asyncio's own lines do not count."""
    with caplog.at_level(logging.INFO):
        yield
    assert [it.getMessage() for it in caplog.get_records("call") if it.name != "asyncio"] == []
