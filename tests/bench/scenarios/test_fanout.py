"""bench/scenarios/fanout.py without a server: CPU per write counts pings beside deliveries."""

from __future__ import annotations

import pytest

from bench.measure.procfs import Usage
from bench.measure.usage import Used
from bench.scenarios.fanout import per_write

USED = Used(Usage(1_000_000_000, 120_000_000, 40_000_000, 80_000_000, 0, 0), {}, {}, {})


@pytest.mark.parametrize(
    ("measured", "pings", "us", "share"),
    [(12_000, 0, 10.0, 0.0), (12_000, 4_000, 7.5, 1 / 3), (0, 0, 120_000.0, 0.0)],
)
def test_cpu_per_write(measured: int, pings: int, us: float, share: float) -> None:
    found = per_write({"measured": measured, "pings": pings}, USED)
    assert found == {"us_per_write": pytest.approx(us), "pings_per_delivery": pytest.approx(share)}
