"""Standing: where a (re)connecting client stands on the log, decided by one rule for both transports. Pure."""

from __future__ import annotations

from typing import NamedTuple

from .types import Kind, Position, Verdict


class Held(NamedTuple):
    """What there is of a stream: its ids `oldest_id..head`, in this epoch."""

    kind: Kind
    epoch: str
    oldest_id: int
    head: int

    @property
    def follow(self) -> int:
        """The cursor of a client without a usable position: before the newest state, or at the end of a log."""
        return self.head - 1 if self.kind is Kind.STATE and self.oldest_id <= self.head else self.head


class Standing(NamedTuple):
    """The verdict, the cursor to go on from, and what is known of the way there.

    `replaying` updates follow at once; `missed` never will (None when nobody can know how many).
    """

    verdict: Verdict
    cursor: int
    replaying: int
    missed: int | None = None


def stand(position: Position | None, held: Held, max_replay: int) -> Standing:
    """The one rule (design §1): a known position that is still held is replayed, anything else starts anew."""
    if position is None:
        return _start(Verdict.FRESH, held, None)
    if position.epoch != held.epoch or position.id > held.head:
        return _start(Verdict.GAP, held, None)
    if position.id < held.oldest_id - 1 or held.head - position.id > max_replay:
        return _start(Verdict.GAP, held, held.follow - position.id)
    return Standing(Verdict.RECOVERED, position.id, held.head - position.id)


def _start(verdict: Verdict, held: Held, missed: int | None) -> Standing:
    return Standing(verdict, held.follow, held.head - held.follow, missed)
