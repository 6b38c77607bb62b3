"""Watch both transports through a URL for some seconds, and record what happens on each connection.

What an `Observation` means is in diagnosis.py.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise

from .connection import ConnectOptions, Event, EventKind, ResponseHead, Step, Timing, TransportName
from .failures import ConnectionFailed, FailureReason
from .listener import open_connection
from .report import SequenceChecker
from .sse import warm_up
from .target import Target

ORIGIN_REFUSALS = frozenset({401, 403, 404})
RETRY_SECONDS = 5.0


@dataclass
class Observation:
    """What was seen of one transport during `seconds`, connecting included.

    `origin` is the Origin header that was sent, `cross_origin` whether it differs from the server's own;
    `origin_refused`: the server refused it, and accepts a connection without one. `head` is None when no
    response arrived. `watched`: seconds from the response head to the end. `ended_after`: seconds from the
    response head until the connection ended on its own, None when it lasted.
    """

    transport: TransportName
    url: str
    seconds: float
    origin: str
    cross_origin: bool
    head: ResponseHead | None = None
    timing: Timing = field(default_factory=Timing)
    events: list[Event] = field(default_factory=list)
    checker: SequenceChecker = field(default_factory=SequenceChecker)
    failure: ConnectionFailed | None = None
    origin_refused: bool = False
    ended_after: float | None = None
    watched: float = 0.0

    def of_kind(self, kind: EventKind) -> list[Event]:
        """Return the events of one kind, in order of arrival."""
        return [event for event in self.events if event.kind is kind]

    @property
    def head_at(self) -> float:
        """When the response head arrived, in `time.monotonic`."""
        return self.timing.started_at + self.timing.marks.get(Step.HEAD, 0.0)

    @property
    def longest_silence(self) -> float:
        """The longest time without an event, in seconds, from the response head to the end of watching."""
        arrivals = [event.received_at for event in self.events]
        times = [self.head_at, *arrivals, self.head_at + self.watched]
        return max(later - earlier for earlier, later in pairwise(times))

    @property
    def refusal_status(self) -> int | None:
        """The status of the response that refused the connection, None when there was none."""
        head = self.failure.head if self.failure is not None else None
        return None if head is None else head.status


async def observe_both(target: Target, seconds: float, origin: str | None) -> tuple[Observation, Observation]:
    """Watch SSE and the cable at the same time, so that each serves as the other's clock.

    `origin`: the Origin header to send (None: the server's own). Failures are part of the observations.
    """
    await warm_up()
    sse, cable = await asyncio.gather(
        observe(TransportName.SSE, target, seconds, origin),
        observe(TransportName.CABLE, target, seconds, origin),
    )
    return sse, cable


async def observe(
    transport: TransportName, target: Target, seconds: float, origin: str | None
) -> Observation:
    """Watch one transport for `seconds`, connecting included."""
    sent = origin or target.origin
    observation = Observation(transport, target.url(transport), seconds, sent, sent != target.origin)
    try:
        async with asyncio.timeout(seconds):
            await _watch(target, observation)
    except TimeoutError:
        pass  # the ordinary end: the connection lasted as long as it was watched
    except ConnectionFailed as failure:
        observation.failure = failure
    if observation.head is not None:
        observation.watched = time.monotonic() - observation.head_at
    observation.origin_refused = await _opens_without_origin(target, observation)
    return observation


async def _watch(target: Target, observation: Observation) -> None:
    # The connection's own timeout is longer, so that a silence ends at `seconds` and not as a failure.
    options = ConnectOptions(observation.seconds + 1, origin=observation.origin, compression=True)
    async with (
        open_connection(observation.transport, target, options) as connection,
        aclosing(connection.events) as events,
    ):
        observation.head = connection.head
        observation.timing = connection.timing
        try:
            async for event in events:
                observation.events.append(event)
                observation.checker.check(event)
            observation.ended_after = time.monotonic() - observation.head_at
        except ConnectionFailed:
            observation.ended_after = time.monotonic() - observation.head_at
            raise


async def _opens_without_origin(target: Target, observation: Observation) -> bool:
    """Tell a refused Origin from other refusals: connect again without one."""
    if observation.failure is None or observation.failure.reason is not FailureReason.STATUS:
        return False
    if observation.refusal_status not in ORIGIN_REFUSALS:
        return False
    options = ConnectOptions(RETRY_SECONDS)
    try:
        async with (
            asyncio.timeout(RETRY_SECONDS),
            open_connection(observation.transport, target, options),
        ):
            return True
    except (ConnectionFailed, TimeoutError):
        return False
