"""Ledger: checks along one client's chain of positions that nothing is lost or doubled. Pure.

The rule it holds a server to (protocol §1): ids are contiguous per stream, a position means *everything up to
here was sent*, and a client that misses something is told `gap` first.
"""

from __future__ import annotations

from ..types import Position, Verdict


class Ledger:
    """The last position of one client and what was wrong on the way there.

    `lost` and `doubled` count updates; `missed` counts those that a `gap` announced (an announced loss is no
    fault); `unchecked` counts updates that carried no position (a cable client on the v1 protocol).
    """

    __slots__ = ("doubled", "lost", "missed", "position", "unchecked")

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        self.lost = self.doubled = self.missed = self.unchecked = 0

    def verdict(self, verdict: Verdict, position: Position | None, missed: int | None) -> str | None:
        """Take a verdict. `recovered` must go on from our own position; the others start anew."""
        if verdict is Verdict.RECOVERED and position is not None:
            return self.reached(position)
        self.missed += missed or 0
        self.position = position
        return None

    def reached(self, position: Position) -> str | None:
        """Everything up to `position` should have come by now; an old position is a server that went back."""
        if self.position is None:
            self.position = position
            return None
        if position.epoch != self.position.epoch:
            return self._foreign(position)
        missing = position.id - self.position.id
        if missing > 0:
            self.lost += missing
            fault = f"LOST {missing}: nothing came between {self.position} and {position}"
            self.position = position
            return fault
        return None

    def update(self, position: Position | None) -> str | None:
        """Take one update: None when it is the next one, else a remark that says what is wrong."""
        if position is None:
            self.unchecked += 1
            return None
        if self.position is None:
            self.position = position
            return None
        if position.epoch != self.position.epoch:
            return self._foreign(position)
        if position.id <= self.position.id:
            self.doubled += 1
            return f"DOUBLED: {position} came again (or late) after {self.position}"
        fault = self.reached(Position(position.epoch, position.id - 1))
        self.position = position
        return fault

    def _foreign(self, position: Position) -> str:
        self.lost += 1  # at least: how many went by before the epoch changed is not to be known
        fault = f"LOST at least 1: {position} is of another epoch than {self.position}, and no gap was told"
        self.position = position
        return fault
