"""ingest/queue: what is an update, what is skipped, and what gives way when there is no room."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.eventlog.publisher import checked_size
from dashboard_rt.ingest import queue as queue_module
from dashboard_rt.ingest.queue import BATCH_TEXTS, PayloadQueue, Unusable, read_payload
from dashboard_rt.telemetry import MESSAGE_RESULTS, Telemetry
from dashboard_rt.types import Append

pytestmark = pytest.mark.anyio
LARGEST = b'"' + b"x" * 65534 + b'"'


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def counted(telemetry: Telemetry) -> dict[str, float]:
    """What was counted at all."""
    counts = {result: telemetry.value("ingest_messages", result=result) for result in MESSAGE_RESULTS}
    return {result: count for result, count in counts.items() if count}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"n":1}', '{"n":1}'),
        (b'\xef\xbb\xbf{"n":1}', '{"n":1}'),
        (b'{\n"n":1}\r\n', '{ "n":1}  '),
        ('"\u00e4"'.encode(), '"\u00e4"'),
        (b'"\\u0000"', '"\\u0000"'),
        (LARGEST, LARGEST.decode()),
    ],
)
def test_an_update_is_published_as_it_is(raw: bytes, text: str) -> None:
    assert read_payload(raw) == text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not_json"),
        (b"hello", "not_json"),
        (b'{"n":1}{"n":2}', "not_json"),
        (b'"a\0b"', "not_json"),
        (b'{"n":NaN}', "not_json"),
        (b'"\\ud800"', "not_json"),
        (b"[" * 5000, "not_json"),
        (b'"\xff"', "not_utf8"),
        ('{"n":1}'.encode("utf-16"), "not_utf8"),
        (LARGEST + b" ", "too_large"),
    ],
)
def test_what_is_no_update_is_counted_by_reason(telemetry: Telemetry, raw: bytes, reason: str) -> None:
    queue = PayloadQueue(telemetry)
    queue.put(raw)
    assert counted(telemetry) == {reason: 1} and not len(queue)


@given(st.binary(max_size=200))
def test_whatever_arrives_is_refused_here_or_taken_by_the_publisher(raw: bytes) -> None:
    try:
        text = read_payload(raw)
    except Unusable as error:
        assert error.reason in MESSAGE_RESULTS
    else:
        checked_size(Append("a", (text,)))


def test_it_comes_out_in_the_order_of_arrival_in_batches(telemetry: Telemetry) -> None:
    queue = PayloadQueue(telemetry)
    numbers = [b"%d" % n for n in range(BATCH_TEXTS + 1)]
    for raw in numbers:
        queue.put(raw)
    assert [*queue.take(), *queue.take()] == [raw.decode() for raw in numbers]
    assert queue.take() == []


def test_a_batch_ends_with_its_bytes(telemetry: Telemetry) -> None:
    queue = PayloadQueue(telemetry)
    for _ in range(17):
        queue.put(LARGEST)
    assert [len(queue.take()), len(queue.take())] == [16, 1]


def test_the_oldest_give_way(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_WAITING", 3)
    queue = PayloadQueue(telemetry)
    for number in range(5):
        queue.put(b"%d" % number)
    assert queue.take() == ["2", "3", "4"]
    assert counted(telemetry) == {"dropped": 2}


def test_bytes_are_bounded_too(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_WAITING_BYTES", 10)
    queue = PayloadQueue(telemetry)
    for number in range(3):
        queue.put(b"%d" % (11111 + number))
    assert queue.take() == ["11112", "11113"]
    queue.put(b"1")
    assert queue.take() == ["1"]


def test_a_flood_of_what_is_no_update_is_told_now_and_then(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    queue = PayloadQueue(telemetry, lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            queue.put(b"nonsense")
        assert len(caplog.records) == 1
        now[0] = 60.0
        queue.put(b"\xff")
    assert len(caplog.records) == 2
    assert "100 messages" in caplog.messages[1] and "not UTF-8" in caplog.messages[1]


async def test_who_waits_is_told_of_what_comes(telemetry: Telemetry) -> None:
    queue = PayloadQueue(telemetry)
    await queue.arrival(0.001)
    queue.put(b"1")
    await queue.arrival(60)
    assert queue.take() == ["1"]
