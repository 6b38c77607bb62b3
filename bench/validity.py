"""What makes a run worthless, or a server wrong. Pure: facts in, flags with a reason out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bench.errors import EXIT_LOSS, EXIT_OK, EXIT_VOID
from bench.ledger import Account

CLIENT_FULL = 0.80
FOREIGN_NOISY, FOREIGN_VOID = 0.05, 0.30
LATE_PUBLISH_MS = 20.0
LOOP_LAG_MS = 250.0


class Flag(NamedTuple):
    """`severity` is "loss" (the server is wrong), "void" (the number means nothing) or "warn"."""

    severity: str
    code: str
    message: str


def judge(load: dict[str, Any], published: dict[str, Any], foreign: Mapping[str, float]) -> list[Flag]:
    """All flags of one run: `load` as of LoadClients.finish, `published` as of Published.summary, `foreign` the
    share of each pinned core that neither the server nor the bench used."""
    return [*_losses(load, published), *_voids(load, published), *neighbours(foreign)]


def _losses(load: dict[str, Any], published: dict[str, Any]) -> Iterable[Flag]:
    account = Account(**load["account"])
    if not account.clean:
        what = f"{account.lost} lost, {account.doubled} doubled, {account.disordered} disordered"
        yield Flag("loss", "sequence", f"{what} of {account.expected}")
    if load["closed"]:
        yield Flag(
            "loss", "closed", f"the server closed {load['closed']} connections: {list(load['errors'])[:2]}"
        )
    if published["refused"]:
        yield Flag("loss", "refused", f"{published['refused']} publishes were not answered with 201")


def _voids(load: dict[str, Any], published: dict[str, Any]) -> Iterable[Flag]:
    if load["latency"]["negative"] or load["uncorrected"]["negative"]:
        yield Flag("void", "clock", "an update was received before it was sent")
    if load["cpu_share"] > CLIENT_FULL:
        yield Flag(
            "void",
            "client",
            f"the load client used {load['cpu_share']:.0%} of its core (limit {CLIENT_FULL:.0%})",
        )
    if load["loop_lag"]["p99"] > LOOP_LAG_MS:
        yield Flag("void", "loop", f"the load client's loop lagged {load['loop_lag']['p99']:.0f} ms at p99")
    late = published["own_delay"]["p99"]
    if late > LATE_PUBLISH_MS:
        yield Flag("void", "publisher", f"the publisher itself was {late:.0f} ms late at p99")


def neighbours(foreign: Mapping[str, float]) -> Iterable[Flag]:
    """Flags for cores that were not ours alone."""
    for core, share in foreign.items():
        if share > FOREIGN_VOID:
            yield Flag(
                "void", "neighbour", f"others used {share:.0%} of the {core} core: stop them and run again"
            )
        elif share > FOREIGN_NOISY:
            yield Flag("warn", "neighbour", f"others used {share:.0%} of the {core} core")


def exit_code(flags: Iterable[Flag]) -> int:
    """1 when a server was wrong, else 2 when a run is void, else 0."""
    severities = {flag.severity for flag in flags}
    if "loss" in severities:
        return EXIT_LOSS
    return EXIT_VOID if "void" in severities else EXIT_OK
