"""One client of the load: what outlives its connections."""

from __future__ import annotations

from typing import Protocol

from bench.load.ledger import Ledger
from bench.load.receiver import Line
from bench.load.tally import Tally


class Link(Protocol):
    """What is asked of a client's present connection, which knows its client in turn."""

    is_ready: bool
    tally: Tally
    transport: Line | None

    def close(self) -> None:
        """End it."""


class Subscriber:
    """`position`: everything up to there was received; empty when it is not known. `aside`: its deliveries do not
    count, because it was made to stop reading. `promised`: it came back and was told `recovered`, every time; None when
    it was never away."""

    __slots__ = ("aside", "connection", "index", "ledger", "position", "promised", "tally")

    def __init__(self, index: int, tally: Tally, first: int) -> None:
        self.index = index
        self.tally = tally
        self.ledger = Ledger(first)
        self.position = ""
        self.connection: Link | None = None
        self.aside = False
        self.promised: bool | None = None

    @property
    def alive(self) -> bool:
        """True while it has a connection on which nothing can be missed."""
        return self.connection is not None and self.connection.is_ready

    def came_back(self, word: str) -> None:
        """It is connected again, with this verdict; empty for none."""
        self.promised = self.promised is not False and word == "recovered"

    def set_aside(self, tally: Tally) -> None:
        """From now on it counts in another tally, and its ledger in none."""
        self.aside = True
        self.tally = tally
        if self.connection is not None:
            self.connection.tally = tally
