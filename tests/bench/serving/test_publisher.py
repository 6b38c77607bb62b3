"""bench/serving/publisher.py, stubborn.py: the schedule is kept, lateness laid at the right door, outages sat out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import pytest

from bench.errors import Environment
from bench.serving import http, publisher, stubborn
from bench.serving.broadcast import ACCEPTED
from bench.serving.publisher import Schedule
from bench.serving.stubborn import Stubborn


class FakePoster:
    """Answers late, refuses, or breaks, in turn; the last answer for ever."""

    def __init__(
        self,
        *answers: int | Exception,
        seconds: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._answers = list(answers) or [ACCEPTED]
        self._seconds = seconds
        self._sleep = sleep
        self.bodies: list[tuple[bytes, bool]] = []
        self.left = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.left += 1

    def post(self, body: bytes, lines: bool = False) -> int:
        self.bodies.append((body, lines))
        self._sleep(self._seconds)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


# ---- the schedule


def test_a_schedule_is_arithmetic() -> None:
    slots = list(Schedule(start_ns=1000, rate=20, slots=3, batch=5, first=11))
    assert [slot.intended_ns for slot in slots] == [1000, 50_001_000, 100_001_000]
    assert [(slot.first, slot.updates) for slot in slots] == [(11, 5), (16, 5), (21, 5)]
    assert Schedule(0, 20, 3, 5, 11).last == 25


class FakeClock:
    """In place of `time`: moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0

    def monotonic_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


def test_a_slow_server_makes_publishes_late_but_not_the_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(publisher, "time", clock)
    poster = FakePoster(seconds=0.02, sleep=clock.sleep)
    done = publisher.follow(Schedule(0, rate=200, slots=5), poster, 350)
    assert [delay // 1_000_000 for delay in done.delays] == [
        0,
        15,
        30,
        45,
        60,
    ]  # each waited for the one before
    assert set(done.own) == {0}
    assert [answer // 1_000_000 for answer in done.answers] == [20] * 5
    assert set(done.summary()) == {"delay", "own_delay", "answer", "refused"}


def test_batches_go_out_as_lines_and_refusals_are_counted() -> None:
    poster = FakePoster(503)
    done = publisher.follow(Schedule(time.monotonic_ns(), rate=1000, slots=2, batch=3), poster, 350)
    assert done.refused == 2
    assert [(body.count(b"\n"), lines) for body, lines in poster.bodies] == [(2, True), (2, True)]


def test_before_is_called_half_an_interval_ahead_and_told_behind_each() -> None:
    called: list[int] = []
    told: list[int] = []
    schedule = Schedule(time.monotonic_ns() + 5_000_000, rate=50, slots=3)
    publisher.follow(
        schedule,
        FakePoster(),
        350,
        {2: lambda: called.append(time.monotonic_ns())},
        lambda slot: told.append(slot.first),
    )
    (moment,) = called
    assert moment >= schedule.start_ns + 30_000_000
    assert told == [1, 2, 3]


# ---- through an outage


@pytest.fixture
def posters(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakePoster | Exception]]:
    """What each attempt to connect gives."""
    monkeypatch.setattr(stubborn, "RETRY_SECONDS", 0.001)
    yield []


def connecting(posters: list[FakePoster | Exception]) -> Stubborn:
    def connect() -> FakePoster:
        found = posters.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return Stubborn(connect, patience=5.0)


def test_what_is_not_acknowledged_is_published_again(posters: list[FakePoster | Exception]) -> None:
    broken, whole = FakePoster(Environment("it closed")), FakePoster(503, ACCEPTED)
    posters += [ConnectionRefusedError(), broken, OSError("away"), whole]
    with connecting(posters) as poster:
        assert poster.post(b"{}") == ACCEPTED
        assert (poster.retries, poster.unsure) == (4, 1)
        assert poster.post(b"{}") == ACCEPTED
        assert poster.retries == 4
    assert [len(broken.bodies), len(whole.bodies)] == [1, 3]
    assert (broken.left, whole.left) == (1, 1)


def test_patience_ends(posters: list[FakePoster | Exception]) -> None:
    posters.append(FakePoster(503))
    impatient = connecting(posters)
    impatient._patience = 0.01
    with impatient as poster:
        assert poster.post(b"{}") == 503


# ---- answers


def test_responses_split_at_every_byte() -> None:
    stream = (
        b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"
        + b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"
    )
    for at in range(len(stream) - 43):
        assert http.read(stream[:at]) is None or at >= stream.index(b"hello") + 5
    first = http.read(stream)
    assert first is not None
    assert first[0] == http.Response(201, b"hello")
    second = http.read(first[1])
    assert second is not None
    assert second[0].status == 503
