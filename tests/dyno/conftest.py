"""What the tests of the dyno share: a certificate, an app that is deployed once, and an end to waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.conftest import time_limit
from tests.live.wire import Wire
from tests.services.certificates import Certificate, self_signed

__all__ = ["time_limit"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(autouse=True)
def no_socket_left() -> Iterator[None]:
    yield
    Wire.close_all()
