"""The data that the hub works on: topics, groups, subscriptions, and what it asks of connections and wires.

Nothing here moves by itself: hub.py changes cursors and groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from ..types import Kind, Position, Update, Verdict
from .tail import Tail

# Cursors that are no ids.
WAITING = -1  # the verdict is not known yet
ENDED = -2  # the subscription is over
EPOCH_ENDED = 1 << 62  # the reader's epoch has ended: ahead of any head, so it has to jump

CACHE_BYTES = 4 << 20  # of one process; readers that share chunks are close to each other
ENTRY_BYTES = 512  # what one entry costs beside its chunk


class StreamRange(NamedTuple):
    """What exists of a stream: the ids `oldest_id..head` of this epoch."""

    kind: Kind
    epoch: str
    oldest_id: int
    head: int

    @property
    def start(self) -> int:
        """The cursor of a client without a usable position: before the newest state, or at the end of a log."""
        return self.head - 1 if self.kind is Kind.STATE and self.oldest_id <= self.head else self.head


class Resume(NamedTuple):
    """The verdict and the cursor to go on from.

    `replaying` updates follow at once; `missed` never will (None when nobody can know how many).
    """

    verdict: Verdict
    cursor: int
    replaying: int
    missed: int | None = None


class Wire(Protocol):
    """How updates look to the connections that can share the same bytes. Each transport brings its own.

    Hashable and comparable: connections with equal wires form one group. `transport` is the label of counters;
    `overhead` is what `encode` may add to the text of one update, in bytes.
    """

    @property
    def transport(self) -> str: ...

    @property
    def overhead(self) -> int: ...

    def encode(self, updates: Sequence[Update], epoch: str) -> bytes:
        """Return the bytes of one write, in order."""


class Sink(Protocol):
    """What bytes are written to: the part of asyncio's write transports that is needed here."""

    def write(self, data: bytes) -> None:
        """Take `data`. Never blocks, never fails for a lost peer."""

    def close(self) -> None:
        """End the connection when everything written was sent."""

    def abort(self) -> None:
        """End the connection now; what is buffered is dropped."""

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the peer has not taken yet."""


class Subscriber(Protocol):
    """One connection as the hub sees it. The hub calls; what is sent then is the transport's decision.

    `transport` is its label. `paused`: its buffer is full. `slot`: its place among the heartbeats, -1 for none.
    """

    sink: Sink
    paused: bool
    slot: int

    @property
    def transport(self) -> str: ...

    def write(self, data: bytes) -> None:
        """Write to the sink, or gather what is to leave in one write."""

    def subscriptions(self) -> Iterable[Subscription]:
        """Return what it is subscribed to."""

    def on_verdict(self, subscription: Subscription, resume: Resume) -> None:
        """Tell the verdict. What follows `resume.cursor` is written next."""

    def on_fell_behind(self, subscription: Subscription, resume: Resume) -> bool:
        """Tell the client that it misses updates. True: it goes on from `resume.cursor`; False: it is ended."""

    def on_history(self, subscription: Subscription, resume: Resume) -> None:
        """Answer a question for older updates, asked with `Hub.replay_after` or `Hub.replay_since`."""

    def on_current(self, subscription: Subscription) -> None:
        """Hear that it has been sent everything up to the head."""

    def send_heartbeat(self) -> None: ...

    def goodbye(self, reason: str, retry_ms: int) -> None:
        """Send the last message, then end cleanly. `retry_ms`: when to come back."""


class Group:
    """The current subscriptions to one stream on one wire. All have been sent everything up to `sent`."""

    __slots__ = ("members", "sent", "wire")

    def __init__(self, wire: Wire, sent: int) -> None:
        self.wire = wire
        self.sent = sent
        self.members: dict[Subscription, Sink] = {}  # with the sink, so that a write touches no other object


class ChunkKey(NamedTuple):
    """What makes two chunks the same: ids and epoch of a stream's updates, and the wire."""

    wire: Wire
    stream: str
    epoch: str
    first_id: int
    last_id: int


class ChunkCache:
    """The chunks encoded last, of all streams together, bounded in bytes: lagging readers follow each other."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._chunks: dict[ChunkKey, bytes] = {}
        self.size = 0  # bytes
        self.encoded = 0  # updates that were not found in it

    def encode(self, wire: Wire, batch: Sequence[Update], epoch: str) -> bytes:
        """Return the encoded batch, from the cache where another reader was sent the same."""
        key = ChunkKey(wire, batch[0].stream, epoch, batch[0].id, batch[-1].id)
        chunk = self._chunks.get(key)
        if chunk is None:
            chunk = self._chunks[key] = wire.encode(batch, epoch)
            self.encoded += len(batch)
            self.size += len(chunk) + ENTRY_BYTES
            while self.size > self._max_bytes:
                self.size -= len(self._chunks.pop(next(iter(self._chunks)))) + ENTRY_BYTES
        return chunk


class Topic:
    """One stream in this process: its Tail, what the log holds of it, who reads it."""

    def __init__(self, name: str, kind: Kind, epoch: str, oldest_id: int, tail: Tail) -> None:
        self.name = name
        self.kind = kind
        self.epoch = epoch
        self.oldest_id = oldest_id
        self.tail = tail
        self.groups: dict[Wire, Group] = {}
        self.lagging: set[Subscription] = set()

    def range(self) -> StreamRange:
        """Return what a client's position is compared with."""
        return StreamRange(self.kind, self.epoch, self.oldest_id, self.tail.head)

    def position(self, cursor: int) -> Position:
        """Return the position of a cursor on this stream."""
        return Position(self.epoch, cursor)


class Subscription:
    """One connection's place on one stream. `group` is set while it is current; otherwise `cursor` counts."""

    __slots__ = ("connection", "cursor", "group", "reading", "topic", "wire")

    def __init__(self, connection: Subscriber, topic: Topic, wire: Wire) -> None:
        self.connection = connection
        self.topic = topic
        self.wire = wire
        self.cursor = WAITING
        self.group: Group | None = None
        self.reading = False  # a read of the log is under way for it

    @property
    def confirmed(self) -> bool:
        """Whether a verdict was told and still holds: neither the subscription nor its epoch has ended."""
        return self.group is not None or 0 <= self.cursor < EPOCH_ENDED

    @property
    def sent(self) -> int:
        """The id up to which everything was written."""
        return self.group.sent if self.group is not None else self.cursor

    @property
    def position(self) -> Position:
        """`sent` as the client sees it."""
        return self.topic.position(self.sent)
