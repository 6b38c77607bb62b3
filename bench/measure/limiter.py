"""What capped a run: the first thing that was at its limit, or nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping

SERVER_FULL, CLIENT_FULL = 0.95, 0.80
KEEPS_UP = 0.99


def limiter(
    figures: Mapping[str, float], loop_lag_ms: float = 0.0, publisher_late_ms: float = 0.0
) -> str | None:
    """The name of the limit, None when there was headroom.

    The load client comes first: what it could not take says nothing about the server.
    """
    if figures.get("client_share", 0.0) > CLIENT_FULL:
        return "load client"
    if figures.get("server_share", 0.0) > SERVER_FULL:
        return "server CPU"
    if figures.get("publisher_share", 0.0) > CLIENT_FULL:
        return "publisher"
    if figures.get("delivered_share", 1.0) < KEEPS_UP:
        if publisher_late_ms > 20:
            return "publisher"
        return "server, not by CPU"
    return "load client's loop" if loop_lag_ms > 250 else None
