"""PayloadQueue: payloads that have arrived and are not in the log yet. Knows neither where they come from nor the log.

What is no update is counted by reason, and told now and then: a publisher that sends nothing else must not fill the
log of the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ..errors import InvalidUpdate
from ..eventlog.publisher import clean_json
from ..http.publish import BYTE_ORDER_MARK, MAX_BATCH_BYTES, MAX_UPDATE_BYTES
from ..telemetry import Telemetry

BATCH_TEXTS = 1000  # of one transaction: other processes wait that long for theirs
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 16 * 1024 * 1024
TELL_SECONDS = 60.0  # between two log lines about payloads that are no updates

logger = logging.getLogger(__name__)


class Unusable(Exception):
    """A payload that is no update. `reason` is a label, `detail` a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class PayloadQueue:
    """Updates in the order of their arrival, bounded in number and bytes.

    While the log cannot be written it fills up; then the oldest are dropped, because whoever looks at a dashboard needs
    the newest. `clock` returns seconds and never goes back.
    """

    def __init__(self, telemetry: Telemetry, clock: Callable[[], float] = time.monotonic) -> None:
        self._messages = telemetry.ingest_messages
        self._clock = clock
        self._waiting: deque[tuple[str, int]] = deque()  # with their bytes
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._unusable = 0  # since the last log line
        self._tell_at = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, raw: bytes) -> None:
        """Take one payload. Never raises."""
        try:
            text = read_payload(raw)
        except Unusable as error:
            self._complain(error)
            return
        self._waiting.append((text, len(raw)))
        self._bytes += len(raw)
        while len(self._waiting) > MAX_WAITING or self._bytes > MAX_WAITING_BYTES:
            self._bytes -= self._waiting.popleft()[1]
            self._messages.labels("dropped").inc()
        self._arrived.set()

    def take(self) -> list[str]:
        """Take what one publish may hold, the oldest first."""
        texts: list[str] = []
        size = 0
        while self._waiting and len(texts) < BATCH_TEXTS:
            size += self._waiting[0][1]
            if texts and size > MAX_BATCH_BYTES:
                break
            text, length = self._waiting.popleft()
            self._bytes -= length
            texts.append(text)
        return texts

    async def arrival(self, seconds: float) -> None:
        """Return when something waits, at the latest after `seconds`."""
        self._arrived.clear()
        if not self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()

    def wake(self) -> None:
        """Let `arrival` return though nothing has arrived."""
        self._arrived.set()

    def clear(self) -> int:
        """Forget what waits. Returns how much that was."""
        count, self._bytes = len(self._waiting), 0
        self._waiting.clear()
        return count

    def _complain(self, error: Unusable) -> None:
        self._messages.labels(error.reason).inc()
        self._unusable += 1
        now = self._clock()
        if now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            logger.warning(
                "INGEST_CHANNEL: %d messages were skipped since the last such line. The last one: %s",
                *(self._unusable, error.detail),
            )
            self._unusable = 0


def read_payload(raw: bytes) -> str:
    """Return a payload as an update, within the limits that publishing over HTTP has. Raises Unusable."""
    if len(raw) > MAX_UPDATE_BYTES:
        raise Unusable(
            "too_large", f"An update has at most {MAX_UPDATE_BYTES} bytes, this has {len(raw)}: send less."
        )
    try:
        return clean_json(raw.removeprefix(BYTE_ORDER_MARK))
    except InvalidUpdate as error:
        raise Unusable("not_json" if _is_utf8(raw) else "not_utf8", error.detail) from None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
