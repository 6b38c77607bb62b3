"""Publisher: append to the log, acknowledge, notify. The only way into the log.

Group commit: one task writes. A lone publish is committed at once; whatever arrives while it goes to disk waits in
the publish queue and is committed together, so that the rate grows with the load and nobody waits for a timer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import orjson

from ..broker.base import Broker
from ..errors import InvalidUpdate, LeaseLost, LogUnavailable, Refused, TooLarge, UnknownStream
from ..settings import Settings
from ..telemetry import Telemetry
from ..types import Append, Fence, Notification, Receipt
from .log import EventLog

GROUP_UPDATES = 1000
GROUP_BYTES = 4 * 1024 * 1024
MAX_UPDATES = 10_000  # of one publish: its transaction must not keep other processes from theirs
MAX_QUEUED = 10_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
WAIT_SECONDS = 5.0  # a publisher that has waited so long has lost patience too: it gets 503
STOP_SECONDS = 5.0  # for what is queued when the process ends: nobody waits longer than WAIT_SECONDS
TOO_SLOW = "The log is too slow now. Try again."


class QueuedPublish(NamedTuple):
    """One publish that waits to be written. `since` is `time.monotonic()`.

    Whoever awaits its `receipt` may be cancelled, which cancels nothing else.
    """

    append: Append
    size: int
    since: float
    receipt: asyncio.Future[Receipt]


class PublishQueue:
    """What waits for the writer, first come, first served. Never awaits.

    Bounded in number, bytes and time: when the log is slow, publishers get 503 soon instead of filling the memory.
    """

    def __init__(self) -> None:
        self._queue: deque[QueuedPublish] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[QueuedPublish]:
        return iter(self._queue)

    def add(self, append: Append, now: float, receipt: asyncio.Future[Receipt]) -> None:
        """Queue one publish. Raises InvalidUpdate, TooLarge; LogUnavailable when the queue is full."""
        size = checked_size(append)
        if self._queue and (len(self) >= MAX_QUEUED or self._bytes + size > MAX_QUEUED_BYTES):
            raise LogUnavailable("Too many updates wait to be written. Try again later.")
        self._queue.append(QueuedPublish(append, size, now, receipt))
        self._bytes += size

    def take_group(self) -> list[QueuedPublish]:
        """Take what one transaction writes, without those whose caller was cancelled."""
        group: list[QueuedPublish] = []
        updates = size = 0
        while self._queue:
            updates += len(self._queue[0].append.texts)
            size += self._queue[0].size
            if group and (updates > GROUP_UPDATES or size > GROUP_BYTES):
                break
            queued = self._queue.popleft()
            self._bytes -= queued.size
            if not queued.receipt.done():
                group.append(queued)
        return group

    def take_expired(self, now: float) -> list[QueuedPublish]:
        """Take those that have waited for WAIT_SECONDS."""
        expired = []
        while self._queue and self._queue[0].since <= now - WAIT_SECONDS:
            expired.append(self._queue.popleft())
            self._bytes -= expired[-1].size
        return expired

    def take_all(self) -> list[QueuedPublish]:
        """Take everything, when there will be no more transactions."""
        left = [*self._queue]
        self._queue.clear()
        self._bytes = 0
        return left


class Publisher:
    """Commits what is published and notifies the hubs. A publish costs no task and no thread of its own."""

    def __init__(self, log: EventLog, broker: Broker, settings: Settings, telemetry: Telemetry) -> None:
        self._log = log
        self._broker = broker
        self._streams = settings.streams
        self._keep = settings.keep_events
        self._telemetry = telemetry
        self._results = {r: telemetry.publishes.labels(r) for r in ("ok", "repeated", "refused", "failed")}
        self._clock = time.monotonic
        self._queue = PublishQueue()
        self._group: list[QueuedPublish] = []  # what is being committed
        self._arrived = asyncio.Event()
        self._deadline: asyncio.TimerHandle | None = None  # of who has waited longest
        self._open = False
        self._writer: asyncio.Task[None] | None = None
        self._trimmer: asyncio.Task[None] | None = None
        self._trim_every = max(1, self._keep // 10)
        self._untrimmed = 0

    async def start(self) -> None:
        """Start the writer, and trim what an earlier process left."""
        self._open = True
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="publisher")
        self._trim_when_due(self._trim_every)

    async def stop(self) -> None:
        """Write what is queued, refuse what comes later. Does nothing when it was not started."""
        self._open = False
        self._arrived.set()
        trimmer, self._trimmer = self._trimmer, None
        if trimmer is not None:
            trimmer.cancel()
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=STOP_SECONDS)
            self._writer.cancel()
        if tasks := [task for task in (self._writer, trimmer) if task is not None]:
            await asyncio.wait(tasks)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    async def publish(
        self, stream: str, texts: Sequence[str], key: str | None = None, fence: Fence | None = None
    ) -> Receipt:
        """Add updates (each a JSON text on one line) to a stream, all or none; returns when they are on disk.

        A `key` that the log remembers gets the receipt of its first time. Raises UnknownStream, InvalidUpdate,
        TooLarge; LeaseLost when the `fence` does not hold, and nothing was written; LogUnavailable when the publish
        is *not acknowledged*: it may have been written or not, so repeat it with the same key. A caller that is
        cancelled does not learn how it went, and disturbs nobody else.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        try:
            self._enqueue(Append(stream, tuple(texts), key, fence), receipt)
        except Refused:
            self._results["refused"].inc()
            raise
        self._arrived.set()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(WAIT_SECONDS, self._on_deadline)
        return await receipt

    def _enqueue(self, append: Append, receipt: asyncio.Future[Receipt]) -> None:
        if append.stream not in self._streams:
            names = ", ".join(sorted(self._streams))
            raise UnknownStream(f"There is no stream {append.stream!r} here: set STREAMS, which has {names}.")
        if not self._open:
            raise LogUnavailable(
                "This process takes no updates: its app has not started, or is stopping. Try again."
            )
        self._queue.add(append, self._clock(), receipt)

    def _on_deadline(self) -> None:
        """Refuse those who have waited too long, also those whose transaction is under way: a disk may hang in it.

        One timer for all of them: while somebody publishes it fires about once in WAIT_SECONDS.
        """
        now = self._clock()
        late = [queued for queued in self._group if queued.since <= now - WAIT_SECONDS]
        self._fail([*late, *self._queue.take_expired(now)], TOO_SLOW)
        waiting = (queued.since for queued in chain(self._group, self._queue) if not queued.receipt.done())
        oldest = next(waiting, None)
        self._deadline = None
        if oldest is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(max(0.0, oldest + WAIT_SECONDS - now), self._on_deadline)

    # ---- the writer

    async def _write(self) -> None:
        try:
            while await self._wait_for_work():
                self._fail(self._queue.take_expired(self._clock()), TOO_SLOW)
                self._group = self._queue.take_group()
                await self._commit(self._group)
        finally:
            self._open = False
            left = [*self._group, *self._queue.take_all()]
            self._fail(left, "The process stopped before this was written.")

    async def _wait_for_work(self) -> bool:
        """Return True when something is queued, False when the publisher was stopped and nothing is."""
        while not self._queue and self._open:
            self._arrived.clear()
            await self._arrived.wait()
        return bool(self._queue)

    async def _commit(self, group: list[QueuedPublish]) -> None:
        if not group:
            return
        try:
            receipts, epoch = await self._log.append([queued.append for queued in group])
            committed_ms = time.time() * 1000
            self._acknowledge(group, receipts)
            await self._notify(group, receipts, epoch, committed_ms)
        except LeaseLost as error:
            await self._commit(self._refuse_fenced(group, error))
        except LogUnavailable as error:
            self._fail(group, error.detail)
        except Exception as error:  # noqa: BLE001  the writer must survive whatever it meets
            self._telemetry.swallow("publisher.commit", error)
            self._fail(group, "The log failed. Try again.")

    def _acknowledge(self, group: list[QueuedPublish], receipts: list[Receipt]) -> None:
        now = self._clock()
        repeated = refused = 0
        for queued, receipt in zip(group, receipts, strict=True):
            if not queued.receipt.done():
                queued.receipt.set_result(receipt)
            elif not queued.receipt.cancelled():  # too late: it was refused meanwhile, and is counted so
                refused += 1
                continue
            repeated += receipt.repeated
            self._telemetry.publish_seconds.observe(now - queued.since)
        self._results["ok"].inc(len(group) - refused - repeated)
        self._results["repeated"].inc(repeated)

    def _refuse_fenced(self, group: list[QueuedPublish], lost: LeaseLost) -> list[QueuedPublish]:
        """Refuse those whose lease is lost. Returns the others, which have nothing to do with it."""
        others = []
        for queued in group:
            fence = queued.append.fence
            if fence is None or fence.holder != lost.holder:
                others.append(queued)
            elif not queued.receipt.done():
                queued.receipt.set_exception(LeaseLost(fence.lease, fence.holder))
                self._results["refused"].inc()
        return others

    def _fail(self, group: Sequence[QueuedPublish], detail: str) -> None:
        """Give each an error of its own: one that is raised in many tasks collects all their tracebacks."""
        for queued in group:
            if not queued.receipt.done():
                queued.receipt.set_exception(LogUnavailable(detail))
                self._results["failed"].inc()

    async def _notify(
        self, group: list[QueuedPublish], receipts: list[Receipt], epoch: str, committed_ms: float
    ) -> None:
        """Send one notification per stream: what a group adds to a stream has consecutive ids."""
        texts: dict[str, list[str]] = {}
        last_ids: dict[str, int] = {}
        for queued, receipt in zip(group, receipts, strict=True):
            if not receipt.repeated:
                texts.setdefault(queued.append.stream, []).extend(queued.append.texts)
                last_ids[queued.append.stream] = receipt.position.id
        for stream, last_id in last_ids.items():
            await self._broker.notify(Notification(epoch, stream, last_id, texts[stream], committed_ms))
        added = sum(map(len, texts.values()))
        self._telemetry.published_updates.inc(added)
        self._trim_when_due(added)

    # ---- trimming

    def _trim_when_due(self, added: int) -> None:
        self._untrimmed += added
        if not self._open:  # the last commits of a process that stops: the next one trims at its start
            return
        if self._untrimmed >= self._trim_every and (self._trimmer is None or self._trimmer.done()):
            self._untrimmed = 0
            self._trimmer = asyncio.get_running_loop().create_task(self._trim(), name="trim")

    async def _trim(self) -> None:
        try:
            await self._log.trim(self._keep)
            while self._untrimmed >= self._trim_every:  # it fell due again meanwhile
                self._untrimmed = 0
                await self._log.trim(self._keep)
        except Exception as error:  # noqa: BLE001  until the next publish the log is longer than KEEP_EVENTS
            self._untrimmed = self._trim_every
            self._telemetry.swallow("publisher.trim", error)


