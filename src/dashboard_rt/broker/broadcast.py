"""The broker between processes: notifications over broadcaster, whatever its backend.

One subscription, one channel, one task that sends. What this process publishes is delivered to it at once, as
`memory://` does; what comes back of it from the service is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from contextlib import suppress

from broadcaster import Broadcast, Event

from ..settings import BROKER_CHANNEL
from ..telemetry import Telemetry
from ..types import Notification
from .backend import Gap, Lost, ReconnectingBackend
from .base import Broker, OnGap, OnNotification
from .memory import MemoryBroker
from .messages import MessageLimits, Unreadable, decode, encode, head_line

CHANNEL = BROKER_CHANNEL
MAX_QUEUED_BYTES = 8 * 1024 * 1024  # of what waits to be sent
MAX_MESSAGES = 20  # of one round trip
MAX_BODIES = 64  # of one message
START_SECONDS = (
    1.0  # that a start waits for the subscription, so that usually there is one from the beginning
)
FLUSH_SECONDS = 1.0  # for what is queued when the process ends
FAILED_SECONDS = 0.1  # between publishes that fail
FAILURES_TO_LOG = 3

logger = logging.getLogger(__name__)


class SendQueue:
    """Bodies of messages that wait to be sent, bounded in bytes. `size`: how many bytes one message may hold."""

    def __init__(self, size: int) -> None:
        self._message_size = size
        self._bodies: deque[bytes] = deque()
        self._size = 0
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._bodies)

    def add(self, bodies: list[bytes]) -> bool:
        """Queue them, all or none; False when they do not fit."""
        size = sum(map(len, bodies))
        if self._size + size > MAX_QUEUED_BYTES:
            return False
        self._bodies.extend(bodies)
        self._size += size
        self._arrived.set()
        return True

    async def take(self) -> list[list[bytes]]:
        """Wait for something, and take as much as one round trip may carry: the bodies of each message."""
        while not self._bodies:
            self._arrived.clear()
            await self._arrived.wait()
        taken: list[list[bytes]] = []
        while self._bodies and len(taken) < MAX_MESSAGES:
            taken.append(self._take_message())
        return taken

    def _take_message(self) -> list[bytes]:
        bodies = [self._bodies.popleft()]
        used = len(bodies[0])
        # Not more than MAX_BODIES: a message is delivered in one turn of the receiver's loop.
        while self._bodies and len(bodies) < MAX_BODIES:
            used += 1 + len(self._bodies[0])
            if used > self._message_size:
                break
            bodies.append(self._bodies.popleft())
        self._size -= sum(map(len, bodies))
        return bodies

    def clear(self) -> int:
        """Drop everything; how much that was."""
        dropped = len(self._bodies)
        self._bodies.clear()
        self._size = 0
        return dropped


class BroadcastBroker(Broker):
    """Carries notifications over one channel of a service, which carries what `limits` say."""

    def __init__(self, backend: ReconnectingBackend, limits: MessageLimits, telemetry: Telemetry) -> None:
        self._backend = backend
        self._broadcast = Broadcast(backend=backend)
        self._telemetry = telemetry
        self._local = MemoryBroker(telemetry)
        self._head = head_line(secrets.token_hex(8))
        self._own = self._head.decode()
        self._limits = limits._replace(size=limits.size - len(self._head))  # of a body
        self._queue = SendQueue(self._limits.size)
        self._sent = asyncio.Event()  # nothing is queued or on its way
        self._sent.set()
        self._subscribed = asyncio.Event()
        self._on_gap: OnGap
        self._failures = 0  # publishes in a row
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, on_notification: OnNotification, on_gap: OnGap) -> None:
        self._on_gap = on_gap
        await self._local.start(on_notification, on_gap)
        await self._broadcast.connect()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._receive(), name="broker receiver"),
            loop.create_task(self._send(), name="broker sender"),
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._subscribed.wait()

    async def notify(self, notification: Notification) -> None:
        await self._local.notify(notification)
        if not self.connected:
            self._drop("away", 1)
        elif self._queue.add(encode(notification, self._limits)):
            self._sent.clear()
        else:
            self._drop("queue", 1)

    async def stop(self) -> None:
        """Send what is queued, then stop listening. Does nothing when it was not started."""
        if not self._tasks:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._sent.wait()
        await self._local.stop()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._broadcast.disconnect()
        self._set_connected(False)

    # ---- receiving

    async def _receive(self) -> None:
        # One subscription for as long as the process lives: the first subscribers of broadcaster overwrite each other.
        async with self._broadcast.subscribe(CHANNEL) as subscriber:
            while True:
                event = await subscriber.get()
                try:
                    self._on_event(event)
                except Exception as error:  # noqa: BLE001  a fault of ours must not end the subscription
                    self._telemetry.swallow("broker.receive", error)

    def _on_event(self, event: Event) -> None:
        match event:
            case Gap():
                self._set_connected(True)
                self._subscribed.set()
                self._on_gap()
            case Lost():
                self._set_connected(False)
                self._forget_queue()
            case Event(message=text) if not text.startswith(self._own):
                self._on_message(text)

    def _on_message(self, text: str) -> None:
        try:
            notifications = decode(text)
        except Unreadable as error:
            self._backend.poisoned("shape", str(error))
            return
        for notification in notifications:
            self._local.deliver(notification)

    def _set_connected(self, connected: bool) -> None:
        self.connected = connected
        self._telemetry.broker_connected.set(connected)

    # ---- sending

    async def _send(self) -> None:
        while True:
            taken = await self._queue.take()
            try:
                await self._broadcast.publish(CHANNEL, [self._head + b"\n".join(bodies) for bodies in taken])
                self._failures = 0
            except Exception as error:  # noqa: BLE001  counted: the log has the updates
                self._drop("failed", sum(map(len, taken)))
                await self._after_failure(error)
            if not self._queue:
                self._sent.set()

    async def _after_failure(self, error: Exception) -> None:
        self._failures += 1
        # A service that is lost is logged by who listens. This is for one that is there, and takes nothing.
        if self._failures == FAILURES_TO_LOG and self.connected:
            logger.warning("%s: other processes cannot be notified: it %s", self._backend.service, error)
        await asyncio.sleep(FAILED_SECONDS)

    def _forget_queue(self) -> None:
        """Drop what was queued for a connection that is lost: at the next one everybody reads the log."""
        self._drop("away", self._queue.clear())

    def _drop(self, reason: str, count: int) -> None:
        self._telemetry.broker_dropped.labels(reason).inc(count)
