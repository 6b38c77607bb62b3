"""Follower: one task that follows the log for this process, and hands the Hub what comes next on each stream.

A ring that carries exactly what follows the head is taken as it is. Any other (late, doubled, lost, without its
updates) only says that the log has more than this process knows: then the log is read. Broker away, a commit of
another process, a restored database: all the same look at the log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from .errors import LogUnavailable
from .heartbeat import Timer
from .hub import Hub
from .settings import Settings
from .subscription import Topic
from .tail import Tail
from .telemetry import Telemetry
from .types import Bounds, LogState, Ring, Update

PAGE = 500  # updates a read of the log brings
CHANGED_SECONDS = 0.1  # how often the database is asked, cheaply, whether another process wrote


class Log(Protocol):
    """What is asked of the log."""

    async def state(self) -> LogState:
        """Epoch and bounds of every stream, in one statement."""

    async def after(self, stream: str, cursor: int, limit: int) -> Sequence[Update]:
        """Updates behind `cursor`, in order."""

    def stirred(self) -> bool:
        """Whether `changed` is worth asking; costs next to nothing."""

    async def changed(self) -> bool:
        """Whether somebody else has committed since the last call."""

    async def new_epoch(self, expected: str | None = None) -> str:
        """Write another epoch, if it is still `expected`."""


class Follower:
    """Keeps the heads of the Hub's topics at the end of the log."""

    def __init__(self, log: Log, hub: Hub, settings: Settings, telemetry: Telemetry) -> None:
        self._log = log
        self._hub = hub
        self._settings = settings
        self._telemetry = telemetry
        self._wake = asyncio.Event()
        self._behind = False  # a ring told of updates that only the log has
        self._looking = asyncio.Lock()
        self._looks = 0
        self._last_look = 0.0
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._rings = {r: telemetry.rings.labels(r) for r in ("taken", "stale", "ahead")}
        self.following = False
        self.lag_ms: float | None = None
        hub.refresh = self.look

    async def start(self) -> None:
        """Load the Tails and go on from there; raises LogUnavailable."""
        state = await self._log.state()
        self._hub.renew(state.epoch, await self._load(state))
        self.following = True
        self._timer = Timer(CHANGED_SECONDS, self._tick)
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        """Follow no more."""
        self.following = False
        if self._timer is not None:
            self._timer.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # ---- rings

    def heard(self, ring: Ring) -> None:
        """Take what a ring brings if it follows the head; otherwise see to it that the log is read."""
        topic = self._hub.topics.get(ring.stream)
        if topic is None or (ring.epoch == self._hub.epoch and ring.last_id <= topic.tail.head):
            self._rings["stale"].inc()
            return
        head = topic.tail.head
        if ring.epoch != self._hub.epoch or not ring.texts or ring.first_id > head + 1:
            self._rings["ahead"].inc()
            self._behind = True
            self._wake.set()
            return
        self._rings["taken"].inc()
        fresh = ring.texts[head + 1 - ring.first_id :][:PAGE]
        if head + len(fresh) < ring.last_id:
            # The rest from the log, a page a turn of the loop: at one go it would leave clients that read well
            # more than MAX_REPLAY behind.
            self._behind = True
            self._wake.set()
        self._hub.deliver(topic, [Update(ring.stream, head + 1 + n, text) for n, text in enumerate(fresh)])
        self._observe(ring.committed_ms)

    def _observe(self, committed_ms: float) -> None:
        if committed_ms:
            self.lag_ms = max(0.0, time.time() * 1000 - committed_ms)
            self._telemetry.commit_to_write_seconds.observe(self.lag_ms / 1000)

    # ---- the log

    async def _follow(self) -> None:
        while True:
            try:
                await self._wait()
                await self.look()
            except Exception as error:  # noqa: BLE001  this task must outlive whatever it meets
                self._telemetry.poll_errors.inc()
                self._telemetry.swallow("follower.look", error)
                self.following = False
                await asyncio.sleep(self._settings.poll_seconds)

    async def _wait(self) -> None:
        """Until a ring says that there is more, another process has written, or the poll is due."""
        while not self._due():
            await self._wake.wait()
            self._wake.clear()
            if self._log.stirred() and await self._log.changed():
                return

    def _due(self) -> bool:
        late = asyncio.get_running_loop().time() >= self._last_look + self._settings.poll_seconds
        return late or self._behind

    def _tick(self, late: float) -> None:
        # Twenty times a second, so it only wakes the task when there is something to do.
        if self._due() or self._log.stirred():
            self._wake.set()

    async def look(self) -> None:
        """Read whatever the log has beyond the heads; raises LogUnavailable.

        Callers that come together share one look, also one that failed: a thousand clients who wait for a log that
        hangs must not make it a thousand time-outs in a row.
        """
        seen = self._looks
        async with self._looking:
            if self._looks > seen + 1:
                return  # a look that began after this call has ended
            self._behind = False
            self._last_look = asyncio.get_running_loop().time()
            try:
                await self._look()
                self.following = True
            finally:
                self._looks += 1

    async def _look(self) -> None:
        heads = {name: topic.tail.head for name, topic in self._hub.topics.items()}
        state = await self._log.state()
        if state.epoch == self._hub.epoch and any(
            name in state.streams and state.streams[name].last_id < head for name, head in heads.items()
        ):
            # Ids were given back: the database was emptied or restored under us. Nobody may trust old positions.
            await self._log.new_epoch(state.epoch)
            state = await self._log.state()
        if state.epoch != self._hub.epoch:
            self._hub.renew(state.epoch, await self._load(state))
            return
        for name, bounds in state.streams.items():
            if name in self._hub.topics:
                await self._read(self._hub.topics[name], bounds)

    async def _read(self, topic: Topic, bounds: Bounds) -> None:
        topic.oldest_id = max(topic.oldest_id, bounds.oldest_id)
        while topic.tail.head < bounds.last_id:
            if topic.tail.head < topic.oldest_id - 1:
                self._hub.skip(topic, topic.oldest_id - 1)
                continue  # nothing may be left behind the hole
            self._telemetry.log_reads.labels("follow").inc()
            head = topic.tail.head
            updates = await self._log.after(topic.name, head, PAGE)
            fresh = [update for update in updates if update.id > topic.tail.head]  # rings went on meanwhile
            if fresh and fresh[0].id == topic.tail.head + 1:
                self._hub.deliver(topic, fresh)
            elif fresh:
                topic.oldest_id = max(topic.oldest_id, fresh[0].id)
            elif topic.tail.head == head:
                raise LogUnavailable(f"{topic.name}: the log announces {bounds.last_id} but ends at {head}.")

    async def _load(self, state: LogState) -> list[Topic]:
        return [await self._load_topic(name, bounds) for name, bounds in state.streams.items()]

    async def _load_topic(self, name: str, bounds: Bounds) -> Topic:
        """A topic with the newest updates already in memory, so that a restart can replay without the log."""
        start = max(bounds.oldest_id - 1, bounds.last_id - self._settings.tail_size)
        tail = Tail(start, self._settings.tail_size, self._settings.tail_bytes)
        while tail.head < bounds.last_id:
            updates = await self._log.after(name, tail.head, PAGE)
            held = [update for update in updates if update.id <= bounds.last_id]
            if not held:
                raise LogUnavailable(f"{name}: the log announces {bounds.last_id} but ends at {tail.head}.")
            if held[0].id != tail.head + 1:
                tail.reset(held[0].id - 1)  # trimmed since its bounds were read
            tail.extend(held)
        topic = Topic(name, bounds.kind, tail)
        topic.oldest_id = bounds.oldest_id
        return topic
