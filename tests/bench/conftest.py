"""What the tests of the bench share: looking at the machine takes no time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench import stage
from bench.measure import doctor, noise

pytest.register_assert_rewrite("tests.bench.load.peer", "tests.bench.serving.programs")


@pytest.fixture(scope="session", autouse=True)
def brief_readings() -> Iterator[None]:
    """Milliseconds in place of a second a core, and of 0.3 s before memory is weighed: no test believes the values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise, "SPINS", 120)
        patch.setattr(noise, "NAPS", 5)
        patch.setattr(doctor, "LOOK_SECONDS", 0.01)
        patch.setattr(stage, "SETTLE_SECONDS", 0.02)
        yield
