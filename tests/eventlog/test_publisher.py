"""eventlog/publisher: acknowledged means on disk, groups, the queue, trimming, a process that is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.broker.memory import MemoryBroker
from dashboard_rt.errors import InvalidUpdate, LogUnavailable, TooLarge, UnknownStream
from dashboard_rt.eventlog import publisher as publisher_module
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.eventlog.publisher import Publisher, PublishQueue, checked_size, clean_json
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Append, Notification, Position, Receipt
from tests.logkit import STREAMS, everything, fill, ids, opened, texts, url
from tests.patience import HANG_LIMIT

pytestmark = pytest.mark.anyio


class GatedLog(EventLog):
    """A real log whose appends can be held back or made to fail."""

    gate: asyncio.Event
    failure: Exception | None = None
    groups: list[list[Append]]

    async def append(self, group: Sequence[Append]) -> tuple[list[Receipt], str]:
        self.groups.append([*group])
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return await super().append(group)


class RecordingBroker(MemoryBroker):
    """Remembers what it was told."""

    notified: list[Notification]

    async def notify(self, notification: Notification) -> None:
        self.notified.append(notification)


def settings(keep: int) -> Settings:
    return Settings.read({"STREAMS": "a:log,b:state", "JOBS": "off", "KEEP_EVENTS": str(keep)})


@dataclass
class Parts:
    """A publisher on a real log, with a gate in front of it."""

    log: GatedLog
    broker: RecordingBroker
    telemetry: Telemetry
    publisher: Publisher

    def publishing(self, *numbers: int, stream: str = "a", key: str | None = None) -> asyncio.Task[Receipt]:
        return asyncio.ensure_future(self.publisher.publish(stream, texts(*numbers), key))

    async def held(self, *numbers: int) -> asyncio.Task[Receipt]:
        """A publish that is on its way to the disk, held at the gate."""
        self.log.gate.clear()
        groups = len(self.log.groups)
        task = self.publishing(*numbers)
        async with asyncio.timeout(HANG_LIMIT):
            while len(self.log.groups) == groups:  # noqa: ASYNC110  the log has no event for this
                await asyncio.sleep(0)
        return task

    def counted(self, result: str) -> float:
        return self.telemetry.value("publishes", result=result)

    async def trimmed(self) -> None:
        """Until the trim that runs has ended."""
        if self.publisher._trimmer is not None:
            await asyncio.wait([self.publisher._trimmer], timeout=HANG_LIMIT)


def built(log: GatedLog, keep: int = 1000) -> Parts:
    log.gate, log.groups = asyncio.Event(), []
    log.gate.set()
    telemetry = Telemetry()
    broker = RecordingBroker(telemetry)
    broker.notified = []
    return Parts(log, broker, telemetry, Publisher(log, broker, settings(keep), telemetry))


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[GatedLog]:
    async with opened(database_url) as (db, _):
        yield GatedLog(db, STREAMS)


@pytest.fixture
async def parts(log: GatedLog) -> AsyncIterator[Parts]:
    made = built(log)
    await made.publisher.start()
    yield made
    log.gate.set()
    await made.publisher.stop()


# ---- publishing


async def test_a_publish_is_in_the_log_and_rung_when_it_returns(parts: Parts) -> None:
    receipt = await parts.publisher.publish("a", texts(1, 2))
    epoch = (await parts.log.state()).epoch
    assert receipt == Receipt(Position(epoch, 2), 2)
    assert [update.text for update in await everything(parts.log, "a")] == list(texts(1, 2))
    await parts.publisher.stop()
    (notification,) = parts.broker.notified
    assert notification._replace(committed_ms=0) == Notification(epoch, "a", 2, list(texts(1, 2)))
    assert notification.committed_ms > 1e12
    assert parts.counted("ok") == 1
    assert parts.telemetry.value("published_updates") == 2
    assert parts.telemetry.value("publish_seconds") == 1


async def test_a_lone_publish_is_committed_alone_and_what_arrives_meanwhile_together(parts: Parts) -> None:
    first = await parts.held(1)
    others = [parts.publishing(n) for n in range(2, 12)]
    await asyncio.sleep(0)
    parts.log.gate.set()
    assert [(await task).position.id for task in (first, *others)] == [*range(1, 12)]
    assert [len(group) for group in parts.log.groups] == [1, 10]


async def test_a_group_rings_once_per_stream_with_everything_new(parts: Parts) -> None:
    first = await parts.held(1)
    keyed = parts.publishing(2, key="k")
    tasks = [
        first,
        keyed,
        parts.publishing(3, stream="b"),
        parts.publishing(2, key="k"),
        parts.publishing(4, 5),
    ]
    await asyncio.sleep(0)
    parts.log.gate.set()
    await asyncio.gather(*tasks)
    await parts.publisher.stop()
    notified = {
        (notification.stream, notification.last_id): (notification.first_id, notification.texts)
        for notification in parts.broker.notified[1:]
    }
    assert notified == {("a", 4): (2, list(texts(2, 4, 5))), ("b", 1): (1, list(texts(3)))}


async def test_a_known_key_gets_its_receipt_and_nobody_is_rung(parts: Parts) -> None:
    first = await parts.publisher.publish("a", texts(1), "k")
    again = await parts.publisher.publish("a", texts(1), "k")
    assert again == first._replace(repeated=True)
    await parts.publisher.stop()
    assert len(parts.broker.notified) == 1
    assert (parts.counted("ok"), parts.counted("repeated")) == (1, 1)
    assert parts.telemetry.value("published_updates") == 1


async def test_what_cannot_be_published_is_refused_and_counted(parts: Parts) -> None:
    with pytest.raises(UnknownStream, match="'nobody'"):
        await parts.publisher.publish("nobody", texts(1))
    with pytest.raises(InvalidUpdate):
        await parts.publisher.publish("a", ["1\n2"])
    with pytest.raises(InvalidUpdate):
        await parts.publisher.publish("a", [])
    with pytest.raises(TooLarge):
        await parts.publisher.publish("a", ["1"] * 10_001)
    assert parts.counted("refused") == 4
    assert parts.log.groups == []


async def test_a_caller_may_change_its_list_afterwards(parts: Parts) -> None:
    await parts.held(1)
    given = ["2"]
    task = asyncio.ensure_future(parts.publisher.publish("a", given))
    await asyncio.sleep(0)
    given.append("not\none line")
    parts.log.gate.set()
    assert (await task).count == 1


# ---- cancelled callers


async def test_a_caller_that_is_cancelled_does_not_undo_or_break_the_group(parts: Parts) -> None:
    first = await parts.held(1)
    first.cancel()
    leaving, staying = parts.publishing(2), parts.publishing(3)
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([first, leaving])
    parts.log.gate.set()
    assert (await staying).position.id == 2
    assert [update.text for update in await everything(parts.log, "a")] == list(texts(1, 3))


async def test_hundreds_of_callers_that_come_and_go_leave_no_hole(parts: Parts) -> None:
    async def publish(number: int) -> Receipt:
        async with asyncio.timeout(0 if number % 3 == 0 else 5):
            return await parts.publisher.publish("a", texts(number))

    results = await asyncio.gather(*(publish(n) for n in range(300)), return_exceptions=True)
    updates = await everything(parts.log, "a")
    assert ids(updates) == [*range(1, len(updates) + 1)]
    texts_by_id = {update.id: update.text for update in updates}
    for number, result in enumerate(results):
        assert number % 3 == 0 or isinstance(result, Receipt)
        if isinstance(result, Receipt):
            assert texts_by_id[result.position.id] == texts(number)[0]


# ---- the log is away


async def test_when_the_log_fails_each_gets_its_own_error_and_the_next_group_works(parts: Parts) -> None:
    first = await parts.held(1)
    parts.log.failure = LogUnavailable("locked")
    others = [parts.publishing(n) for n in (2, 3)]
    parts.log.gate.set()
    errors = await asyncio.gather(first, *others, return_exceptions=True)
    assert [str(error) for error in errors] == ["locked"] * 3
    assert len({id(error) for error in errors}) == 3
    assert parts.counted("failed") == 3
    parts.log.failure = None
    assert (await parts.publisher.publish("a", texts(4))).position.id == 1


async def test_a_fault_of_ours_is_counted_and_does_not_end_the_writer(parts: Parts) -> None:
    parts.log.failure = ZeroDivisionError()
    with pytest.raises(LogUnavailable, match="The log failed"):
        await parts.publisher.publish("a", texts(1))
    assert parts.telemetry.value("swallowed", where="publisher.commit") == 1
    parts.log.failure = None
    assert (await parts.publisher.publish("a", texts(1))).position.id == 1


async def test_waiting_is_bounded_in_number(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "MAX_QUEUED", 2)
    await parts.held(1)
    tasks = [parts.publishing(n) for n in (2, 3)]
    await asyncio.sleep(0)
    with pytest.raises(LogUnavailable, match="Too many"):
        await parts.publisher.publish("a", texts(4))
    parts.log.gate.set()
    assert [(await task).position.id for task in tasks] == [2, 3]


async def test_waiting_is_bounded_in_time(parts: Parts) -> None:
    moment = 0.0
    parts.publisher._clock = lambda: moment
    first = await parts.held(1)
    late = parts.publishing(2)
    await asyncio.sleep(0)
    moment = 60.0
    in_time = parts.publishing(3)
    await asyncio.sleep(0)
    parts.log.gate.set()
    assert (await first).position.id == 1
    with pytest.raises(LogUnavailable, match="too slow"):
        await late
    assert (await in_time).position.id == 2


async def test_whoever_waits_for_a_transaction_that_hangs_is_refused_in_time(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "WAIT_SECONDS", 0.05)
    first = await parts.held(1)
    second = parts.publishing(2)
    await asyncio.sleep(0.02)
    third = parts.publishing(3)
    for task in (first, second, third):
        with pytest.raises(LogUnavailable, match="too slow"):
            await asyncio.wait_for(task, HANG_LIMIT)
    assert len(parts.publisher._queue) == 0
    assert (parts.counted("failed"), parts.counted("ok")) == (3, 0)
    monkeypatch.setattr(publisher_module, "WAIT_SECONDS", 60)
    parts.log.gate.set()
    assert (await parts.publisher.publish("a", texts(4))).position.id == 2, "the first was written after all"
    assert (parts.counted("failed"), parts.counted("ok")) == (3, 1)
    assert [update.text for update in await everything(parts.log, "a")] == list(texts(1, 4))
    assert [notification.last_id for notification in parts.broker.notified] == [1, 2]


async def test_nobody_is_refused_who_has_not_waited_long(parts: Parts) -> None:
    moment = 0.0
    parts.publisher._clock = lambda: moment
    first = await parts.held(1)
    moment = 3.0
    second = parts.publishing(2)
    await asyncio.sleep(0)
    moment = 5.0
    parts.publisher._on_deadline()
    with pytest.raises(LogUnavailable, match="too slow"):
        await asyncio.wait_for(first, HANG_LIMIT)
    handle = parts.publisher._deadline
    assert handle is not None and 2 < handle.when() - asyncio.get_running_loop().time() < 4
    parts.log.gate.set()
    assert (await second).position.id == 2
    parts.publisher._on_deadline()
    assert parts.publisher._deadline is None


# ---- start and stop


async def test_before_the_start_and_after_the_end_nothing_is_taken(log: GatedLog) -> None:
    made = built(log)
    await made.publisher.stop()
    with pytest.raises(LogUnavailable, match="takes no updates"):
        await made.publisher.publish("a", texts(1))
    await made.publisher.start()
    await made.publisher.publish("a", texts(1))
    await made.publisher.stop()
    await made.publisher.stop()
    with pytest.raises(LogUnavailable, match="takes no updates"):
        await made.publisher.publish("a", texts(2))


async def test_stop_writes_what_waits(parts: Parts) -> None:
    first = await parts.held(1)
    others = [parts.publishing(n) for n in (2, 3)]
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(parts.publisher.stop())
    await asyncio.sleep(0)
    parts.log.gate.set()
    await stopping
    assert [(await task).position.id for task in (first, *others)] == [1, 2, 3]


async def test_stop_does_not_wait_for_ever_and_tells_those_who_wait(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "STOP_SECONDS", 0.01)
    first = await parts.held(1)
    second = parts.publishing(2)
    await asyncio.sleep(0)
    await parts.publisher.stop()
    for task in (first, second):
        with pytest.raises(LogUnavailable, match="stopped before"):
            await task


async def test_a_writer_that_is_killed_leaves_nobody_waiting(parts: Parts) -> None:
    first = await parts.held(1)
    second = parts.publishing(2)
    await asyncio.sleep(0)
    assert parts.publisher._writer is not None
    parts.publisher._writer.cancel()
    for task in (first, second):
        with pytest.raises(LogUnavailable, match="stopped before"):
            await task
    with pytest.raises(LogUnavailable, match="takes no updates"):
        await parts.publisher.publish("a", texts(3))


# ---- trimming


async def test_a_start_trims_what_an_earlier_life_left(log: GatedLog) -> None:
    await fill(EventLog(log._db, STREAMS), "a", 30)
    made = built(log, keep=10)
    await made.publisher.start()
    await made.trimmed()
    assert ids(await everything(log, "a")) == [*range(21, 31)]
    await made.publisher.stop()


async def test_the_log_stays_near_its_length(log: GatedLog) -> None:
    made = built(log, keep=10)
    await made.publisher.start()
    for n in range(50):
        await made.publisher.publish("a", texts(n))
        await made.trimmed()
        assert len(await everything(log, "a")) <= 11
    assert (await log.state()).streams["a"].last_id == 50
    await made.publisher.stop()


async def test_the_last_commit_of_a_process_that_stops_starts_no_trim(log: GatedLog) -> None:
    made = built(log, keep=10)
    await made.publisher.start()
    await made.trimmed()
    before = asyncio.all_tasks()
    last = await made.held(*range(20))
    stopping = asyncio.ensure_future(made.publisher.stop())
    await asyncio.sleep(0)
    log.gate.set()
    await stopping
    assert (await last).count == 20
    assert asyncio.all_tasks() <= before
    await made.publisher.start()
    await made.trimmed()
    assert len(await everything(log, "a")) == 10
    await made.publisher.stop()


async def test_a_trim_that_fails_is_counted_and_tried_again(
    log: GatedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(keep: int) -> int:
        raise LogUnavailable("locked")

    made = built(log, keep=10)
    with monkeypatch.context() as patch:
        patch.setattr(log, "trim", failing)
        await made.publisher.start()
        await made.trimmed()
    assert made.telemetry.value("swallowed", where="publisher.trim") == 1
    await made.publisher.publish("a", texts(*range(20)))
    await made.publisher.stop()
    await made.publisher.start()
    await made.trimmed()
    assert len(await everything(log, "a")) == 10
    await made.publisher.stop()


# ---- the queue


@pytest.fixture
async def queue() -> PublishQueue:
    return PublishQueue()


def add(queue: PublishQueue, *texts: str, now: float = 0.0) -> asyncio.Future[Receipt]:
    receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    queue.add(Append("a", texts), now, receipt)
    return receipt


def taken(queue: PublishQueue) -> list[str]:
    return [text for place in queue.take_group() for text in place.append.texts]


async def test_a_group_is_everybody_in_order(queue: PublishQueue) -> None:
    for text in "123":
        add(queue, text)
    assert taken(queue) == ["1", "2", "3"]
    assert len(queue) == 0
    assert taken(queue) == []


async def test_a_group_ends_at_its_number_of_updates(
    queue: PublishQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "GROUP_UPDATES", 3)
    add(queue, "1", "2")
    add(queue, "3")
    add(queue, "4")
    assert taken(queue) == ["1", "2", "3"]
    assert taken(queue) == ["4"]


async def test_a_group_ends_at_its_size(queue: PublishQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "GROUP_BYTES", 10)
    add(queue, "1" * 6)
    add(queue, "2" * 6)
    assert taken(queue) == ["1" * 6]
    assert taken(queue) == ["2" * 6]


async def test_one_that_is_larger_than_a_group_goes_alone(
    queue: PublishQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "GROUP_UPDATES", 2)
    add(queue, "1", "2", "3")
    add(queue, "4")
    assert taken(queue) == ["1", "2", "3"]
    assert taken(queue) == ["4"]


async def test_who_has_left_is_not_written(queue: PublishQueue) -> None:
    add(queue, "1")
    add(queue, "2").cancel()
    add(queue, "3")
    assert taken(queue) == ["1", "3"]


async def test_the_number_is_bounded(queue: PublishQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "MAX_QUEUED", 2)
    add(queue, "1")
    add(queue, "2")
    with pytest.raises(LogUnavailable, match="Too many"):
        add(queue, "3")
    assert taken(queue) == ["1", "2"]
    add(queue, "3")


async def test_the_bytes_are_bounded_but_one_always_fits(
    queue: PublishQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "MAX_QUEUED_BYTES", 10)
    add(queue, "1" * 20)
    with pytest.raises(LogUnavailable, match="Too many"):
        add(queue, "2")
    queue.take_group()
    for _ in range(2):
        add(queue, "1" * 5)
    with pytest.raises(LogUnavailable, match="Too many"):
        add(queue, "2")


async def test_the_late_are_taken_out_first(queue: PublishQueue) -> None:
    early, soon = add(queue, "1", now=10.0), add(queue, "2", now=14.0)
    assert [place.receipt for place in queue.take_expired(15.5)] == [early]
    assert [place.receipt for place in queue.take_all()] == [soon]
    assert len(queue) == 0


def test_size_is_bytes_with_the_key() -> None:
    assert checked_size(Append("a", ["ü", "12"], "k")) == 5


@pytest.mark.parametrize("bad", ["1\n2", "1\r2"])
def test_an_update_is_one_line(bad: str) -> None:
    with pytest.raises(InvalidUpdate, match="clean_json"):
        checked_size(Append("a", ["1", bad]))


def test_what_no_database_takes_is_refused() -> None:
    with pytest.raises(InvalidUpdate, match="Unicode"):
        checked_size(Append("a", ["\ud800"]))
    with pytest.raises(InvalidUpdate, match="Unicode"):
        checked_size(Append("a", ["1"], "\ud800"))
    with pytest.raises(InvalidUpdate, match="nothing to publish"):
        checked_size(Append("a", []))
    with pytest.raises(TooLarge, match="10000"):
        checked_size(Append("a", ["1"] * 10_001))


# ---- kill -9

PROGRAM = """
import asyncio, sys
from dashboard_rt.broker.memory import MemoryBroker
from dashboard_rt.app import make_database
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.eventlog.publisher import Publisher
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry

