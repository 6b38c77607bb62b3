"""bench/publisher.py and bench/http.py: the schedule is kept, and lateness is laid at the right door."""

from __future__ import annotations

import time

import pytest

from bench import http, publisher
from bench.publisher import Poster, Schedule
from bench.target import HttpPublish


class SlowPoster(Poster):
    """A server that answers late, or refuses."""

    def __init__(self, seconds: float, status: int = 201) -> None:
        self.seconds = seconds
        self.status = status
        self.bodies: list[tuple[bytes, bool]] = []

    def post(self, body: bytes, lines: bool = False) -> int:
        self.bodies.append((body, lines))
        time.sleep(self.seconds)
        return self.status


def test_a_schedule_is_arithmetic() -> None:
    slots = list(Schedule(start_ns=1000, rate=20, slots=3, batch=5, first=11))
    assert [slot.intended_ns for slot in slots] == [1000, 50_001_000, 100_001_000]
    assert [(slot.first, slot.updates) for slot in slots] == [(11, 5), (16, 5), (21, 5)]
    assert Schedule(0, 20, 3, 5, 11).last == 25


def test_a_slow_server_makes_publishes_late_but_not_the_publisher() -> None:
    schedule = Schedule(time.monotonic_ns(), rate=200, slots=5)
    done = publisher.follow(schedule, SlowPoster(0.02), 350)
    assert max(done.delays) > 40_000_000  # the fifth was due after 20 ms and went out after 80
    assert sorted(done.own)[2] < 10_000_000
    assert len(done.answers) == 5


def test_batches_go_out_as_lines_and_refusals_are_counted() -> None:
    poster = SlowPoster(0, status=503)
    done = publisher.follow(Schedule(time.monotonic_ns(), rate=1000, slots=2, batch=3), poster, 350)
    assert done.refused == 2
    assert [(body.count(b"\n"), lines) for body, lines in poster.bodies] == [(2, True), (2, True)]


def test_before_is_called_half_an_interval_ahead() -> None:
    called: list[int] = []
    schedule = Schedule(time.monotonic_ns() + 5_000_000, rate=50, slots=3)
    publisher.follow(schedule, SlowPoster(0), 350, {2: lambda: called.append(time.monotonic_ns())})
    (moment,) = called
    assert moment >= schedule.start_ns + 30_000_000


@pytest.mark.parametrize("lines", [True, False])
def test_a_publish_on_the_wire(lines: bool) -> None:
    request = http.post(HttpPublish("/streams/x", "secret"), "127.0.0.1:1", b"{}", lines)
    assert request.startswith(b"POST /streams/x HTTP/1.1\r\n")
    assert b"Authorization: Bearer secret\r\n" in request
    assert (b"application/x-ndjson" in request) == lines
    assert request.endswith(b"Content-Length: 2\r\n\r\n{}")


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
