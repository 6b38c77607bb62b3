"""Cursors: readers that are not current read on, from the Tail or from the log, until they join the live set.

Who is where, and why, is the Hub's business; this only moves them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from .frames import Wire, pieces
from .settings import Settings
from .standing import Standing
from .subscription import ENDED, Group, Subscription, Topic
from .tasks import Tasks
from .telemetry import Telemetry
from .types import Transport, Update, Verdict

LOG_READERS = 4  # replays from the log at one time; the rest wait, the live clients never do
PAGE = 200  # updates a log read brings
ENCODED = 64  # ready chunks kept for readers that follow each other


class Known(Protocol):
    """What is asked of the Hub."""

    epoch: str


class Log(Protocol):
    """What is asked of the log, where a Tail ends."""

    async def after(self, stream: str, cursor: int, limit: int) -> Sequence[Update]:
        """Updates behind `cursor`, in order."""


class Cursors:
    """All cursors of one process."""

    def __init__(
        self, known: Known, log: Log, settings: Settings, telemetry: Telemetry, max_replay: int
    ) -> None:
        self._known = known
        self._log = log
        self._poll_seconds = settings.poll_seconds
        self._telemetry = telemetry
        self._max_replay = max_replay
        self._readers = asyncio.Semaphore(LOG_READERS)
        self._tasks = Tasks(telemetry, "cursors.task")
        self._delivered = {t: telemetry.deliveries.labels(t) for t in Transport}
        self._bytes = {t: telemetry.bytes_sent.labels(t) for t in Transport}

    def part(self, subscription: Subscription, cursor: int) -> None:
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

    def read_on(self, subscription: Subscription) -> None:
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
            chunk = topic.encoded[key] = wire.encode(piece, self._known.epoch)
        return chunk

    def _fell_behind(self, subscription: Subscription) -> bool:
        topic = subscription.topic
        behind = topic.tail.head - subscription.cursor
        return behind > self._max_replay or subscription.cursor < topic.oldest_id - 1 or behind < 0

    def _jump(self, subscription: Subscription) -> None:
        lost_epoch = subscription.cursor > subscription.topic.tail.head
        held = subscription.topic.held(self._known.epoch)
        missed = None if lost_epoch else held.follow - subscription.cursor
        standing = Standing(Verdict.GAP, held.follow, held.head - held.follow, missed)
        self._telemetry.gaps.labels(subscription.session.transport).inc()
        subscription.cursor = standing.cursor
        if not subscription.session.jumped(subscription, standing):
            self.part(subscription, ENDED)

    # ---- the log, where the Tail ends

    async def _read_log(self, subscription: Subscription) -> None:
        topic, cursor, epoch = subscription.topic, subscription.cursor, self._known.epoch
        self._telemetry.log_reads.labels("replay").inc()
        updates: Sequence[Update] | None = None
        try:
            async with self._readers:
                updates = await self._log.after(topic.name, cursor, PAGE)
        except Exception as error:  # noqa: BLE001  a reader must not wait for ever: it tries again
            self._telemetry.swallow("cursors.read", error)
            await asyncio.sleep(self._poll_seconds)
        subscription.reading = False
        if (
            updates is not None and subscription.cursor == cursor and self._known.epoch == epoch
        ):  # else it moved meanwhile
            self._take_page(subscription, updates)
        self.read_on(subscription)

    def _take_page(self, subscription: Subscription, updates: Sequence[Update]) -> None:
        topic = subscription.topic
        if not updates or updates[0].id != subscription.cursor + 1:  # trimmed since
            topic.oldest_id = max(topic.oldest_id, updates[0].id if updates else topic.tail.first_id)
        elif not subscription.session.paused:  # and not beyond the head, where nobody is current yet
            self._write(subscription, updates[: topic.tail.head - subscription.cursor])
