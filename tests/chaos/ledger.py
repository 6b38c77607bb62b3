"""The ledger: what was acknowledged, what each client saw, and whether the one agrees with the other.

Each update carries a number of its own. The log, read at the end from its beginning, is the truth that all is
compared with: a number that was acknowledged is in it once and at its position, and each client has seen all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Seen = tuple[int, int]  # the id and the number of an update


@dataclass
class ClientRecord:
    """What one client saw. `skips`: stretches of ids (from behind, up to) that it was told it had missed."""

    name: str
    start: int = 0
    seen: list[Seen] = field(default_factory=list)
    skips: list[tuple[int, int]] = field(default_factory=list)
    connections: int = 0

    def expected(self, log: Sequence[Seen]) -> list[Seen]:
        """What it should have seen of the log: all behind its start that it was not told to be missing."""
        return [
            (id_, n)
            for id_, n in log
            if id_ > self.start and not any(low < id_ <= high for low, high in self.skips)
        ]


@dataclass
class Ledger:
    """`acknowledged`: position ids by number, of updates that a server has answered 201 for."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    unanswered: Counter[str] = field(
        default_factory=Counter
    )  # answers that acknowledged nothing, by their kind
    clients: list[ClientRecord] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    raw_sent: int = 0
    raw_seen: list[int] = field(
        default_factory=list
    )  # the numbers of what came from the channel, as in the log

    def faults_found(self, log: Sequence[Seen]) -> list[str]:
        """Compare everything with the log; what is wrong, in sentences."""
        compared = (line for client in self.clients for line in compare(client, log))
        return [*self._in_log(log), *self._in_raw(), *compared]

    def _in_log(self, log: Sequence[Seen]) -> Iterable[str]:
        if [id_ for id_, _ in log] != list(range(1, len(log) + 1)):
            yield "DISORDERED: the ids of the log are not 1, 2, 3 ..."
        for n, times in Counter(n for _, n in log).items():
            if times > 1:
                yield f"DOUBLED: number {n} is in the log {times} times"
        ids = {n: id_ for id_, n in log}
        for n, id_ in self.acknowledged.items():
            if ids.get(n) != id_:
                yield f"LOST: number {n} was acknowledged at {id_}; the log has it at {ids.get(n)}"

    def _in_raw(self) -> Iterable[str]:
        """Raw messages have no ids: they may be missed while nobody listens, but not come twice or out of order."""
        if self.raw_seen != sorted(self.raw_seen):
            yield "DISORDERED: messages of the channel are in the log in another order than they were published in"
        if doubled := len(self.raw_seen) - len(set(self.raw_seen)):
            yield f"DOUBLED: {doubled} messages of the channel are in the log twice"

    def report(self, log: Sequence[Seen]) -> str:
        """The figures, one a line."""
        injected = ", ".join(f"{name} {times}" for name, times in sorted(self.faults.items()))
        unanswered = ", ".join(f"{name} {times}" for name, times in sorted(self.unanswered.items()))
        rows = {
            "updates acknowledged": len(self.acknowledged),
            "updates in the log": len(log),
            "publishes not acknowledged": f"{self.unanswered.total()} ({unanswered})",
            "clients": len(self.clients),
            "connections": sum(client.connections for client in self.clients),
            "deliveries": sum(len(client.seen) for client in self.clients),
            "told gap": sum(len(client.skips) for client in self.clients),
            "raw messages": f"{self.raw_sent} published, {len(self.raw_seen)} in the log",
            "faults injected": f"{self.faults.total()} ({injected})",
        }
        return "\n".join(f"{name + ':':<28}{value}" for name, value in rows.items())


def compare(client: ClientRecord, log: Sequence[Seen]) -> Iterable[str]:
    """Compare what a client saw with the log."""
    expected = client.expected(log)
    if client.seen == expected:
        return
    counted = Counter(client.seen)
    doubled = [seen for seen, times in counted.items() if times > 1]
    lost = [seen for seen in expected if seen not in counted]
    if doubled:
        yield f"DOUBLED: {client.name} saw {len(doubled)} updates twice, such as {doubled[0]}"
    if lost:
        yield f"LOST: {client.name} never saw {len(lost)} updates, such as {lost[0]}"
    if not doubled and not lost:
        yield f"DISORDERED: {client.name} saw updates in another order, or others than the log has"
