"""Where a (re)connecting client goes on: one rule for all transports (docs/protocol.md §1).

`decide` is the rule, pure. `Resumer` applies it to what this process knows, after a look at the log where the
client may know more. It moves no subscription: that is for the Hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..eventlog.log import EventLog
from ..telemetry import Telemetry
from ..types import Position, Verdict
from .subscription import ENDED, Resume, StreamRange, Subscriber, Subscription, Topic
from .tasks import BackgroundTasks

MAX_QUESTIONS = 64  # of one connection that may wait for the log; further ones are answered from memory
MAX_LOOKUPS = (
    64  # of a time in the log, for all connections together: any client may ask, and each is a query
)
LOOKUPS_AT_ONCE = 2  # more would stand in the way of the reads that live delivery needs
RETRY_SECONDS = 0.5  # between two looks at a log that is away


def decide(position: Position | None, held: StreamRange, max_replay: int) -> Resume:
    """Apply the rule: a known position that is still held is replayed from, anything else starts anew."""
    if position is None:
        return start_anew(Verdict.FRESH, held, None)
    if position.epoch != held.epoch or position.id > held.head:
        return start_anew(Verdict.GAP, held, None)
    if position.id < held.oldest_id - 1 or held.head - position.id > max_replay:
        return start_anew(Verdict.GAP, held, held.start - position.id)
    return Resume(Verdict.RECOVERED, position.id, held.head - position.id)


def start_anew(verdict: Verdict, held: StreamRange, missed: int | None) -> Resume:
    """Start with the newest state, or with the next update of a log."""
    return Resume(verdict, held.start, held.head - held.start, missed)


Then = Callable[[Subscription, Resume], None]  # called with the answer


class Resumer:
    """Answers where subscriptions go on, for one process. `refresh` reads what the log has beyond the heads."""

    def __init__(
        self, log: EventLog, refresh: Callable[[], Awaitable[None]], max_replay: int, telemetry: Telemetry
    ) -> None:
        self._log = log
        self._refresh = refresh
        self._max_replay = max_replay
        self._telemetry = telemetry
        self._tasks = BackgroundTasks(telemetry, "resume.task")
        self._questions: dict[Subscriber, int] = {}  # that wait for the log
        self._lookups: dict[tuple[str, str, int], asyncio.Task[int | None]] = {}  # by stream, epoch and time
        self._turn = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    def after(self, subscription: Subscription, position: Position | None, then: Then) -> None:
        """Resume behind a position. Calls `then` at once where memory has the answer."""
        topic = subscription.topic
        if (
            position is not None
            and position.epoch == topic.epoch
            and not topic.tail.first_id - 1 <= position.id <= topic.tail.head
            and self._may_ask(subscription.connection)
        ):
            # Another process may have committed what this one has not read yet, or trimmed what this one believes
            # is held: look at the log before deciding.
            self._ask(subscription, self._look_and_decide(subscription, position), then)
        else:
            then(subscription, self._decide(topic, position))

    def since(self, subscription: Subscription, since: int, then: Then) -> None:
        """Resume at a time (Unix seconds, inclusive): `recovered`, or as if no time had been given."""
        lookup = self._lookup(subscription.topic, since) if self._may_ask(subscription.connection) else None
        if lookup is not None:
            self._ask(
                subscription, self._decide_at(subscription.topic, subscription.topic.epoch, lookup), then
            )
        else:
            self._telemetry.rejected.labels(subscription.connection.transport, "history").inc()
            then(subscription, self._decide(subscription.topic, None))

    def _decide(self, topic: Topic, position: Position | None) -> Resume:
        return decide(position, topic.range(), self._max_replay)

    # ---- with a look at the log

    def _may_ask(self, connection: Subscriber) -> bool:
        return self._questions.get(connection, 0) < MAX_QUESTIONS

    def _ask(self, subscription: Subscription, answer: Awaitable[Resume], then: Then) -> None:
        connection = subscription.connection
        self._questions[connection] = self._questions.get(connection, 0) + 1
        self._tasks.spawn(self._wait(subscription, answer, then))

    async def _wait(self, subscription: Subscription, answer: Awaitable[Resume], then: Then) -> None:
        connection = subscription.connection
        try:
            then(subscription, await answer)
        finally:
            self._questions[connection] -= 1
            if not self._questions[connection]:
                del self._questions[connection]

    async def _look_and_decide(self, subscription: Subscription, position: Position) -> Resume:
        """Decide after a look at the log. One that is away is waited for by a client that is ahead of this process.

        Another process may have sent it what this one has not read. Told `gap`, it would get that a second time.
        """
        topic = subscription.topic
        while not await self._look() and subscription.cursor != ENDED:
            if position.epoch != topic.epoch or position.id <= topic.tail.head:
                break  # what is known is enough
            await asyncio.sleep(RETRY_SECONDS)
        return self._decide(topic, position)

    async def _look(self) -> bool:
        """Read what the log has beyond the heads; False when that fails."""
        try:
            await self._refresh()
        except Exception as error:  # noqa: BLE001  a client waits for its verdict, which comes all the same
            self._telemetry.swallow("resume.look", error)
            return False
        return True

    # ---- a time in the log

    def _lookup(self, topic: Topic, since: int) -> asyncio.Task[int | None] | None:
        """Return the search for a time, shared by all who ask the same; None when too many are under way."""
        key = topic.name, topic.epoch, since
        lookup = self._lookups.get(key)
        if lookup is None and len(self._lookups) < MAX_LOOKUPS:
            lookup = self._lookups[key] = asyncio.get_running_loop().create_task(self._find(topic, since))
            lookup.add_done_callback(lambda _: self._lookups.pop(key))
        return lookup

    async def _find(self, topic: Topic, since: int) -> int | None:
        """Return the cursor before the first update of a time; None when that cannot be served."""
        self._telemetry.log_reads.labels("since").inc()
        try:
            async with self._turn:
                cursor = await self._log.since(topic.name, since * 1000, self._max_replay)
        except Exception as error:  # noqa: BLE001  as above
            self._telemetry.swallow("resume.since", error)
            return None
        if cursor is not None and cursor > topic.tail.head:
            await self._look()
        return cursor

    async def _decide_at(self, topic: Topic, epoch: str, lookup: asyncio.Task[int | None]) -> Resume:
        cursor = await lookup
        if cursor is not None and epoch == topic.epoch:  # otherwise it is about an epoch that has ended
            resume = self._decide(topic, Position(epoch, cursor))
            if resume.verdict is Verdict.RECOVERED:
                return resume
        return self._decide(topic, None)
