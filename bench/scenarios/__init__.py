"""What can be measured: a scenario is a plan, what makes runs of one row by it, and the figures that count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.result import Run
from bench.scenarios import drain, fanout, idle, outage, publish, reconnect, slow, soak, storm
from bench.serving.target import Target
from bench.stage import Setup

Prepare = Callable[[Any, Sequence[Target]], tuple[Any, str]]


def _as_it_is(plan: Any, targets: Sequence[Target]) -> tuple[Any, str]:
    return plan, ""


class Scenario(NamedTuple):
    """`compared` are the figures whose ratios are told, the first one leading. `clients` names the plan's field
    that says how many connections there will be. `prepare` is asked before anything is started: it answers the plan for
    these targets and a sentence worth knowing, or raises Environment where one of them cannot be measured so."""

    name: str
    says: str
    plan: type[Any]
    measure: Callable[[Any, Setup], list[Run]]
    compared: tuple[str, ...]
    clients: str = "clients"
    pairs: int = 3
    example: str = ""  # what its example needs beyond the defaults
    prepare: Prepare = _as_it_is

    def connections(self, plan: Any) -> int:
        """How many connections a plan opens at most."""
        value = getattr(plan, self.clients, 1)
        return int(max(value) if isinstance(value, tuple) else value)


FANOUT = ("us_per_delivery", "us_per_write", "p50_ms", "p99_ms", "bytes_per_delivery")
ALL = (
    Scenario(
        "fanout",
        "every update to every client, at one rate or a sweep",
        fanout.Fanout,
        fanout.measure,
        FANOUT,
        prepare=fanout.prepared,
    ),
    Scenario(
        "burst",
        "many updates in one publish",
        fanout.Burst,
        fanout.measure,
        ("us_per_delivery",),
        prepare=fanout.prepared,
    ),
    Scenario(
        "idle",
        "memory per connection as a slope, and the CPU of heartbeats",
        idle.Idle,
        idle.measure,
        ("kb_per_connection", "uss_kb_per_connection", "idle_us_per_connection_second"),
        clients="counts",
        pairs=2,
    ),
    Scenario(
        "storm",
        "connects a second, each to its first update",
        storm.Storm,
        storm.measure,
        (
            *("us_per_connect", "connects_per_second", "p50_ms", "p99_ms"),
            *("us_per_subscription", "subscriptions_per_second", "confirmed_p50_ms", "confirmed_p99_ms"),
        ),
        prepare=storm.prepared,
    ),
    Scenario(
        "reconnect",
        "all lose their connection at once: who comes back, when, with what lost",
        reconnect.Reconnect,
        reconnect.measure,
        ("return_p50_ms", "return_p99_ms", "lost_per_client"),
    ),
    Scenario(
        "slow",
        "a client that stops reading among healthy ones",
        slow.Slow,
        slow.measure,
        ("healthy_p99_ms", "memory_growth_kb"),
    ),
    Scenario(
        "outage",
        "a service, the broker or the database, is killed and comes back",
        outage.Outage,
        outage.measure,
        ("stalled_seconds", "recovered_seconds", "lost_per_client"),
        pairs=2,
        example=" --target app-redis-postgres",
        prepare=outage.prepared,
    ),
    Scenario(
        "drain",
        "a deploy under load: SIGTERM, and the next start",
        drain.Drain,
        drain.measure,
        ("exit_seconds", "goodbye_share", "returned_share", "lost_per_client"),
        pairs=2,
        prepare=drain.prepared,
    ),
    Scenario(
        "soak",
        "a fan-out for long: does anything drift",
        soak.Soak,
        soak.measure,
        FANOUT,
        pairs=1,
        prepare=soak.prepared,
    ),
    Scenario(
        "publish",
        "a lone publish against one fsync, and acknowledged publishes a second",
        publish.Publish,
        publish.measure,
        ("beyond_fsync_ms", "publishes_per_second", "us_per_publish"),
        clients="",
        pairs=1,
        prepare=publish.prepared,
    ),
)
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in ALL}
