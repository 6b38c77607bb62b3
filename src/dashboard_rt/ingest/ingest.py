"""Ingest: what other programs PUBLISH on a channel of Redis enters the log, once, however many processes there are.

Every process is a candidate for one lease (eventlog/lease.py); the one that has it listens. It subscribes only when it
has the lease, so it never receives what its predecessor has written: that was published before. What it writes is
written under the lease, so a process that was replaced without noticing writes nothing any more.

A channel has no ids, and keeps nothing: what is published while nobody listens is lost, and only the times when that
may have happened can be counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from ..errors import LeaseLost, LogUnavailable, Refused
from ..eventlog.lease import LEASE_SECONDS, Before, Lease, Term
from ..eventlog.publisher import Publisher
from ..telemetry import GAP_CAUSES, MESSAGE_RESULTS, Telemetry
from ..types import Fence
from .queue import PayloadQueue

LOOK_SECONDS = 0.25  # between two looks at a lease that another process has
RENEW_SECONDS = LEASE_SECONDS / 3
RETRY_SECONDS = 0.5  # after the database failed
AWAY_SECONDS = 10.0  # without Redis until the lease is given up: another process may reach it
STEP_BACK_SECONDS = 4 * LOOK_SECONDS  # before it is wanted back, so that the others come first
STOP_SECONDS = 5.0  # for what has arrived when the process ends

logger = logging.getLogger(__name__)


class Channel(Protocol):
    """Where messages come from. `connected`: whether it hears them; false before `listen` and behind it."""

    connected: bool

    async def listen(
        self, on_payload: Callable[[bytes], None], on_subscribed: Callable[[], None]
    ) -> None: ...


class Ingest:
    """One process's part: wait for the lease; then listen, and write what comes, until it stops or loses the lease.

    `clock` returns seconds and never goes back, `now` Unix seconds.
    """

    def __init__(
        self,
        channel: Channel,
        lease: Lease,
        publisher: Publisher,
        stream: str,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._channel = channel
        self._lease = lease
        self._publisher = publisher
        self._stream = stream
        self._telemetry = telemetry
        self._clock = clock
        self._now = now
        self._messages = telemetry.ingest_messages
        self._gaps = telemetry.ingest_gaps
        self._queue = PayloadQueue(telemetry, clock)
        self._leading = False
        self._subscribed = False  # in this term
        self._failing = False  # the last look at the lease, or the last write, failed
        self._batches = 0  # in this term
        self._heard_at = 0.0  # when the channel was connected last
        self._last_at = 0.0  # Unix seconds of the last message
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """`leading`; `disconnected`, when this process leads but does not hear Redis; or `standby`."""
        if not self._leading:
            return "standby"
        return "leading" if self._channel.connected else "disconnected"

    def figures(self) -> dict[str, object]:
        """Return the JSON for /dashboard/stats. The counts are those of this process."""
        return {
            "state": self.state,
            "stream": self._stream,
            "waiting": len(self._queue),
            "last_message_at": _rfc3339(self._last_at),
            "messages": {result: int(self._messages.labels(result).value) for result in MESSAGE_RESULTS},
            "gaps": {why: int(self._gaps.labels(why).value) for why in GAP_CAUSES},
        }

    def start(self) -> None:
        """Become a candidate. Waits for nothing: Redis may be away."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="ingest")

    async def stop(self) -> None:
        """Write what has arrived and give the lease up, within STOP_SECONDS. Does nothing when it was not started."""
        if self._task is None:
            return
        self._stopping.set()
        self._queue.wake()
        await asyncio.wait([self._task], timeout=STOP_SECONDS)
        self._task.cancel()
        await asyncio.wait([self._task])

    # ---- candidate

    async def _run(self) -> None:
        while not self._stopping.is_set():
            pause = LOOK_SECONDS
            try:
                term = await self._lease.try_to_take()
                self._failing = False
                if term is not None:
                    await self._lead(term)
                    pause = STEP_BACK_SECONDS
            except Exception as error:  # noqa: BLE001  this task must survive whatever it meets
                self._note_failure(error)
                pause = RETRY_SECONDS
            await self._sleep(pause)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless the process stops meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _note_failure(self, error: Exception) -> None:
        """Count each failure, and log the first in a row: a database that is away fails every time."""
        if self._failing:
            self._telemetry.swallowed.labels("ingest").inc()
        else:
            self._telemetry.swallow("ingest", error)
        self._failing = True

    # ---- leader

    async def _lead(self, term: Term) -> None:
        """Listen and write until the process stops, the lease is lost, or Redis has been away for long."""
        self._begin(term)
        listening = self._channel.listen(self._on_payload, self._on_subscribed)
        listener = asyncio.get_running_loop().create_task(listening, name="ingest listener")
        try:
            await self._write(term.fence, listener)
            await _end(listener)
            await self._write_rest(term.fence)
            await self._lease.release(term.fence)
        except LeaseLost as error:
            logger.warning("INGEST_CHANNEL: %s This one reads it no longer.", error)
        finally:
            self._leading = False
            self._telemetry.ingest_leader.set(0)
            await _end(listener)
            self._messages.labels("dropped").inc(self._queue.clear())

    def _begin(self, term: Term) -> None:
        self._leading, self._subscribed = True, False
        self._batches = 0
        self._heard_at = self._clock()
        self._telemetry.ingest_leader.set(1)
        if term.before is not Before.NEW:
            self._gaps.labels("takeover" if term.before is Before.SILENT else "handover").inc()

    def _on_payload(self, raw: bytes) -> None:
        self._last_at = self._now()
        self._telemetry.ingest_last_message.set(self._last_at)
        self._queue.put(raw)

    def _on_subscribed(self) -> None:
        if self._subscribed:
            self._gaps.labels("reconnect").inc()
        else:
            logger.info("This process reads INGEST_CHANNEL now, into the stream %s.", self._stream)
        self._subscribed = True

    async def _write(self, fence: Fence, listener: asyncio.Task[None]) -> None:
        """Write what comes, and renew the lease while nothing does. Raises LeaseLost."""
        renew_at = self._clock() + RENEW_SECONDS
        while not self._stopping.is_set() and not self._is_cut_off():
            if listener.done():
                listener.result()
            if texts := self._queue.take():
                await self._append(texts, fence)
            elif self._clock() >= renew_at:
                await self._renew(fence)
            else:
                await self._queue.arrival(renew_at - self._clock())
                continue
            renew_at = self._clock() + RENEW_SECONDS

    def _is_cut_off(self) -> bool:
        if self._channel.connected:
            self._heard_at = self._clock()
        return self._clock() >= self._heard_at + AWAY_SECONDS

    async def _write_rest(self, fence: Fence) -> None:
        while texts := self._queue.take():
            await self._append(texts, fence)

    async def _append(self, texts: Sequence[str], fence: Fence) -> None:
        """Write a batch, however long that takes. Raises LeaseLost.

        With the same key until it is known that it was written: an answer that got lost must not make it two.
        """
        self._batches += 1
        key = f"ingest-{fence.holder}-{self._batches}"
        outcome = "dropped"
        try:
            while outcome != "written":
                try:
                    await self._publisher.publish(self._stream, texts, key, fence)
                    outcome = "written"
                    self._failing = False
                except LogUnavailable as error:
                    outcome = "unsure"
                    self._note_failure(error)
                    await asyncio.sleep(RETRY_SECONDS)
        except Refused as error:  # it would be refused for ever
            self._telemetry.swallow("ingest.refused", error)
        finally:
            self._messages.labels(outcome).inc(len(texts))

    async def _renew(self, fence: Fence) -> None:
        """Renew the lease. A database that is away takes it from nobody: only LeaseLost, which this raises, does."""
        try:
            await self._lease.renew(fence)
            self._failing = False
        except LogUnavailable as error:
            self._note_failure(error)


def _rfc3339(at: float) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at else None


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end. Its failure, if any, has been seen."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
