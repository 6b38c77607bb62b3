"""Hub: who reads which stream, and how far each has come. Delivers, replays, and splices the two.

A client is a cursor on a log. Clients whose cursor is the head are *current*: they sit in the group of their wire
and share one encoded chunk a batch. A client whose buffer is full, or that still has to read up, is *lagging*: it
has a cursor of its own and reads on from the Tail, or from the log where the Tail ends. Nobody has a queue.

The hub knows neither SSE nor Action Cable, and how a batch comes in is the Follower's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from . import judge
from .frames import Wire, pieces
from .judge import Judge
from .settings import Settings
from .standing import Standing
from .subscription import ENDED, NO_LONGER, Group, Session, Sink, Subscription, Topic
from .tasks import Tasks
from .telemetry import Telemetry
from .types import Position, Transport, Update, Verdict

LOG_READERS = 4  # replays from the log at one time; the rest wait, the live clients never do
PAGE = 200  # updates a log read brings
ENCODED = 64  # ready chunks kept for readers that follow each other


class Log(judge.Log, Protocol):
    """What the hub asks of the log, where a Tail ends."""

    async def after(self, stream: str, cursor: int, limit: int) -> Sequence[Update]:
        """Updates behind `cursor`, in order."""


class Hub:
    """Topics, subscriptions and cursors of one process."""

    def __init__(self, log: Log, settings: Settings, telemetry: Telemetry) -> None:
        self._log = log
        self._settings = settings
        self._telemetry = telemetry
        self._max_replay = max(1, settings.max_replay)  # the newest state always follows a verdict
        self._readers = asyncio.Semaphore(LOG_READERS)
        self._tasks = Tasks(telemetry, "hub.task")
        self._judge = Judge(self, log, self._max_replay, telemetry)
        self._delivering = False
        self._stalled: list[Session] = []
        self.epoch = ""
        self.topics: dict[str, Topic] = {}
        self.stuck: dict[Session, tuple[float, int]] = {}  # since when, with how much in the buffer
        self.refresh: Callable[[], Awaitable[None]] | None = None  # the Follower's look at the log
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
            self._part(reader, reader.position)
        topic.tail.reset(head)
        for reader in readers:
            self._read_on(reader)

    def _write_to_all(self, group: Group, chunk: bytes, count: int) -> None:
        self._delivering = True  # pause_writing may come from inside write()
        broken: list[Sink] = []
        for sink in group.members.values():  # and not the subscriptions: touching a thousand of them costs
            try:
                sink.write(chunk)
            except Exception as error:  # noqa: BLE001  one broken connection must not cost the others theirs
                self._telemetry.swallow("hub.write", error)
                broken.append(sink)
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
                self._part(subscription, subscription.group.sent)

    def go_on(self, session: Session) -> None:
        """A session's buffer has room again: everything it reads goes on from its cursor."""
        self.forget(session)
        for subscription in list(session.subscriptions()):
            if subscription.group is None and subscription.cursor >= 0:
                self._read_on(subscription)

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
        self._part(subscription, standing.cursor)
        if standing.verdict is Verdict.GAP:
            self._telemetry.gaps.labels(subscription.session.transport).inc()
        subscription.session.joined(subscription, standing)
        self._read_on(subscription)

    def rewind(self, subscription: Subscription, cursor: int) -> None:
        """Replay what follows `cursor` to a subscription that already stands (cable's `history`)."""
        self._part(subscription, min(cursor, subscription.position))
        self._read_on(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Let go of a subscription; nothing is written for it any more."""
        self._part(subscription, ENDED)

    def _part(self, subscription: Subscription, cursor: int) -> None:
        """Leave the live set, to stand at a cursor of its own."""
        topic, group = subscription.topic, subscription.group
        subscription.group, subscription.cursor = None, cursor
        if group is not None:
            group.members.pop(subscription, None)
            if not group.members:
                topic.groups.pop(group.wire, None)
        if cursor >= 0:
            topic.lagging.add(subscription)
        else:
            topic.lagging.discard(subscription)

    def _read_on(self, subscription: Subscription) -> None:
        """Write on from the cursor: to the head, to a full buffer, or to where only the log knows more.

        There is no await between "I am at the head" and "I join the live set": nothing is lost at the seam.
        """
        topic, session = subscription.topic, subscription.session
        while subscription.cursor >= 0 and not session.paused and not subscription.reading:
            if subscription.cursor == topic.tail.head:
                self._join(subscription)
                return
            if self._fell_behind(subscription):
                self._jump(subscription)
                continue
            batch = topic.tail.after(subscription.cursor)
            if batch is None:
                subscription.reading = True
                self._tasks.spawn(self._read_log(subscription))
                return
            self._write(subscription, batch)

    def _join(self, subscription: Subscription) -> None:
        topic, wire = subscription.topic, subscription.wire
        group = topic.groups.get(wire)
        if group is None:
            group = topic.groups[wire] = Group(wire, topic.tail.head)
        topic.lagging.discard(subscription)
        group.members[subscription] = subscription.session.sink
        subscription.group = group
        subscription.session.caught_up(subscription)

    def _write(self, subscription: Subscription, batch: Sequence[Update]) -> None:
        for piece in pieces(batch, subscription.wire.overhead):
            chunk = self._encode(subscription.topic, subscription.wire, piece)
            subscription.cursor = piece[-1].id
            transport = subscription.wire.transport
            self._delivered[transport].inc(len(piece))
            self._bytes[transport].inc(len(chunk))
            subscription.session.write(chunk)
            if subscription.session.paused:
                return

    def _encode(self, topic: Topic, wire: Wire, piece: Sequence[Update]) -> bytes:
        key = (wire, piece[0].id, piece[-1].id)
        chunk = topic.encoded.get(key)
        if chunk is None:
            if len(topic.encoded) >= ENCODED:
                del topic.encoded[next(iter(topic.encoded))]
            chunk = topic.encoded[key] = wire.encode(piece, self.epoch)
        return chunk

    def _fell_behind(self, subscription: Subscription) -> bool:
        topic = subscription.topic
        behind = topic.tail.head - subscription.cursor
        return behind > self._max_replay or subscription.cursor < topic.oldest_id - 1 or behind < 0

    def _jump(self, subscription: Subscription) -> None:
        lost_epoch = subscription.cursor > subscription.topic.tail.head
        held = subscription.topic.held(self.epoch)
        missed = None if lost_epoch else held.follow - subscription.cursor
        standing = Standing(Verdict.GAP, held.follow, held.head - held.follow, missed)
        self._telemetry.gaps.labels(subscription.session.transport).inc()
        subscription.cursor = standing.cursor
        if not subscription.session.jumped(subscription, standing):
            self.unsubscribe(subscription)

    # ---- the log, where the Tail ends

    async def _read_log(self, subscription: Subscription) -> None:
        topic, cursor, epoch = subscription.topic, subscription.cursor, self.epoch
        self._telemetry.log_reads.labels("replay").inc()
        updates: Sequence[Update] | None = None
        try:
            async with self._readers:
                updates = await self._log.after(topic.name, cursor, PAGE)
        except Exception as error:  # noqa: BLE001  a reader must not wait for ever: it tries again
            self._telemetry.swallow("hub.replay", error)
            await asyncio.sleep(self._settings.poll_seconds)
        subscription.reading = False
        if (
            updates is not None and subscription.cursor == cursor and self.epoch == epoch
        ):  # else it moved meanwhile
            self._take_page(subscription, updates)
        self._read_on(subscription)

    def _take_page(self, subscription: Subscription, updates: Sequence[Update]) -> None:
        topic = subscription.topic
        if not updates or updates[0].id != subscription.cursor + 1:  # trimmed since
            topic.oldest_id = max(topic.oldest_id, updates[0].id if updates else topic.tail.first_id)
        elif not subscription.session.paused:  # and not beyond the head, where nobody is current yet
            self._write(subscription, updates[: topic.tail.head - subscription.cursor])

    # ---- another life of the database

    def renew(self, epoch: str, topics: Iterable[Topic]) -> None:
        """Go on in another epoch: positions of the old one mean nothing, so every reader is told `gap`."""
        readers: list[Subscription] = []
        for topic in self.topics.values():
            readers += [s for group in topic.groups.values() for s in group.members]
            readers += topic.lagging
        for reader in readers:
            self._part(reader, NO_LONGER)
        self.epoch = epoch
        for new in topics:
            topic = self.topics.setdefault(new.name, new)
            topic.tail, topic.oldest_id = new.tail, new.oldest_id
            topic.encoded.clear()
        for reader in readers:
            self._read_on(reader)

    # ---- figures

    def lag(self) -> dict[str, int]:
        """How many updates the furthest reader of each stream is behind."""
        return {
            name: max((max(0, topic.tail.head - s.cursor) for s in topic.lagging), default=0)
            for name, topic in self.topics.items()
        }
