"""Hub: who reads which stream, and how far each has come. Delivers, replays, and splices the two.

A client is a cursor on a log. Clients whose cursor is the head are *current*: they sit in the group of their wire
and share one encoded chunk a batch. A client whose buffer is full, or that still has to read up, is *lagging*: it
has a cursor of its own and reads on from the Tail, or from the log where the Tail ends. Nobody has a queue.

How a lagging one reads on is in cursors.py. The hub knows neither SSE nor Action Cable, and how a batch comes in is the
Follower's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from . import cursors, judge
from .cursors import Cursors
from .frames import pieces
from .judge import Judge
from .settings import Settings
from .standing import Standing
from .subscription import ENDED, NO_LONGER, Group, Prefixed, Session, Sink, Subscription, Topic
from .telemetry import Telemetry
from .types import Position, Transport, Update, Verdict


class Log(judge.Log, cursors.Log, Protocol):
    """What the hub asks of the log."""


class Hub:
    """Topics, subscriptions and cursors of one process."""

    def __init__(self, log: Log, settings: Settings, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        max_replay = max(1, settings.max_replay)  # the newest state always follows a verdict
        self._judge = Judge(self, log, max_replay, telemetry)
        self._cursors = Cursors(self, log, settings, telemetry, max_replay)
        self._delivering = False
        self._stalled: list[Session] = []
        self.epoch = ""
        self.topics: dict[str, Topic] = {}
        self.stuck: dict[Session, tuple[float, int]] = {}  # since when, with how much in the buffer
        self.refresh: Callable[[], Awaitable[None]] | None = None  # the Follower's look at the log
        self.pinged: Callable[[Group], tuple[Sequence[Subscription], bytes]] = lambda group: ((), b"")
        self._delivered = {t: telemetry.deliveries.labels(t) for t in Transport}
        self._bytes = {t: telemetry.bytes_sent.labels(t) for t in Transport}
        self._lagging = {t: telemetry.lagging.labels(t) for t in Transport}

    # ---- what others ask

    def newest(self, stream: str) -> Update | None:
        """The newest update of a stream; None when there is none, or no such stream."""
        topic = self.topics.get(stream)
        return topic.tail.newest if topic else None

    def position(self, stream: str) -> Position:
        """The head of a stream in this process."""
        return Position(self.epoch, self.topics[stream].tail.head)

    # ---- the live set

    def deliver(self, topic: Topic, updates: Sequence[Update]) -> None:
        """Take a batch that follows the topic's head, and write it to everybody who is current."""
        topic.tail.extend(updates)
        for group in list(topic.groups.values()):
            for piece in pieces(updates, group.wire.overhead):
                self._write_to_all(group, group.wire.encode(piece, self.epoch), len(piece))
                group.sent = piece[-1].id
                self._move_stalled()

    def skip(self, topic: Topic, head: int) -> None:
        """The log was trimmed beyond this process's head: go on behind the hole; readers have to jump it."""
        readers = [s for group in topic.groups.values() for s in group.members]
        for reader in readers:
            self._cursors.part(reader, reader.position)
        topic.tail.reset(head)
        for reader in readers:
            self._cursors.read_on(reader)

    def _write_to_all(self, group: Group, chunk: bytes, count: int) -> None:
        readers, ping = self.pinged(group)  # the audience's: their ping rides with this chunk
        sinks = {reader: group.members[reader] for reader in readers}
        # In their places: clients that came one behind the other lie in memory so, and are read faster in that order.
        group.members.update({reader: Prefixed(sink, ping) for reader, sink in sinks.items()})
        broken: list[Sink] = []
        self._delivering = True  # pause_writing may come from inside write()
        for sink in group.members.values():  # and not the subscriptions: touching a thousand of them costs
            try:
                sink.write(chunk)
            except Exception as error:  # noqa: BLE001  one broken connection must not cost the others theirs
                self._telemetry.swallow("hub.write", error)
                broken.append(sink)
        group.members.update(sinks)
        self._delivering = False
        transport, written = group.wire.transport, len(group.members) - len(broken)
        self._delivered[transport].inc(count * written)
        self._bytes[transport].inc(len(chunk) * written)
        for sink in broken:
            sink.abort()

    def _move_stalled(self) -> None:
        while self._stalled:
            self._lag(self._stalled.pop())

    def stall(self, session: Session) -> None:
        """A session's buffer is full: all it reads becomes lagging."""
        self._lagging[session.transport].inc()
        self.stuck[session] = (asyncio.get_running_loop().time(), session.sink.get_write_buffer_size())
        if self._delivering:
            self._stalled.append(session)
        else:
            self._lag(session)

    def _lag(self, session: Session) -> None:
        for subscription in session.subscriptions():
            if subscription.group is not None:
                self._cursors.part(subscription, subscription.group.sent)

    def go_on(self, session: Session) -> None:
        """A session's buffer has room again: everything it reads goes on from its cursor."""
        self.forget(session)
        for subscription in list(session.subscriptions()):
            if subscription.group is None and subscription.cursor >= 0:
                self._cursors.read_on(subscription)

    def forget(self, session: Session) -> None:
        """A session is gone, or about to be: nobody waits for its buffer any more."""
        if self.stuck.pop(session, None) is not None:
            self._lagging[session.transport].dec()

    # ---- one subscription

    def subscribe(self, subscription: Subscription, position: Position | None = None) -> None:
        """Join a stream by the one rule; `session.joined` hears the verdict, at once where memory knows it."""
        self._judge.after(subscription, position, self.stand)

    def subscribe_since(self, subscription: Subscription, since: int) -> None:
        """Join a stream where it stood at a time (Unix seconds, inclusive); `recovered` when that can be served."""
        self._judge.since(subscription, since, self.stand)

    def replay_after(self, subscription: Subscription, position: Position) -> None:
        """Find where a reader stands who wants everything behind a position; `session.replay` hears of it."""
        self._judge.after(subscription, position, self._replay)

    def replay_since(self, subscription: Subscription, since: int) -> None:
        """The same for one who wants everything from a time on."""
        self._judge.since(subscription, since, self._replay)

    def _replay(self, subscription: Subscription, standing: Standing) -> None:
        if subscription.standing:
            subscription.session.replay(subscription, standing)

    # ---- cursors

    def stand(self, subscription: Subscription, standing: Standing) -> None:
        """Put a subscription to its place, tell its session, and let it read on."""
        if subscription.cursor == ENDED:
            return
        self._cursors.part(subscription, standing.cursor)
        if standing.verdict is Verdict.GAP:
            self._telemetry.gaps.labels(subscription.session.transport).inc()
        subscription.session.joined(subscription, standing)
        self._cursors.read_on(subscription)

    def rewind(self, subscription: Subscription, cursor: int) -> None:
        """Replay what follows `cursor` to a subscription that already stands (cable's `history`)."""
        self._cursors.part(subscription, min(cursor, subscription.position))
        self._cursors.read_on(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Let go of a subscription; nothing is written for it any more."""
        self._cursors.part(subscription, ENDED)

    # ---- another life of the database

    def renew(self, epoch: str, topics: Iterable[Topic]) -> None:
        """Go on in another epoch: positions of the old one mean nothing, so every reader is told `gap`."""
        readers: list[Subscription] = []
        for topic in self.topics.values():
            readers += [s for group in topic.groups.values() for s in group.members]
            readers += topic.lagging
        for reader in readers:
            self._cursors.part(reader, NO_LONGER)
        self.epoch = epoch
        for new in topics:
            topic = self.topics.setdefault(new.name, new)
            topic.tail, topic.oldest_id = new.tail, new.oldest_id
            topic.encoded.clear()
        for reader in readers:
            self._cursors.read_on(reader)

    # ---- figures

    def lag(self) -> dict[str, int]:
        """How many updates the furthest reader of each stream is behind."""
        return {
            name: max((max(0, topic.tail.head - s.cursor) for s in topic.lagging), default=0)
            for name, topic in self.topics.items()
        }
