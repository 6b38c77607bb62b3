"""The bell between processes. Carries rings, may lose, double or reorder them; nothing else imports `broadcaster`.

A process hears its own rings at once. The backend carries them to the others: under `memory://` there are none.

One `Broadcast` and one subscription per process, in a task that starts them anew whenever they end: broadcaster has
no reconnect, an unbounded queue per subscriber, and races between subscribers of one channel (facts.md §1). With a
single subscriber that never waits, none of that can hurt.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import orjson
from broadcaster import Broadcast

from .errors import BadSetting
from .telemetry import Telemetry
from .types import Ring

CHANNEL = "dashboard_rt"
RING_SECONDS = 1.0  # how long a ring may keep the publisher; it may get lost, so it need not wait
BACKOFF_SECONDS = 0.1  # the first pause before the subscription is started anew, at most; then twice as long
BACKOFF_CAP_SECONDS = 5.0  # and never longer than this
ALONE = frozenset({"memory"})  # schemes that reach no other process
CARRIES = {"memory": 4 * 1024 * 1024}  # bytes of a message by scheme; a larger ring goes without its updates


class Broker:
    """Rings, and hears the rings of all processes, its own included."""

    def __init__(
        self, url: str, telemetry: Telemetry, broadcast: Callable[[str], Broadcast] = Broadcast
    ) -> None:
        """`memory://` reaches this process only. BadSetting for what is not supported."""
        scheme = url.partition(":")[0]
        if scheme not in CARRIES:
            raise BadSetting("BROKER_URL must be memory://.")
        self._url = f"{scheme}://" if scheme == "memory" else url
        self._alone = scheme in ALONE
        self._carries = CARRIES[scheme]
        self._telemetry = telemetry
        self._failed = telemetry.rings.labels("failed")
        self._unreadable = telemetry.rings.labels("unreadable")
        self._handlers: list[Callable[[Ring], None]] = []
        self._new_broadcast = broadcast
        self._broadcast: Broadcast | None = None
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def heard(self) -> bool:
        """Whether the subscription stands."""
        return self._broadcast is not None

    def listen(self, handler: Callable[[Ring], None]) -> None:
        """Call `handler` with every ring, in the task of the subscription: it must not block."""
        self._handlers.append(handler)

    async def start(self) -> None:
        """Begin to listen. Returns after the first try, successful or not: `heard` tells."""
        self._tried.clear()
        self._task = asyncio.get_running_loop().create_task(self._supervise(), name="broker")
        await self._tried.wait()

    async def stop(self) -> None:
        """Listen no more. Harmless when not started."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            self._broadcast = None

    async def ring(self, ring: Ring) -> None:
        """Tell every process. Never raises and never waits long: a ring that fails is counted, and costs latency."""
        # Behind what is scheduled already, which is the answers to those who have published.
        asyncio.get_running_loop().call_soon(self._hear, ring)
        if not self._alone:
            await self._tell(ring)

    async def _tell(self, ring: Ring) -> None:
        if self._broadcast is None:
            self._failed.inc()  # and no log line: the supervisor wrote one when the subscription went down
            return
        try:
            async with asyncio.timeout(RING_SECONDS):
                await self._broadcast.publish(CHANNEL, self._message(ring))
        except Exception as error:  # noqa: BLE001  a backend may raise anything, and the log has the update anyway
            self._failed.inc()
            self._telemetry.swallow("broker.ring", error)

    def _message(self, ring: Ring) -> str:
        message = encoded(ring)
        if len(message) > self._carries:
            message = encoded(ring._replace(texts=()))
        return message.decode()

    # ---- the subscription

    async def _supervise(self) -> None:
        """Subscribe for ever. A new `Broadcast` each time: one that lost its connection stays silent for good."""
        pause = BACKOFF_SECONDS
        while True:
            error = await self._subscription()
            pause = BACKOFF_SECONDS if self.heard else min(2 * pause, BACKOFF_CAP_SECONDS)
            self._broadcast = None
            self._tried.set()
            self._telemetry.broker_restarts.inc()
            self._telemetry.swallow("broker.subscription", error)
            await asyncio.sleep(random.uniform(0, pause))

    async def _subscription(self) -> Exception:
        """One subscription, for as long as it lasts; what ended it."""
        try:
            await self._subscribe()
        except Exception as error:  # noqa: BLE001  whatever it was, the bell must be heard again
            return error
        return ConnectionError("The subscription ended.")

    async def _subscribe(self) -> None:
        async with self._new_broadcast(self._url) as broadcast, broadcast.subscribe(CHANNEL) as events:
            self._broadcast = broadcast
            self._tried.set()
            while True:
                self._take((await events.get()).message)

    def _take(self, message: str) -> None:
        try:
            ring = decoded(message)
        except ValueError as error:
            self._unreadable.inc()
            self._telemetry.swallow("broker.unreadable", error)
        else:
            self._hear(ring)

    def _hear(self, ring: Ring) -> None:
        for handler in self._handlers:
            try:
                handler(ring)
            except Exception as error:  # noqa: BLE001  one handler's fault must not silence the bell
                self._telemetry.swallow("broker.handler", error)


def encoded(ring: Ring) -> bytes:
    """A ring as one JSON array, as it travels."""
    return orjson.dumps([ring.epoch, ring.stream, ring.last_id, ring.committed_ms, ring.texts])


def decoded(message: str) -> Ring:
    """What `encoded` wrote; ValueError for anything else, for others may write to the channel too."""
    match orjson.loads(message):
        case [str(epoch), str(stream), int(last_id), float() | int() as committed_ms, [*texts]] if all(
            isinstance(text, str) for text in texts
        ):
            return Ring(epoch, stream, last_id, texts, committed_ms)
    raise ValueError("This is not a ring.")
