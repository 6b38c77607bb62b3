"""Judge: where somebody who comes (back) stands, by the one rule, on what memory knows or after a look at the log.

Gives verdicts; who is put where because of them is the Hub's business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from .standing import Standing, stand
from .subscription import Session, Subscription, Topic
from .tasks import Tasks
from .telemetry import Telemetry
from .types import Position, Verdict

QUESTIONS = 64  # of one session that may wait for the log; further ones are answered from memory

Then = Callable[[Subscription, Standing], None]  # what to do with a verdict


class Known(Protocol):
    """What is asked of the Hub."""

    epoch: str
    refresh: Callable[[], Awaitable[None]] | None


class Log(Protocol):
    """What is asked of the log."""

    async def since(self, stream: str, ms: int, limit: int) -> int | None:
        """The cursor of everything created at `ms` (Unix) or later; None if trimmed, or over `limit`."""


class Judge:
    """Verdicts for one process."""

    def __init__(self, known: Known, log: Log, max_replay: int, telemetry: Telemetry) -> None:
        self._known = known
        self._log = log
        self._max_replay = max_replay
        self._telemetry = telemetry
        self._tasks = Tasks(telemetry, "judge.task")
        self._asking: dict[Session, int] = {}

    def after(self, subscription: Subscription, position: Position | None, then: Then) -> None:
        """Where one stands who has everything up to a position; `then` hears it, at once where memory knows."""
        topic = subscription.topic
        ours = position is not None and position.epoch == self._known.epoch
        known = position is None or topic.tail.first_id - 1 <= position.id <= topic.tail.head
        if ours and not known and self._may_ask(subscription.session):
            # Another process may have committed what this one has not read yet, or trimmed what it thinks is
            # held: look before judging.
            self._ask(subscription, self._looked_up(topic, position), then)
        else:
            then(subscription, self._judge(topic, position))

    def since(self, subscription: Subscription, since: int, then: Then) -> None:
        """The same for one who wants everything from a time on (Unix seconds, inclusive)."""
        if self._may_ask(subscription.session):
            self._ask(subscription, self._found(subscription.topic, since), then)
        else:
            then(subscription, self._judge(subscription.topic, None))

    def _judge(self, topic: Topic, position: Position | None) -> Standing:
        """The one rule, applied to what is known now."""
        return stand(position, topic.held(self._known.epoch), self._max_replay)

    def _may_ask(self, session: Session) -> bool:
        return self._asking.get(session, 0) < QUESTIONS

    def _ask(self, subscription: Subscription, judging: Awaitable[Standing], then: Then) -> None:
        self._asking[subscription.session] = self._asking.get(subscription.session, 0) + 1
        self._tasks.spawn(self._answer(subscription, judging, then))

    async def _answer(self, subscription: Subscription, judging: Awaitable[Standing], then: Then) -> None:
        session = subscription.session
        try:
            then(subscription, await judging)
        finally:
            self._asking[session] -= 1
            if not self._asking[session]:
                del self._asking[session]

    async def _looked_up(self, topic: Topic, position: Position | None) -> Standing:
        await self._look()
        return self._judge(topic, position)

    async def _look(self) -> None:
        try:
            if self._known.refresh is not None:
                await self._known.refresh()
        except Exception as error:  # noqa: BLE001  somebody waits for a verdict: it is given on what is known
            self._telemetry.swallow("hub.look", error)

    async def _found(self, topic: Topic, since: int) -> Standing:
        """Where a reader stands who wants everything from a time on: `recovered`, or as if it had not asked."""
        epoch = self._known.epoch
        self._telemetry.log_reads.labels("since").inc()
        try:
            cursor = await self._log.since(topic.name, since * 1000, self._max_replay)
        except Exception as error:  # noqa: BLE001  as above
            self._telemetry.swallow("hub.since", error)
            cursor = None
        if cursor is not None and cursor > topic.tail.head:
            await self._look()
        if cursor is not None and epoch == self._known.epoch:  # else the answer is about another life
            standing = self._judge(topic, Position(epoch, cursor))
            if standing.verdict is Verdict.RECOVERED:
                return standing
        return self._judge(topic, None)