settings = Settings.read(
    {"DATABASE_URL": sys.argv[1], "STREAMS": "a:log,b:state", "JOBS": "off", "KEEP_EVENTS": "100000"}
)

async def publish(publisher, who):
    for n in range(1_000_000):
        text = f'"{who}.{n}"'
        receipt = await publisher.publish("ab"[n % 2], [text], text if n % 3 else None)
        print("ab"[n % 2], receipt.position.id, text, flush=True)

async def main():
    telemetry = Telemetry()
    db = make_database(settings, telemetry)
    await db.connect()
    log = EventLog(db, settings.streams)
    await log.open()
    publisher = Publisher(log, MemoryBroker(telemetry), settings, telemetry)
    await publisher.start()
    await asyncio.gather(*(publish(publisher, f"{sys.argv[2]}.{n}") for n in range(16)))

asyncio.run(main())
"""


async def acknowledged_until_killed(url: str, life: int) -> list[tuple[str, int, str]]:
    """What a real process says is on disk, up to the moment it is killed in the middle of its work."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        url,
        str(life),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(HANG_LIMIT):
            lines = [await process.stdout.readline() for _ in range(200 + 37 * life)]
    finally:
        process.kill()
    lines += (await process.stdout.read()).split(b"\n")[:-1]
    assert await process.wait() == -signal.SIGKILL
    whole = [line.decode().split() for line in lines if line.endswith(b'"') or line.endswith(b'"\n')]
    return [(stream, int(number), text) for stream, number, text in whole]


