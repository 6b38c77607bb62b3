"""Follower: one task that follows the log for this process and gives the Hub what comes next on each stream.

A notification that carries exactly what follows the head is taken as it is. Any other (late, doubled, lost, without
its updates) only says that the log has more than this process knows: then the log is read. A broker that is away, a
commit of another process and a restored database are all found by the same read.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ..errors import LogUnavailable
from ..eventlog.log import EventLog
from ..settings import Settings
from ..telemetry import Telemetry
from ..types import Bounds, LogState, Notification, Update
from .hub import Hub
from .subscription import Topic
from .tail import Tail
from .timer import Timer

PAGE = 500  # updates that one read of the log brings
CHANGED_SECONDS = 0.1  # how often the database is asked, cheaply, whether another process wrote
MAX_FOREIGN_EPOCHS = 100
RETRY_SECONDS = 1.0  # after a look at the log that failed, where POLL_SECONDS is longer

logger = logging.getLogger(__name__)


class Follower:
    """Keeps the heads of the Hub's topics at the end of the log.

    `following`: the last look at the log succeeded. `lag_ms`: the last commit-to-write time, None before the first.
    """

    def __init__(self, log: EventLog, settings: Settings, telemetry: Telemetry) -> None:
        self._log = log
        self._settings = settings
        self._telemetry = telemetry
        self._hub: Hub
        self._wake = asyncio.Event()
        self._behind = False  # a notification told of updates that only the log has
        self._foreign_epochs: set[str] = set()  # for which the log was read already
        self._refreshing = asyncio.Lock()
        self._refreshes = 0
        self._refresh_failed = False  # the last one that has ended
        self._last_refresh = 0.0
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._results = {r: telemetry.notifications.labels(r) for r in ("taken", "stale", "ahead", "foreign")}
        self.following = False
        self.lag_ms: float | None = None

    async def start(self, hub: Hub) -> None:
        """Load the Tails of `hub`, then keep it up to date. Raises LogUnavailable."""
        await self.load(hub)
        self.following = True
        self._timer = Timer(CHANGED_SECONDS, self._on_tick)
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="follower")

    async def load(self, hub: Hub) -> None:
        """Give `hub` its topics, with the newest updates in memory, and feed it from now on."""
        self._hub = hub
        state = await self._log.state()
        hub.renew(state.epoch, await self._load_topics(state))

    async def stop(self) -> None:
        self.following = False
        if self._timer is not None:
            self._timer.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # ---- notifications

    def on_notification(self, notification: Notification) -> None:
        """Take the updates of a notification if they follow the head; otherwise have the log read."""
        hub = self._hub
        topic = hub.topics.get(notification.stream)
        same_epoch = notification.epoch == hub.epoch
        if topic is None or (same_epoch and notification.last_id <= topic.tail.head):
            self._results["stale"].inc()
            return
        if not same_epoch and notification.epoch in self._foreign_epochs:
            self._results["foreign"].inc()
            return
        head = topic.tail.head
        if not same_epoch:
            # Either a new epoch of our database, which this read finds, or another database on the same broker.
            self._remember_foreign(notification.epoch)
        if not same_epoch or not notification.texts or notification.first_id > head + 1:
            self._results["ahead"].inc()
            self._read_soon()
            return
        self._results["taken"].inc()
        texts = notification.texts[head + 1 - notification.first_id :][:PAGE]
        if head + len(texts) < notification.last_id:
            # The rest comes from the log, a page a turn of the loop: all at once would leave clients that read well
            # more than MAX_REPLAY behind.
            self._read_soon()
        hub.deliver(topic, [Update(notification.stream, head + 1 + n, text) for n, text in enumerate(texts)])
        self._observe_lag(notification.committed_ms)

    def on_gap(self) -> None:
        """Have the log read: notifications may have been missed."""
        self._read_soon()

    def _remember_foreign(self, epoch: str) -> None:
        if len(self._foreign_epochs) >= MAX_FOREIGN_EPOCHS:
            self._foreign_epochs.clear()
        self._foreign_epochs.add(epoch)

    def _read_soon(self) -> None:
        self._behind = True
        self._wake.set()

    def _observe_lag(self, committed_ms: float) -> None:
        if committed_ms:
            self.lag_ms = max(0.0, time.time() * 1000 - committed_ms)
            self._telemetry.commit_to_write_seconds.observe(self.lag_ms / 1000)

    # ---- when to look at the log

    async def _follow(self) -> None:
        while True:
            try:
                await self._wait()
                await self.refresh()
            except Exception as error:  # noqa: BLE001  this task must survive whatever it meets
                self._telemetry.poll_errors.inc()
                self._telemetry.swallow("follower.refresh", error)
                self.following = False
                self._behind = True  # or the next look would come with the next poll
                await asyncio.sleep(min(self._settings.poll_seconds, RETRY_SECONDS))

    async def _wait(self) -> None:
        """Return when a notification told of more, another process has written, or the poll is due."""
        while not self._due():
            await self._wake.wait()
            self._wake.clear()
            if self._log.may_have_changed() and await self._log.changed():
                return

    def _due(self) -> bool:
        late = asyncio.get_running_loop().time() >= self._last_refresh + self._settings.poll_seconds
        return late or self._behind

    def _on_tick(self, late: float) -> None:
        # The task is only woken when there is something to do: this runs ten times a second.
        if self._due() or self._log.may_have_changed():
            self._wake.set()

    # ---- reading the log

    async def refresh(self) -> None:
        """Read whatever the log has beyond the heads. Raises LogUnavailable.

        Callers that come together share one read, also one that failed: a thousand clients that wait for a log that
        hangs must not make it a thousand time-outs in a row.
        """
        seen = self._refreshes
        async with self._refreshing:
            if self._refreshes > seen + 1:  # a read that began after this call has ended
                if self._refresh_failed:
                    raise LogUnavailable("The log could not be read.")
                return
            self._behind = False
            self._last_refresh = asyncio.get_running_loop().time()
            self._refresh_failed = True
            try:
                await self._read_all()
                self._refresh_failed, self.following = False, True
            finally:
                self._refreshes += 1

    async def _read_all(self) -> None:
        hub = self._hub
        heads = {name: topic.tail.head for name, topic in hub.topics.items()}
        state = await self._log.state()
        if state.epoch == hub.epoch and any(
            name in state.streams and state.streams[name].last_id < head for name, head in heads.items()
        ):
            # Ids were given back: the database was emptied or restored under us. Old positions are void.
            await self._log.new_epoch(state.epoch)
            state = await self._log.state()
        if state.epoch != hub.epoch:
            hub.renew(state.epoch, await self._load_topics(state))
            self._foreign_epochs.clear()
            return
        for name, bounds in state.streams.items():
            if name in hub.topics:
                await self._read_stream(hub.topics[name], bounds)

    async def _read_stream(self, topic: Topic, bounds: Bounds) -> None:
        topic.oldest_id = max(topic.oldest_id, bounds.oldest_id)
        while topic.tail.head < bounds.last_id:
            if topic.tail.head < topic.oldest_id - 1:
                self._hub.skip(topic, topic.oldest_id - 1)
                continue  # behind the hole there may be nothing left to read
            self._telemetry.log_reads.labels("follow").inc()
            head = topic.tail.head
            updates = await self._log.after(topic.name, head, PAGE)
            # Notifications may have moved the head meanwhile.
            new = [update for update in updates if update.id > topic.tail.head]
            if new and new[0].id == topic.tail.head + 1:
                self._hub.deliver(topic, new)
            elif new:
                topic.oldest_id = max(topic.oldest_id, new[0].id)
                await self._note_hole(topic.name, new[0].id)
            elif topic.tail.head == head:
                topic.oldest_id = max(topic.oldest_id, bounds.last_id + 1)
                await self._note_hole(topic.name, bounds.last_id + 1)

    async def _note_hole(self, name: str, next_id: int) -> None:
        """Count and log that updates in front of `next_id` are missing, unless another process has trimmed them."""
        if next_id > (await self._log.state()).streams[name].oldest_id:
            self._telemetry.log_holes.inc()
            logger.warning(
                "%s: updates in front of %d are missing in the log. Clients that lack them are told `gap`.",
                *(name, next_id),
            )

    async def _load_topics(self, state: LogState) -> list[Topic]:
        return [await self._load_topic(name, bounds, state.epoch) for name, bounds in state.streams.items()]

    async def _load_topic(self, name: str, bounds: Bounds, epoch: str) -> Topic:
        """Load the newest updates too, so that after a restart clients are replayed to from memory."""
        start = min(bounds.last_id, max(bounds.oldest_id - 1, bounds.last_id - self._settings.tail_size))
        oldest_id = await self._oldest_id(name, bounds, start)
        tail = Tail(start, self._settings.tail_size, self._settings.tail_bytes)
        while tail.head < bounds.last_id:
            updates = await self._log.after(name, tail.head, PAGE)
            found = [update for update in updates if update.id <= bounds.last_id]
            first_id = found[0].id if found else bounds.last_id + 1
            if first_id != tail.head + 1:  # deleted, or trimmed since the bounds were read
                await self._note_hole(name, first_id)
                tail.reset(first_id - 1)
                oldest_id = first_id
            tail.extend(found)
        return Topic(name, bounds.kind, epoch, oldest_id, tail)

    async def _oldest_id(self, name: str, bounds: Bounds, start: int) -> int:
        """Find the id from which on clients can be replayed to; the part up to `start` is not read otherwise."""
        furthest = max(bounds.oldest_id - 1, bounds.last_id - self._settings.max_replay)
        if furthest >= start:
            return bounds.oldest_id
        first_id = await self._log.behind_hole(name, furthest)
        if first_id is None or first_id > start + 1:  # what is behind `start` is read anyway
            return bounds.oldest_id
        await self._note_hole(name, first_id)
        return first_id
