"""Subscription: one session's place on one stream, and the nouns around it. Moves nothing by itself: the Hub does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol

from .frames import Wire
from .standing import Held, Standing
from .tail import Tail
from .types import Kind, Transport

WAITING, ENDED = -1, -2  # cursors of a subscription without a verdict yet, and of one that is over
NO_LONGER = 1 << 62  # the cursor of a reader whose epoch has ended: ahead of any head, so it has to jump


class Sink(Protocol):
    """What frames are written to: the part of asyncio's write transports that the hub needs."""

    def write(self, data: bytes) -> None:
        """Take `data`; never blocks, never fails for a lost peer."""

    def close(self) -> None:
        """End the connection when everything written has left."""

    def abort(self) -> None:
        """Cut the connection, whatever waits in its buffer."""

    def get_write_buffer_size(self) -> int:
        """Bytes that the peer has not taken yet."""


class Prefixed:
    """A sink for one write, which leaves behind other words."""

    __slots__ = ("_sink", "_words")

    def __init__(self, sink: Sink, words: bytes) -> None:
        self._sink = sink
        self._words = words

    def write(self, data: bytes) -> None:
        """Both as one write."""
        self._sink.write(self._words + data)

    def close(self) -> None:
        """Its sink's."""
        self._sink.close()

    def abort(self) -> None:
        """Its sink's."""
        self._sink.abort()

    def get_write_buffer_size(self) -> int:
        """Its sink's."""
        return self._sink.get_write_buffer_size()


class Session(Protocol):
    """One connected client, called at its moments; what it says then is its transport's business."""

    sink: Sink
    paused: bool
    transport: ClassVar[Transport]

    def write(self, data: bytes) -> None:
        """Write to its sink, or hold it with other words that leave together."""

    def subscriptions(self) -> Iterable[Subscription]:
        """What it reads."""

    def joined(self, subscription: Subscription, standing: Standing) -> None:
        """The verdict is known; what follows `standing.cursor` is written next."""

    def jumped(self, subscription: Subscription, standing: Standing) -> bool:
        """It fell behind for good. True: it was told so and goes on from `standing.cursor`."""

    def replay(self, subscription: Subscription, standing: Standing) -> None:
        """What it asked for by time stands here."""

    def caught_up(self, subscription: Subscription) -> None:
        """It has become current."""


class Group:
    """The current readers of one stream on one wire; all of them have been written everything up to `sent`."""

    __slots__ = ("members", "sent", "wire")

    def __init__(self, wire: Wire, sent: int) -> None:
        self.wire = wire
        self.sent = sent
        self.members: dict[Subscription, Sink] = {}


class Topic:
    """One stream in this process: its Tail, what the log still holds, its current readers."""

    def __init__(self, name: str, kind: Kind, tail: Tail) -> None:
        self.name = name
        self.kind = kind
        self.tail = tail
        self.oldest_id = tail.first_id
        self.groups: dict[Wire, Group] = {}
        self.lagging: set[Subscription] = set()
        self.encoded: dict[tuple[Wire, int, int], bytes] = {}

    def held(self, epoch: str) -> Held:
        """What a client's position is compared with."""
        return Held(self.kind, epoch, self.oldest_id, self.tail.head)


class Subscription:
    """One session's place on one stream. `cursor` counts while it is lagging; `group` is set while it is current."""

    __slots__ = ("cursor", "group", "reading", "session", "topic", "wire")

    def __init__(self, session: Session, topic: Topic, wire: Wire) -> None:
        self.session = session
        self.topic = topic
        self.wire = wire
        self.cursor = WAITING
        self.group: Group | None = None
        self.reading = False  # a read of the log is under way for it

    @property
    def standing(self) -> bool:
        """Whether the verdict has been told and still holds: neither the subscription nor its epoch has ended."""
        return self.group is not None or 0 <= self.cursor < NO_LONGER

    @property
    def position(self) -> int:
        """Everything up to this id was written."""
        return self.group.sent if self.group is not None else self.cursor