async def test_whatever_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    acknowledged = []
    for life in range(3):
        acknowledged += await acknowledged_until_killed(url(tmp_path), life)
    assert len(acknowledged) > 600
    async with opened(url(tmp_path)) as (_, log):
        for stream in STREAMS:
            updates = await everything(log, stream)
            assert ids(updates) == [*range(1, len(updates) + 1)]
            assert len({update.text for update in updates}) == len(updates)
            kept = {update.id: update.text for update in updates}
            for _, number, text in (line for line in acknowledged if line[0] == stream):
                assert kept[number] == text


# ---- clean_json


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (b'{"a": 1}', '{"a": 1}'),
        ('{"a":\r\n[1,\n2]}\n', '{"a":  [1, 2]} '),
        ('"ü\\n\u2028"'.encode(), '"ü\\n\u2028"'),
        (b'"\\ud83d\\ude00"', '"\\ud83d\\ude00"'),
        (b"12345678901234567890123", "12345678901234567890123"),
        (b" null ", " null "),
    ],
)
def test_json_goes_through_on_one_line_and_otherwise_unchanged(raw: bytes | str, clean: str) -> None:
    assert clean_json(raw) == clean


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"{'a':1}",
        b"1 2",
        b'"a\nb"',
        b'"\\ud800"',
        '"\ud800"',
        b"\xef\xbb\xbf1",
        b"[" * 2000,
        b"nul",
        b"[1,]",
    ],
)
def test_what_is_not_json_is_refused_with_a_sentence(raw: bytes | str) -> None:
    with pytest.raises(InvalidUpdate, match=r"^This is not JSON: .*\.$"):
        clean_json(raw)


@pytest.mark.parametrize("raw", ['"é"'.encode("latin-1"), b'"\xff"', b'"\xed\xa0\x80"', b'{"a":"\xc3'])
def test_another_encoding_is_called_by_its_name(raw: bytes) -> None:
    with pytest.raises(InvalidUpdate, match=r"^This is not UTF-8, .* Byte \d cannot be read\.$"):
        clean_json(raw)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(value=JSON, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_cleaning_never_changes_what_a_text_means(
    value: object, indent: int | None, ascii_only: bool
) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    clean = clean_json(raw.encode())
    assert json.loads(clean) == value
    assert "\n" not in clean
    assert "\r" not in clean
