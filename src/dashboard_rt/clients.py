"""Clients: what those of both transports share, which is a place to write to and the callbacks of flow control.

What a client says at its moments is its transport's business: sse.py and cable_session.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from .audience import Audience
from .standing import Standing
from .subscription import Sink, Subscription
from .types import Transport

HELD_BYTES = 16384  # more than this is not held back: a write so large is worth its system call


class _Nowhere:
    """The sink of a client before its connection is made and after it is lost."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


NOWHERE = _Nowhere()


class Client(ABC):
    """What the clients of both transports share: a place to write to, and the asyncio callbacks of flow control."""

    __slots__ = ("_held", "audience", "paused", "sink", "slot")
    transport: ClassVar[Transport]

    def __init__(self, audience: Audience) -> None:
        self.audience = audience
        self.sink: Sink = NOWHERE
        self.paused = False
        self.slot = -1  # of its heartbeat wheel; below zero: not admitted
        self._held: bytes | None = None  # what is said while words are held, to leave in one write

    def write(self, data: bytes) -> None:
        """Write, or hold."""
        if self._held is None:
            self.sink.write(data)
            return
        self._held += data
        if len(self._held) > HELD_BYTES:
            held, self._held = self._held, b""
            self.sink.write(held)

    def hold(self, data: bytes = b"") -> None:
        """From here to `let_go`, words are gathered: each write is a system call of its own."""
        self._held = data

    def let_go(self) -> None:
        """Write what was held."""
        held, self._held = self._held, None
        if held:
            self.sink.write(held)

    @abstractmethod
    def subscriptions(self) -> Iterable[Subscription]:
        """What it reads."""

    @abstractmethod
    def joined(self, subscription: Subscription, standing: Standing) -> None:
        """The verdict is known; what follows `standing.cursor` is written next."""

    @abstractmethod
    def jumped(self, subscription: Subscription, standing: Standing) -> bool:
        """It fell behind for good. True: it was told so and goes on from `standing.cursor`."""

    def replay(self, subscription: Subscription, standing: Standing) -> None:
        """What it asked for by time stands here (only cable asks)."""
        raise AssertionError("only cable asks for history")

    @abstractmethod
    def caught_up(self, subscription: Subscription) -> None:
        """It has become current."""

    def beat(self) -> None:
        """Time for a heartbeat; a client with a full buffer has enough to read."""
        if self.paused or self.going:
            return
        if chunk := self.heartbeat():
            self.sink.write(chunk)

    @abstractmethod
    def heartbeat(self) -> bytes:
        """The bytes of a heartbeat now; none before a verdict was told."""

    @abstractmethod
    def goodbye(self, reason: str, retry_ms: int) -> None:
        """Say the last word, then end cleanly."""

    def pause_writing(self) -> None:
        """Its buffer is full (asyncio calls a protocol so)."""
        if not self.paused:
            self.paused = True
            self.audience.hub.stall(self)

    def resume_writing(self) -> None:
        """Its buffer has room again (asyncio calls a protocol so)."""
        if self.paused:
            self.paused = False
            self.audience.hub.go_on(self)

    @abstractmethod
    def untie(self) -> None:
        """Let go of all that refers back to it, so that it is freed at once: the collector comes by rarely."""

    @property
    def going(self) -> bool:
        """Whether its last word is said or its connection lost: nothing may be written any more."""
        return self.sink is NOWHERE or self.audience.is_leaving(self)

    def lost(self, reason: str) -> None:
        """The connection is no more; `reason` is a label of the `closed` counter."""
        if self.sink is not NOWHERE:
            self.sink = NOWHERE
            self.audience.leave(self, reason)
            self.untie()
