"""Some seconds of chaos, with PostgreSQL, Redis and three servers: nothing is lost, doubled or out of order."""

from __future__ import annotations

import pytest

from tests.chaos.run import Plan, run
from tests.services.process import service_directory


@pytest.mark.slow
@pytest.mark.live
def test_nothing_is_lost_doubled_or_disordered() -> None:
    with service_directory() as directory:
        outcome = run(Plan(seed=4, seconds=15.0, clients=4), directory)
    assert outcome.wrong == [], outcome.report
