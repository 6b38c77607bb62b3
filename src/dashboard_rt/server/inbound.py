"""What comes in on WebSockets is parsed in portions: no peer can keep the loop busy, or make it hold much.

One read brings up to 256 KiB, which may be 43,000 frames. A portion is parsed at once; the rest waits as bytes, and
its connection is not read from, until its turn comes in the queue that all WebSockets of a server share. So what others
wait for a flood is bounded by a portion, however many send one. Knows frames as a number, and no WebSocket.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from itertools import islice

from .limits import FRAMES

PORTION = 512  # bytes; at most 85 frames
PORTIONS_A_TURN = 2  # of the loop, for all connections together: below a millisecond of frames
FEW = 16  # frames of a read that are parsed on at once: a long message has few
ALLOWANCE = 50_000  # frames: more than one read can bring
ALLOWANCE_PER_SECOND = 100  # clients send a frame every few seconds
MAX_DROPPED = 1 << 20  # bytes behind the end of a connection; a peer that is still sending then has to wait


class InboundQueue:
    """The WebSockets of a server whose input waits. `open` counts those that were handed over."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self.open = 0
        self.count = count
        self.loop = asyncio.get_running_loop()
        self._waiting: dict[PortionedInput, None] = {}  # in order, none twice
        self._scheduled = False

    def add(self, connection: PortionedInput) -> None:
        self._waiting[connection] = None
        self._schedule()

    def discard(self, connection: PortionedInput) -> None:
        self._waiting.pop(connection, None)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        for connection in list(islice(self._waiting, PORTIONS_A_TURN)):
            del self._waiting[connection]
            connection.parse_next()
        if self._waiting:
            self._schedule()


class PortionedInput:
    """A WebSocket that is fed in portions.

    `unparsed` are the bytes that wait: empty for nearly all connections nearly always, and None once the connection
    has ended for us, so that what it still sends is dropped. `allowance` are the frames that it may send before it is
    looked at how long that took, which `since` says; both are touched only by who sends several at once.
    """

    __slots__ = ("allowance", "inbound", "since", "unparsed")
    inbound: InboundQueue
    unparsed: bytearray | bytes | None
    allowance: int
    since: float

    @abstractmethod
    def parse(self, portion: bytes) -> int:
        """Parse and handle; return the number of frames."""

    @abstractmethod
    def may_parse(self) -> bool:
        """Return whether the next frames can be handled: their answers have room."""

    @abstractmethod
    def hold(self) -> None:
        """Read no more for now."""

    @abstractmethod
    def release(self) -> None:
        """Read on."""

    @abstractmethod
    def refuse(self) -> None:
        """Close with 1008."""

    def take(self, data: bytes) -> None:
        """Take what was read: a short read is parsed as it comes."""
        if self.unparsed:
            self.unparsed += data
        elif self.unparsed is None:
            self._drop(len(data))
        elif len(data) > PORTION or not self.may_parse():
            self._take_portions(data)
        else:
            frames = self.parse(data)
            if frames > 1:
                self._spend(frames)

    def _take_portions(self, data: bytes) -> None:
        at = frames = 0
        while at < len(data) and frames <= FEW and self.unparsed is not None and self.may_parse():
            frames += self.parse(data[at : at + PORTION])
            at += PORTION
        self._spend(frames)
        if at < len(data) and self.unparsed is not None:
            self.unparsed = bytearray(data[at:])
            self.hold()
            self.go_on()

    def go_on(self) -> None:
        """Parse what waits, when its turn comes; called whenever it may be parsed again."""
        if self.unparsed and self.may_parse():
            self.inbound.add(self)

    def parse_next(self) -> None:
        """Parse one portion of what waits, and queue up again for the rest."""
        if not self.unparsed or not self.may_parse():
            return  # `go_on` follows
        portion = bytes(self.unparsed[:PORTION])
        del self.unparsed[:PORTION]  # type: ignore[union-attr]  # a bytearray's front: nothing is moved
        self._spend(self.parse(portion))
        if self.unparsed:
            self.go_on()
        elif self.may_parse():
            self.release()

    def _spend(self, frames: int) -> None:
        """Take frames off the allowance, and refuse a connection that has none left."""
        if self.allowance == ALLOWANCE:
            self.since = self.inbound.loop.time()
        self.allowance -= frames
        if self.allowance > 0 or self.unparsed is None:
            return
        now = self.inbound.loop.time()
        self.allowance = min(ALLOWANCE, self.allowance + int((now - self.since) * ALLOWANCE_PER_SECOND))
        self.since = now
        if self.allowance <= 0:
            self.inbound.count(FRAMES)
            self.drop_input()
            self.refuse()

    def drop_input(self) -> None:
        """Drop what waits and what still comes: the connection has ended, or is about to."""
        self.inbound.discard(self)
        self.unparsed = None
        self.allowance = MAX_DROPPED

    def _drop(self, size: int) -> None:
        self.allowance -= size
        if self.allowance < 0:
            self.hold()
