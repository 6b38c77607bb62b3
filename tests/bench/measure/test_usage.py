"""bench/measure/usage.py: who used the two cores between two moments, and what is a neighbour's."""

from __future__ import annotations

import json

import pytest

from bench.measure import usage
from bench.measure.procfs import CoreTime, Usage
from bench.measure.usage import Moment

SECOND = 1_000_000_000


def moment(at: int, server: int, bench: int, client_core: int, **services: int) -> Moment:
    """All in ns; the server's core does what the server does."""
    cores = {"server": CoreTime(server, 0, 0), "client": CoreTime(client_core, 0, 0)}
    return Moment(Usage(at, server, 0, 0, 0, 0), bench, cores, services)


def test_a_service_is_no_neighbour_and_no_part_of_the_server() -> None:
    before = moment(0, 0, 0, 0, redis=5_000_000, postgres=7_000_000)
    after = moment(SECOND, 400_000_000, 300_000_000, 550_000_000, redis=55_000_000, postgres=107_000_000)
    used = usage.between(before, after)
    assert used.foreign == {"server": 0.0, "client": pytest.approx(0.1)}
    assert used.services == {"redis": 50_000_000, "postgres": 100_000_000}
    assert used.share == pytest.approx(0.4) and used.bench_share == pytest.approx(0.3)
    found = used.per(1000)
    assert (found["us"], found["redis_us"], found["postgres_us"]) == (400.0, 50.0, 100.0)
    assert json.loads(json.dumps(used.to_json()))["services"] == {
        "redis": 50_000_000,
        "postgres": 100_000_000,
    }


def test_a_service_that_was_started_again_counts_from_its_start() -> None:
    before, after = moment(0, 0, 0, 0, redis=90_000_000), moment(SECOND, 0, 0, 0, redis=20_000_000)
    assert usage.between(before, after).services == {"redis": 0}


def test_a_target_without_services_has_none_beside_it() -> None:
    used = usage.between(moment(0, 0, 0, 0), moment(SECOND, 1000, 0, 0))
    assert used.per(1).keys() == {"us", "user_us", "system_us", "softirq_us"}