def checked_size(append: Append) -> int:
    """Return the bytes of an append. Raises InvalidUpdate, TooLarge.

    What the database would fail on is refused here, before it can spoil the group that it is committed with.
    """
    if not append.texts:
        raise InvalidUpdate("There is nothing to publish: send at least one JSON text.")
    if len(append.texts) > MAX_UPDATES:
        raise TooLarge(f"At most {MAX_UPDATES} updates at a time: send the rest in another publish.")
    if "\0" in (append.key or ""):
        raise InvalidUpdate("An idempotency key must not hold a NUL character.")
    try:
        return len((append.key or "").encode()) + sum(map(_line_size, append.texts))
    except UnicodeEncodeError as error:
        raise InvalidUpdate(f"An update must be valid Unicode ({error.reason}).") from None


def _line_size(text: str) -> int:
    if "\n" in text or "\r" in text:
        raise InvalidUpdate("An update is one line: pass it through clean_json first.")
    if "\0" in text:  # which JSON does not allow, and PostgreSQL does not take
        raise InvalidUpdate("An update must not hold a NUL character: escape it.")
    return len(text.encode())


def clean_json(raw: bytes | str) -> str:
    """Check a JSON text and put it on one line, otherwise unchanged (docs/protocol.md §5).

    Raises InvalidUpdate for what is not JSON: NaN, infinities, lone surrogates, a byte order mark, two texts; and for
    what is not UTF-8.
    """
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidUpdate(_encoding_fault(raw) or f"This is not JSON: {error}.") from None
    text = raw if isinstance(raw, str) else raw.decode()
    # JSON has no bare control characters inside strings, so this replaces white space between tokens only.
    return text.replace("\r", " ").replace("\n", " ")


def _encoding_fault(raw: bytes | str) -> str | None:
    """Return what is wrong with the encoding of a text, which orjson tells in words of its own ("surrogates")."""
    try:
        _ = raw.decode() if isinstance(raw, bytes) else raw
    except UnicodeDecodeError as error:
        byte = error.start + 1
        return f"This is not UTF-8, the encoding of JSON (RFC 8259 §8.1): convert it. Byte {byte} cannot be read."
    return None
