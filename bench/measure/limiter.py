"""What capped a run: the first thing that was at its limit, or nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bench.measure.validity import CLIENT_FULL, LATE_PUBLISH_MS, LOOP_LAG_MS

SERVER_FULL, KEEPS_UP = 0.95, 0.99


def limiter(
    figures: Mapping[str, float], loop_lag_ms: float = 0.0, publisher_late_ms: float = 0.0
) -> str | None:
    """The name of the limit, None when there was headroom.

    The load client comes first: what it could not take, or took late, says nothing about the server.
    """
    delivers = figures.get("delivered_share", 1.0) >= KEEPS_UP
    limits = (
        ("load client", figures.get("client_share", 0.0) > CLIENT_FULL),
        ("load client's loop", loop_lag_ms > LOOP_LAG_MS),
        ("server CPU", figures.get("server_share", 0.0) > SERVER_FULL),
        ("publisher", figures.get("publisher_share", 0.0) > CLIENT_FULL),
        ("publisher", not delivers and publisher_late_ms > LATE_PUBLISH_MS),
        ("server, not by CPU", not delivers),
    )
    return next((name for name, reached in limits if reached), None)
