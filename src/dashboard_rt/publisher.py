"""Publisher: append, commit, ring. The only way into the log.

**Group commit**: one task writes. A lone publish is committed at once; whatever arrives while it goes to disk waits
and is committed together, so that the rate grows with the load and nobody waits for a timer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson

from .broker import Broker
from .errors import InvalidUpdate, LogUnavailable, Refused, UnknownStream
from .eventlog import EventLog
from .telemetry import Telemetry
from .types import Append, Kind, Receipt, Ring
from .waiting import Waiting, WaitingRoom

STOP_SECONDS = 10.0  # for what still waits when the process ends; the rest is not acknowledged


class Limits(Protocol):
    """What is asked of the settings."""

    @property
    def streams(self) -> Mapping[str, Kind]:
        """The streams that exist."""

    @property
    def keep_events(self) -> int:
        """How many updates of each stream the log keeps."""


class Publisher:
    """Commits what is published and rings. A publish costs its caller no task and no thread of its own."""

    def __init__(self, log: EventLog, broker: Broker, settings: Limits, telemetry: Telemetry) -> None:
        self._log = log
        self._broker = broker
        self._streams = settings.streams
        self._keep = settings.keep_events
        self._telemetry = telemetry
        self._results = {r: telemetry.publishes.labels(r) for r in ("ok", "repeated", "refused", "failed")}
        self._clock = time.monotonic
        self._room = WaitingRoom()
        self._group: list[Waiting] = []  # what is being committed
        self._arrived = asyncio.Event()
        self._open = False
        self._writer: asyncio.Task[None] | None = None
        self._trimmer: asyncio.Task[None] | None = None
        self._trim_every = max(1, self._keep // 10)
        self._untrimmed = 0

    async def start(self) -> None:
        """Begin to write, and trim what an earlier life left."""
        self._open = True
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="publisher")
        self._trim_when_due(self._trim_every)

    async def stop(self) -> None:
        """Write what waits, refuse what comes later. Harmless when not started."""
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

    async def publish(self, stream: str, texts: Sequence[str], key: str | None = None) -> Receipt:
        """Add updates (each a JSON text on one line) to a stream, all or none; returns when they are on disk.

        A `key` that the log remembers gets the receipt of its first time. Raises UnknownStream, InvalidUpdate,
        TooLarge; LogUnavailable when it is *not acknowledged*: whether it was written is open, so repeat it with
        the same key. A caller that is cancelled does not learn how it went, and disturbs nobody else.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        try:
            self._admit(Append(stream, tuple(texts), key), receipt)
        except Refused:
            self._results["refused"].inc()
            raise
        self._arrived.set()
        return await receipt

    def _admit(self, append: Append, receipt: asyncio.Future[Receipt]) -> None:
        if append.stream not in self._streams:
            there = ", ".join(sorted(self._streams))
            raise UnknownStream(f"There is no stream {append.stream!r} here: set STREAMS, which has {there}.")
        if not self._open:
            raise LogUnavailable(
                "This process takes no updates: its app has not started, or is stopping. Try again."
            )
        self._room.admit(append, self._clock(), receipt)

    # ---- the writer

    async def _write(self) -> None:
        try:
            while await self._somebody_waits():
                self._fail(self._room.take_late(self._clock()), "The log is too slow now. Try again.")
                self._group = self._room.take_group()
                await self._commit(self._group)
        finally:
            self._open = False
            left = [*self._group, *self._room.take_all()]
            self._fail(left, "The process stopped before this was written.")

    async def _somebody_waits(self) -> bool:
        while not self._room and self._open:
            self._arrived.clear()
            await self._arrived.wait()
        return bool(self._room)

    async def _commit(self, group: list[Waiting]) -> None:
        if not group:
            return
        try:
            receipts, epoch = await self._log.append([waiting.append for waiting in group])
            committed_ms = time.time() * 1000
            self._acknowledge(group, receipts)
            await self._announce(group, receipts, epoch, committed_ms)
        except LogUnavailable as error:
            self._fail(group, error.detail)
        except Exception as error:  # noqa: BLE001  the writer must outlive whatever it meets
            self._telemetry.swallow("publisher.commit", error)
            self._fail(group, "The log failed. Try again.")

    def _acknowledge(self, group: list[Waiting], receipts: list[Receipt]) -> None:
        now = self._clock()
        repeated = 0
        for waiting, receipt in zip(group, receipts, strict=True):
            repeated += receipt.repeated
            self._telemetry.publish_seconds.observe(now - waiting.since)
            if not waiting.receipt.done():
                waiting.receipt.set_result(receipt)
        self._results["ok"].inc(len(group) - repeated)
        self._results["repeated"].inc(repeated)

    def _fail(self, group: Sequence[Waiting], detail: str) -> None:
        """Each gets an error of its own: one that is raised in many tasks collects all their tracebacks."""
        for waiting in group:
            if not waiting.receipt.done():
                waiting.receipt.set_exception(LogUnavailable(detail))
                self._results["failed"].inc()

    async def _announce(
        self, group: list[Waiting], receipts: list[Receipt], epoch: str, committed_ms: float
    ) -> None:
        """Once per stream: what was written of it is one unbroken piece."""
        texts: dict[str, list[str]] = {}
        last_ids: dict[str, int] = {}
        for waiting, receipt in zip(group, receipts, strict=True):
            if not receipt.repeated:
                texts.setdefault(waiting.append.stream, []).extend(waiting.append.texts)
                last_ids[waiting.append.stream] = receipt.position.id
        for stream, last_id in last_ids.items():
            await self._broker.ring(Ring(epoch, stream, last_id, texts[stream], committed_ms))
        added = sum(map(len, texts.values()))
        self._telemetry.published_updates.inc(added)
        self._trim_when_due(added)

    # ---- trimming

    def _trim_when_due(self, added: int) -> None:
        self._untrimmed += added
        if self._untrimmed >= self._trim_every and (self._trimmer is None or self._trimmer.done()):
            self._untrimmed = 0
            self._trimmer = asyncio.get_running_loop().create_task(self._trim(), name="trim")

    async def _trim(self) -> None:
        try:
            await self._log.trim(self._keep)
            while self._untrimmed >= self._trim_every:  # it fell due again meanwhile
                self._untrimmed = 0
                await self._log.trim(self._keep)
        except Exception as error:  # noqa: BLE001  the log is longer than wished for until the next publish
            self._untrimmed = self._trim_every
            self._telemetry.swallow("publisher.trim", error)


def clean_json(raw: bytes | str) -> str:
    """A JSON text as it goes out: checked, on one line, otherwise unchanged (protocol §5).

    Raises InvalidUpdate for what is not JSON: NaN, infinities, lone surrogates, a byte order mark, two texts.
    """
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidUpdate(f"This is not JSON: {error}.") from None
    text = raw if isinstance(raw, str) else raw.decode()
    # Outside of strings only: inside one JSON has no bare control characters, so no text changes its meaning.
    return text.replace("\r", " ").replace("\n", " ")
