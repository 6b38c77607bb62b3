"""bench/measure/limiter.py: the first thing at its limit, the load client before the server."""

from __future__ import annotations

import pytest

from bench.measure.limiter import limiter


@pytest.mark.parametrize(
    ("figures", "lag", "late", "name"),
    [
        ({"server_share": 0.5, "client_share": 0.5, "delivered_share": 1.0}, 1, 1, None),
        ({"server_share": 0.96, "client_share": 0.5}, 1, 1, "server CPU"),
        ({"server_share": 0.96, "client_share": 0.85}, 1, 1, "load client"),
        ({"server_share": 0.5, "delivered_share": 0.9}, 1, 1, "server, not by CPU"),
        ({"server_share": 0.5, "delivered_share": 0.9}, 1, 50, "publisher"),
        ({"server_share": 0.5}, 300, 1, "load client's loop"),
        ({"server_share": 0.5, "delivered_share": 0.9}, 300, 1, "load client's loop"),
        ({"server_share": 0.96, "delivered_share": 0.9}, 300, 50, "load client's loop"),
        ({"server_share": 0.5, "client_share": 0.85}, 300, 1, "load client"),
        ({}, 0, 0, None),
    ],
)
def test_what_capped_it(figures: dict[str, float], lag: float, late: float, name: str | None) -> None:
    assert limiter(figures, lag, late) == name
