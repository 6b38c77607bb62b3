"""ingest/ingest: who listens, what is written, and what happens when the lease, the log or the channel goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from dashboard_rt.broker.memory import MemoryBroker
from dashboard_rt.errors import LogUnavailable
from dashboard_rt.eventlog import lease as lease_module
from dashboard_rt.eventlog.database import Query, Transaction
from dashboard_rt.eventlog.lease import Lease
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.eventlog.publisher import Publisher
from dashboard_rt.ingest import ingest as ingest_module
from dashboard_rt.ingest.ingest import Ingest
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Append, Fence, Receipt
from tests.logkit import everything, opened
from tests.patience import HANG_LIMIT

pytestmark = pytest.mark.anyio


class ScriptedChannel:
    """A channel whose messages the test sends. `connected` is its to set."""

    connected = False

    def __init__(self) -> None:
        self.listeners = 0
        self._on_payload: Callable[[bytes], None]
        self._on_subscribed: Callable[[], None]

    async def listen(self, on_payload: Callable[[bytes], None], on_subscribed: Callable[[], None]) -> None:
        self._on_payload, self._on_subscribed = on_payload, on_subscribed
        self.listeners += 1
        self.connected = True
        on_subscribed()
        try:
            await asyncio.Event().wait()
        finally:
            self.connected = False
            self.listeners -= 1

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self._on_payload(b"%d" % number)

    def reconnect(self) -> None:
        self._on_subscribed()


class LosingPublisher(Publisher):
    """A publisher that, as often as `lost` says, writes and does not tell."""

    lost = 0
    keys: list[str | None]

    async def publish(
        self, stream: str, texts: Sequence[str], key: str | None = None, fence: Fence | None = None
    ) -> Receipt:
        self.keys.append(key)
        receipt = await super().publish(stream, texts, key, fence)
        if self.lost:
            self.lost -= 1
            raise LogUnavailable("The answer got lost.")
        return receipt


class Process:
    """The parts of one process that ingests."""

    def __init__(self, log: EventLog, lease: Lease) -> None:
        self.telemetry = Telemetry()
        settings = Settings.read({"STREAMS": "a:log,b:state", "JOBS": "off"})
        self.log = log
        self.channel = ScriptedChannel()
        self.publisher = LosingPublisher(log, MemoryBroker(self.telemetry), settings, self.telemetry)
        self.publisher.keys = []
        self.ingest = Ingest(self.channel, lease, self.publisher, "a", self.telemetry)

    async def lose_the_lease(self) -> None:
        """Another process takes it, and never renews it."""

        def take() -> Transaction[None]:
            yield Query("UPDATE leases SET holder = 'another', renewals = renewals + 1")

        await self.log._db.transact(take())

    async def renewals(self) -> int:
        ((count,),) = await self.log._db.rows("SELECT renewals FROM leases")
        return int(count)

    async def leads(self) -> None:
        await until(lambda: self.ingest.state == "leading")

    async def has_written(self, *numbers: int) -> None:
        async with asyncio.timeout(HANG_LIMIT):
            while [update.text for update in await everything(self.log, "a")] != [*map(str, numbers)]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def counted(self, name: str, **labels: str) -> float:
        return self.telemetry.value(name, **labels)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_LIMIT):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def process(url: str) -> AsyncIterator[Process]:
    async with AsyncExitStack() as stack:
        db, log = await stack.enter_async_context(opened(url))
        made = Process(log, Lease(db, "ingest"))
        await made.publisher.start()
        stack.push_async_callback(made.publisher.stop)
        made.ingest.start()
        stack.push_async_callback(made.ingest.stop)
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(ingest_module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(ingest_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(ingest_module, "RETRY_SECONDS", 0.01)


@pytest.fixture
async def leader(database_url: str) -> AsyncIterator[Process]:
    async with process(database_url) as made:
        await made.leads()
        yield made


async def test_what_is_published_on_the_channel_is_written_in_order(leader: Process) -> None:
    leader.channel.send(1, 2)
    leader.channel.send(3)
    await leader.has_written(1, 2, 3)
    assert leader.counted("ingest_messages", result="written") == 3
    assert leader.counted("ingest_leader") == 1


async def test_what_arrives_together_is_one_publish(leader: Process) -> None:
    leader.channel.send(*range(50))
    await leader.has_written(*range(50))
    assert len(leader.publisher.keys) == 1


async def test_only_the_leader_listens_and_the_other_follows_it_without_a_wait(
    leader: Process, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "LEASE_SECONDS", 1000.0)
    async with process(database_url) as other:
        leader.channel.send(1)
        await leader.has_written(1)
        assert (other.ingest.state, other.channel.listeners) == ("standby", 0)
        leader.channel.send(2)
        await leader.ingest.stop()
        assert leader.channel.listeners == 0
        await other.leads()
        await other.has_written(1, 2)
        assert other.counted("ingest_gaps", why="handover") == 1


async def test_a_leader_renews_while_nothing_comes(leader: Process) -> None:
    async with asyncio.timeout(HANG_LIMIT):
        while await leader.renewals() < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert leader.ingest.state == "leading"


async def test_a_leader_that_was_replaced_writes_nothing_and_stops_listening(leader: Process) -> None:
    await leader.lose_the_lease()
    leader.channel.send(1, 2)
    await until(lambda: leader.ingest.state == "standby")
    await leader.leads()
    leader.channel.send(3)
    await leader.has_written(3)
    assert leader.counted("ingest_messages", result="dropped") == 2


async def test_others_in_the_same_group_are_written_when_the_lease_is_lost(leader: Process) -> None:
    stale = Fence("ingest", "somebody else")
    fenced = asyncio.ensure_future(leader.publisher.publish("a", ["1"], fence=stale))
    others = [asyncio.ensure_future(leader.publisher.publish("a", [str(n)])) for n in (2, 3)]
    await asyncio.wait([fenced, *others])
    assert type(fenced.exception()).__name__ == "LeaseLost"
    assert [each.result().count for each in others] == [1, 1]
    await leader.has_written(2, 3)


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_written_twice(leader: Process) -> None:
    leader.publisher.lost = 3
    leader.channel.send(1)
    await until(lambda: leader.publisher.lost < 3)
    leader.channel.send(2)
    await leader.has_written(1, 2)
    assert leader.publisher.keys[0] == leader.publisher.keys[3] != leader.publisher.keys[4]
    assert leader.counted("ingest_messages", result="written") == 2


async def test_a_silent_leader_is_replaced(leader: Process, database_url: str) -> None:
    async with process(database_url) as other:
        leader.ingest._task.cancel()  # type: ignore[union-attr]
        await other.leads()
        other.channel.send(1)
        await other.has_written(1)
        assert other.counted("ingest_gaps", why="takeover") == 1


async def test_each_new_subscription_is_a_gap(leader: Process) -> None:
    assert leader.counted("ingest_gaps", why="reconnect") == 0
    leader.channel.reconnect()
    assert leader.counted("ingest_gaps", why="reconnect") == 1


async def test_who_does_not_reach_redis_lets_others_try(
    leader: Process, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with process(database_url) as other:
        monkeypatch.setattr(ingest_module, "AWAY_SECONDS", 0.1)
        leader.channel.connected = False
        assert leader.ingest.state == "disconnected"
        await other.leads()
        assert leader.channel.listeners == 0


async def test_a_log_that_is_away_is_told_once_and_waited_for(
    leader: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:

        async def fail(group: Sequence[Append]) -> tuple[list[Receipt], str]:
            raise LogUnavailable("The database is away.")

        patch.setattr(leader.log, "append", fail)
        leader.channel.send(1)
        await until(lambda: leader.counted("swallowed", where="ingest") > 3)
        leader.channel.send(2, 3)
        assert leader.ingest.figures()["waiting"] == 2
    await leader.has_written(1, 2, 3)
    assert len([record for record in caplog.records if record.message.startswith("ingest:")]) == 1


async def test_the_figures_say_who_it_is(leader: Process) -> None:
    assert leader.ingest.figures()["last_message_at"] is None
    leader.channel.send(1)
    await leader.has_written(1)
    figures = leader.ingest.figures()
    assert (figures["state"], figures["stream"]) == ("leading", "a")
    assert str(figures["last_message_at"]).endswith("+00:00")
