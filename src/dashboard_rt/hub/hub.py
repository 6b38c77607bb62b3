"""Hub: who reads which stream, and how far each has come. Delivers, replays, and splices the two.

A client is a cursor on a log. Clients whose cursor is the head are *current*: they sit in the group of their wire
and share one encoded chunk a batch. A client whose buffer is full, or that still has to catch up, is *lagging*: it
has a cursor of its own and reads on from the Tail, or from the log where the Tail ends. Nobody has a queue.

Knows no transport. Where a client starts is decided in resume.py, and new updates come from follower.py.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import ParamSpec

from ..eventlog.log import EventLog
from ..settings import Settings
from ..telemetry import Telemetry, Value
from ..types import Position, Update, Verdict
from .resume import Resumer, start_anew
from .subscription import (
    ENDED,
    EPOCH_ENDED,
    ChunkCache,
    Group,
    Resume,
    Sink,
    Subscriber,
    Subscription,
    Topic,
    Wire,
)
from .tail import batches
from .tasks import BackgroundTasks

LOG_READERS = 4  # replays from the log at one time: the rest wait, live delivery never does
PAGE = 200  # updates that one read of the log brings
# Encodings before the loop gets its turn, in a delivery and for those who catch up. Cable clients choose identifiers of
# their own: encoded for all at once, thousands of them would stall everybody.
ENCODINGS_PER_TURN = 1000
ENCODING_BYTES = 16384  # to write this much costs about as much as one encoding
# Served at once, however many updates come: the wires of clients without identifiers of their own.
COMMON_WIRES = 8

P = ParamSpec("P")


class Hub:
    """Topics, subscriptions and cursors of one process.

    `refresh` reads what the log has beyond the heads, and may raise.
    """

    def __init__(
        self,
        log: EventLog,
        refresh: Callable[[], Awaitable[None]],
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        self._log = log
        self._telemetry = telemetry
        self._poll_seconds = settings.poll_seconds
        self._max_replay = max(1, settings.max_replay)  # 1: the newest state always follows a verdict
        self._resumer = Resumer(log, refresh, self._max_replay, telemetry)
        self._tasks = BackgroundTasks(telemetry, "hub.task")
        self._readers = asyncio.Semaphore(LOG_READERS)
        self._chunks = ChunkCache()
        self._deferred: OrderedDict[Subscription, None] = OrderedDict()  # served in a later turn of the loop
        self._turn_scheduled = False  # for them
        self._encodings_left = ENCODINGS_PER_TURN  # before those who catch up have to wait for a turn
        self._counters: dict[str, tuple[Value, Value]] = {}  # by transport: deliveries, bytes sent
        self._delivering = False
        self._stalled_meanwhile: list[Subscriber] = []
        self.epoch = ""
        self.topics: dict[str, Topic] = {}
        # Connections with a full buffer: the time when it last shrank, and its size then in bytes.
        self.stalled: dict[Subscriber, tuple[float, int]] = {}

    def newest(self, stream: str) -> Update | None:
        """Return the newest update of a stream; None when there is none, or no such stream."""
        topic = self.topics.get(stream)
        return topic.tail.newest if topic else None

    def position(self, stream: str) -> Position:
        """Return the head of a stream in this process."""
        topic = self.topics[stream]
        return topic.position(topic.tail.head)

    def lag(self) -> dict[str, int]:
        """Return how many updates the slowest reader of each stream is behind."""
        return {
            name: max((max(0, topic.tail.head - s.cursor) for s in topic.lagging), default=0)
            for name, topic in self.topics.items()
        }

    # ---- from the follower

    def deliver(self, topic: Topic, updates: Sequence[Update]) -> None:
        """Take updates that follow the topic's head, and write them to everybody who is current.

        Of more groups than fit into a turn the largest are served at once, and the readers of the others later.
        """
        topic.tail.extend(updates)
        groups, at_once = list(topic.groups.values()), COMMON_WIRES
        if len(groups) > at_once:
            cost = len(updates) + sum([len(update.text) for update in updates]) // ENCODING_BYTES
            at_once = max(at_once, ENCODINGS_PER_TURN // cost)
            if len(groups) > at_once:
                groups.sort(key=lambda group: -len(group.members))
        for group in groups[:at_once]:
            self._deliver_to_group(group, updates, topic.epoch)
        for group in groups[at_once:]:
            for reader in list(group.members):
                self._detach(reader, reader.sent)
                self._defer(reader)

    def _deliver_to_group(self, group: Group, updates: Sequence[Update], epoch: str) -> None:
        try:
            for batch in batches(updates, group.wire.overhead):
                self._write_to_group(group, group.wire.encode(batch, epoch), len(batch))
                group.sent = batch[-1].id
                self._detach_stalled()
                if not group.members:  # all their buffers are full
                    return
        except Exception as error:  # noqa: BLE001  one broken wire must not cost the others their updates
            self._telemetry.swallow("hub.deliver", error)
            for sink in list(group.members.values()):
                sink.abort()

    def _defer(self, reader: Subscription) -> None:
        """Have a reader that lags read on in a later turn of the loop."""
        self._deferred[reader] = None
        self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled:
            self._turn_scheduled = True
            asyncio.get_running_loop().call_soon(self._advance_deferred)

    def _advance_deferred(self) -> None:
        self._turn_scheduled = False
        self._encodings_left = ENCODINGS_PER_TURN
        while self._deferred and self._encodings_left > 0:
            reader, _ = self._deferred.popitem(last=False)
            if reader.group is None:  # otherwise its buffer had room meanwhile, and it is current
                self.attempt("hub.advance", reader.connection, self._advance, reader)
        if self._deferred:
            self._schedule_turn()

    def _write_to_group(self, group: Group, chunk: bytes, count: int) -> None:
        failed: list[Sink] = []
        self._delivering = True  # pause_writing may be called from inside write(), while members are iterated
        for sink in group.members.values():
            try:
                sink.write(chunk)
            except Exception as error:  # noqa: BLE001  one broken connection must not cost the others theirs
                self._telemetry.swallow("hub.write", error)
                failed.append(sink)
        self._delivering = False
        self._count(group.wire, count, len(chunk), len(group.members) - len(failed))
        for sink in failed:
            sink.abort()

    def _count(self, wire: Wire, updates: int, size: int, connections: int = 1) -> None:
        counters = self._counters.get(wire.transport)
        if counters is None:
            label, telemetry = wire.transport, self._telemetry
            counters = telemetry.deliveries.labels(label), telemetry.bytes_sent.labels(label)
            self._counters[label] = counters
        deliveries, sent = counters
        deliveries.value += updates * connections
        sent.value += size * connections

    def skip(self, topic: Topic, head: int) -> None:
        """Go on behind a hole in the log, which was trimmed beyond this process's head. Readers have to jump it."""
        readers = [s for group in topic.groups.values() for s in group.members]
        for reader in readers:
            self._detach(reader, reader.sent)
        topic.tail.reset(head)
        for reader in readers:
            self.attempt("hub.skip", reader.connection, self._advance, reader)

    def renew(self, epoch: str, topics: Iterable[Topic]) -> None:
        """Go on in another epoch. Positions of the old one mean nothing, so every reader is told `gap`."""
        readers: list[Subscription] = []
        for topic in self.topics.values():
            readers += [s for group in topic.groups.values() for s in group.members]
            readers += topic.lagging
        for reader in readers:
            self._detach(reader, EPOCH_ENDED)
        self.epoch = epoch
        for new in topics:
            topic = self.topics.setdefault(new.name, new)
            topic.epoch, topic.tail, topic.oldest_id = new.epoch, new.tail, new.oldest_id
        for reader in readers:
            self.attempt("hub.renew", reader.connection, self._advance, reader)

    # ---- from connections

    def subscribe(self, subscription: Subscription, position: Position | None = None) -> None:
        """Join a stream behind a position. The verdict is told at once where memory has the answer."""
        self._resumer.after(subscription, position, self._place)

    def subscribe_since(self, subscription: Subscription, since: int) -> None:
        """Join a stream at a time (Unix seconds, inclusive); `recovered` when that can be served."""
        self._resumer.since(subscription, since, self._place)

    def replay_after(self, subscription: Subscription, position: Position) -> None:
        """Ask for everything behind a position once more; the answer goes to `on_history`."""
        self._resumer.after(subscription, position, self._answer_history)

    def replay_since(self, subscription: Subscription, since: int) -> None:
        """Ask for everything from a time on (Unix seconds, inclusive); the answer goes to `on_history`."""
        self._resumer.since(subscription, since, self._answer_history)

    def rewind(self, subscription: Subscription, cursor: int) -> None:
        """Send what follows `cursor` to a subscription that is confirmed already."""
        self._detach(subscription, min(cursor, subscription.sent))
        self._advance(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; nothing is written for it any more."""
        self._detach(subscription, ENDED)

    def stall(self, connection: Subscriber) -> None:
        """Stop writing to a connection whose buffer is full: all it reads becomes lagging."""
        self._telemetry.lagging.labels(connection.transport).inc()
        now = asyncio.get_running_loop().time()
        self.stalled[connection] = (now, connection.sink.get_write_buffer_size())
        if self._delivering:
            self._stalled_meanwhile.append(connection)
        else:
            self._detach_all(connection)

    def unstall(self, connection: Subscriber) -> None:
        """Go on writing to a connection whose buffer has room again, from its cursors."""
        self.forget(connection)
        for subscription in list(connection.subscriptions()):
            if subscription.group is None and subscription.cursor >= 0:
                self.attempt("hub.unstall", connection, self._advance, subscription)

    def attempt(
        self, where: str, connection: Subscriber, work: Callable[P, None], *args: P.args, **more: P.kwargs
    ) -> None:
        """Do something for one connection. If it fails, that is counted at `where` and the connection is cut.

        Its client comes back and resumes, instead of waiting for what never comes; and the others get theirs.
        """
        try:
            work(*args, **more)
        except Exception as error:  # noqa: BLE001
            self._telemetry.swallow(where, error)
            connection.sink.abort()

    def forget(self, connection: Subscriber) -> None:
        """Stop waiting for the buffer of a connection that is gone or about to be."""
        if self.stalled.pop(connection, None) is not None:
            self._telemetry.lagging.labels(connection.transport).dec()

    def _detach_stalled(self) -> None:
        while self._stalled_meanwhile:
            self._detach_all(self._stalled_meanwhile.pop())

    def _detach_all(self, connection: Subscriber) -> None:
        for subscription in connection.subscriptions():
            if subscription.group is not None:
                self._detach(subscription, subscription.group.sent)

    # ---- cursors

    def _place(self, subscription: Subscription, resume: Resume) -> None:
        self.attempt("hub.place", subscription.connection, self._place_at, subscription, resume)

    def _place_at(self, subscription: Subscription, resume: Resume) -> None:
        if subscription.cursor == ENDED:
            return  # it was unsubscribed while the log was asked
        self._detach(subscription, resume.cursor)
        transport = subscription.connection.transport
        self._telemetry.opened.labels(transport, resume.verdict).inc()
        if resume.verdict is Verdict.GAP:
            self._telemetry.gaps.labels(transport).inc()
        subscription.connection.on_verdict(subscription, resume)
        self._advance(subscription)

    def _answer_history(self, subscription: Subscription, resume: Resume) -> None:
        if subscription.confirmed:
            connection = subscription.connection
            self.attempt("hub.history", connection, connection.on_history, subscription, resume)

    def _detach(self, subscription: Subscription, cursor: int) -> None:
        """Take a subscription out of the live set and give it a cursor of its own."""
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

    def _advance(self, subscription: Subscription) -> None:
        """Write on from the cursor: to the head, to a full buffer, or to where only the log knows more.

        No await between "it is at the head" and "it joins the live set": no update is lost or sent twice there.
        """
        topic, connection = subscription.topic, subscription.connection
        while subscription.cursor >= 0 and not connection.paused and not subscription.reading:
            if subscription.cursor == topic.tail.head:
                self._join(subscription)
                return
            if self._encodings_left <= 0:
                self._defer(subscription)
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
        group.members[subscription] = subscription.connection.sink
        subscription.group = group
        subscription.connection.on_current(subscription)

    def _write(self, subscription: Subscription, updates: Sequence[Update]) -> None:
        for batch in batches(updates, subscription.wire.overhead):
            encoded = self._chunks.encoded
            chunk = self._chunks.encode(subscription.wire, batch, subscription.topic.epoch)
            self._encodings_left -= 1 + self._chunks.encoded - encoded + len(chunk) // ENCODING_BYTES
            subscription.cursor = batch[-1].id
            self._count(subscription.wire, len(batch), len(chunk))
            subscription.connection.write(chunk)
            if subscription.connection.paused:
                return

    def _fell_behind(self, subscription: Subscription) -> bool:
        topic = subscription.topic
        behind = topic.tail.head - subscription.cursor
        return behind > self._max_replay or subscription.cursor < topic.oldest_id - 1 or behind < 0

    def _jump(self, subscription: Subscription) -> None:
        """Tell a reader that it misses updates, and move it to where a new client would start."""
        held = subscription.topic.range()
        epoch_ended = subscription.cursor > held.head
        missed = None if epoch_ended else held.start - subscription.cursor
        resume = start_anew(Verdict.GAP, held, missed)
        self._telemetry.gaps.labels(subscription.connection.transport).inc()
        subscription.cursor = resume.cursor
        if not subscription.connection.on_fell_behind(subscription, resume):
            self._detach(subscription, ENDED)

    # ---- the log, where the Tail ends

    async def _read_log(self, subscription: Subscription) -> None:
        topic, cursor, epoch = subscription.topic, subscription.cursor, subscription.topic.epoch
        self._telemetry.log_reads.labels("replay").inc()
        updates: Sequence[Update] | None = None
        try:
            async with self._readers:
                updates = await self._log.after(topic.name, cursor, PAGE)
        except Exception as error:  # noqa: BLE001  a reader must not wait for ever: it tries again
            self._telemetry.swallow("hub.read_log", error)
            await asyncio.sleep(self._poll_seconds)
        subscription.reading = False
        moved = subscription.cursor != cursor or topic.epoch != epoch
        page = None if moved else updates
        self.attempt("hub.replay", subscription.connection, self._go_on, subscription, page)

    def _go_on(self, subscription: Subscription, page: Sequence[Update] | None) -> None:
        if page is not None:
            self._take_page(subscription, page)
        self._advance(subscription)

    def _take_page(self, subscription: Subscription, updates: Sequence[Update]) -> None:
        topic = subscription.topic
        if not updates or updates[0].id != subscription.cursor + 1:  # trimmed since
            topic.oldest_id = max(topic.oldest_id, updates[0].id if updates else topic.tail.first_id)
        elif not subscription.connection.paused:
            # Not beyond the head, which the log may be ahead of: nobody is current there yet.
            self._write(subscription, updates[: topic.tail.head - subscription.cursor])
