"""The sequence check of one client: which updates it has, and which came twice, late or never. Pure.

Equal to a bitmap over the sequence, but it holds only what is out of line: `next` is the lowest number never
reached, `missing` the numbers below it that were skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Account(NamedTuple):
    """What became of the updates `first..last` at one client, or summed over many."""

    expected: int
    received: int
    lost: int
    doubled: int
    disordered: int

    @property
    def clean(self) -> bool:
        """True when each update came once and in order."""
        return self.lost == self.doubled == self.disordered == 0


class Ledger:
    """Hears every number that one client received, in the order of arrival."""

    __slots__ = ("disordered", "doubled", "first", "missing", "next")

    def __init__(self, first: int = 1) -> None:
        self.first = first
        self.next = first
        self.missing: set[int] | None = None
        self.doubled = 0
        self.disordered = 0

    def see(self, seq: int) -> None:
        """Enter one received number. The newest state that a stream starts with (below `first`) is not counted."""
        if seq == self.next:
            self.next = seq + 1
        elif seq > self.next:
            self._skip_to(seq)
        elif seq >= self.first:
            self._late(seq)

    def _skip_to(self, seq: int) -> None:
        if self.missing is None:
            self.missing = set()
        self.missing.update(range(self.next, seq))
        self.next = seq + 1

    def _late(self, seq: int) -> None:
        if self.missing and seq in self.missing:
            self.missing.remove(seq)
            self.disordered += 1
        else:
            self.doubled += 1

    def account(self, last: int) -> Account:
        """The books for `first..last`. `lost` counts gaps and a missing end alike."""
        expected = max(0, last - self.first + 1)
        unreached = max(0, last + 1 - self.next)
        lost = unreached + sum(1 for seq in self.missing or () if seq <= last)
        return Account(expected, expected - lost, lost, self.doubled, self.disordered)


def total(accounts: Iterable[Account]) -> Account:
    """The sum over clients."""
    sums = [0] * len(Account._fields)
    for account in accounts:
        for index, value in enumerate(account):
            sums[index] += value
    return Account(*sums)
