"""The figures that reports compare: their names in plain words, their units, which way is better. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Better = Literal["lower", "higher"]

MICROSECONDS = "\N{MICRO SIGN}s"
SHARE = "%"


class Figure(NamedTuple):
    """One figure of a run. A figure in % is kept as a share (1 is shown as 100 %); `digits` are significant ones."""

    name: str
    title: str
    unit: str
    better: Better = "lower"
    digits: int = 3

    def text(self, value: float) -> str:
        """`value` with its unit: "7.12 \N{MICRO SIGN}s", "1,290 \N{MICRO SIGN}s", "99.5 %"."""
        if self.unit == SHARE:
            return percent(value, self.digits)
        return with_unit(number(value, self.digits), self.unit)


def with_unit(text: str, unit: str) -> str:
    """ "12.3 ms", and "640/s" for what has no unit but a time."""
    return f"{text}{unit}" if unit.startswith("/") else f"{text} {unit}".rstrip()


def number(value: float, digits: int = 3) -> str:
    """`value` to `digits` significant digits, thousands apart; what stands before the point is never rounded away."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    whole = math.floor(math.log10(abs(rounded))) + 1
    if whole < -4:
        return f"{value:.{digits - 1}e}"
    text = f"{value:,.{max(0, digits - whole)}f}"
    return text.rstrip("0").rstrip(".") if value == int(value) and "." in text else text


def percent(share: float, digits: int = 3) -> str:
    """A share in per cent. What is short of everything is never shown as 100 %."""
    text = number(share * 100, digits)
    if share < 1 and text.startswith("100"):
        return f">{100 - 10.0 ** (2 - digits):.{digits - 2}f} %"
    return f"{text} %"


_ALL = (
    Figure("us_per_delivery", "CPU per delivery", MICROSECONDS),
    Figure("us_per_write", "CPU per write", MICROSECONDS),
    Figure("user_us", "user CPU per delivery", MICROSECONDS),
    Figure("system_us", "system CPU per delivery", MICROSECONDS),
    Figure("softirq_us", "softirq per delivery", MICROSECONDS),
    # Of services, which run beside the server and are no part of it.
    Figure("redis_us", "Redis' CPU per delivery", MICROSECONDS),
    Figure("postgres_us", "PostgreSQL's CPU per delivery", MICROSECONDS),
    Figure("p50_ms", "latency p50", "ms"),
    Figure("p90_ms", "latency p90", "ms"),
    Figure("p99_ms", "latency p99", "ms"),
    Figure("p999_ms", "latency p99.9", "ms"),
    Figure("max_ms", "latency max", "ms"),
    Figure("bytes_per_delivery", "bytes per delivery", "bytes"),
    Figure("pings_per_delivery", "pings per delivery", ""),
    Figure("offered_per_second", "deliveries offered", "/s", "higher"),
    Figure("delivered_per_second", "deliveries made", "/s", "higher"),
    Figure("delivered_share", "delivered of offered", SHARE, "higher", 4),
    Figure("server_share", "server's core", SHARE),
    Figure("client_share", "load client's core", SHARE),
    Figure("lost", "updates lost", ""),
    Figure("kb_per_connection", "memory per connection", "KiB"),
    Figure("uss_kb_per_connection", "memory per connection, USS", "KiB"),
    Figure("kernel_kb_per_connection", "kernel memory per connection", "KiB"),
    Figure("idle_us_per_connection_second", "idle CPU per connection", f"{MICROSECONDS}/s"),
    Figure("base_kb", "memory with no connection", "KiB"),
    Figure("connects_per_second", "clients taken in", "/s", "higher"),
    Figure("us_per_connect", "CPU per connect", MICROSECONDS),
    # Of storms that end at the confirmation, because a server greets nobody: not to be held against the two above.
    Figure("subscriptions_per_second", "clients confirmed", "/s", "higher"),
    Figure("us_per_subscription", "CPU per confirmed client", MICROSECONDS),
    Figure("confirmed_p50_ms", "confirmed p50", "ms"),
    Figure("confirmed_p99_ms", "confirmed p99", "ms"),
    Figure("first_byte_p50_ms", "first byte p50", "ms"),
    Figure("first_byte_p99_ms", "first byte p99", "ms"),
    Figure("returned_share", "clients that came back", SHARE, "higher", 4),
    Figure("return_p50_ms", "caught up again p50", "ms"),
    Figure("return_p99_ms", "caught up again p99", "ms"),
    Figure("recovered_share", "clients that resumed", SHARE, "higher", 4),
    Figure("lost_per_client", "lost per client", "updates"),
    Figure("healthy_p99_ms", "p99 beside a stuck client", "ms"),
    Figure("healthy_p99_before_ms", "p99 before it was stuck", "ms"),
    Figure("memory_growth_kb", "growth of memory", "KiB"),
    Figure("memory_tail_kb", "growth of memory in the last third", "KiB"),
    Figure("stuck_seconds", "until the stuck one was cut", "s"),
    Figure("stalled_seconds", "nothing delivered for", "s"),
    Figure("recovered_seconds", "until deliveries went on", "s"),
    # Of an outage: by the moment at which an update should have been sent.
    Figure("before_p50_ms", "latency p50 before the outage", "ms"),
    Figure("before_max_ms", "latency max before the outage", "ms"),
    Figure("away_p50_ms", "latency p50 during the outage", "ms"),
    Figure("away_max_ms", "latency max during the outage", "ms"),
    Figure("after_p50_ms", "latency p50 after the outage", "ms"),
    Figure("after_max_ms", "latency max after the outage", "ms"),
    Figure("unready_seconds", "not ready for", "s"),
    Figure("reconnects", "connections made anew", ""),
    Figure("exit_seconds", "until the server had ended", "s"),
    Figure("exit_status", "exit status", ""),
    Figure("goodbye_share", "clients told before the end", SHARE, "higher", 4),
    # Higher is better: clients that are sent away one after the other do not all come back at once.
    Figure("goodbye_spread_seconds", "first to last goodbye", "s", "higher"),
    Figure("pss_kb_per_minute", "drift of memory", "KiB/min"),
    Figure("p99_drift_ms_per_minute", "drift of p99", "ms/min"),
    Figure("fsync_p50_ms", "one fsync p50", "ms"),
    Figure("beyond_fsync_ms", "publish to delivery, beyond fsync", "ms"),
    Figure("us_per_publish", "CPU per publish", MICROSECONDS),
    Figure("us_per_crowded_publish", "CPU per publish in a crowd", MICROSECONDS),
    Figure("publishes_per_second", "publishes acknowledged", "/s", "higher"),
    Figure("publisher_share", "publisher's core", SHARE),
    Figure("idle_us_per_second", "idle CPU", f"{MICROSECONDS}/s"),
)

FIGURES: Mapping[str, Figure] = MappingProxyType({figure.name: figure for figure in _ALL})


def of(name: str) -> Figure:
    """The figure of that name; one that is not registered shows its bare name, without a unit."""
    return FIGURES.get(name) or Figure(name, name, "")
