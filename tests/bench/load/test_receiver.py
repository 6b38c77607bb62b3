"""bench/load/receiver.py: reads are stamped by the kernel, writes that do not fit wait, ends are told once."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from bench.load import receiver
from bench.load.receiver import Line, Receiver
from tests.patience import HANG_LIMIT


class Heard:
    """What a connection was told."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.reads: list[tuple[bytes, int]] = []
        self.ended: list[Exception | None] = []

    def connection_made(self, line: Line) -> None:
        self.line = line

    def received(self, data: bytes, now: int) -> None:
        self.reads.append((data, now))

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.append(error)

    @property
    def data(self) -> bytes:
        return b"".join(data for data, _ in self.reads)


class Pair:
    """A receiver with one connection, and its far end."""

    def __init__(self) -> None:
        self.receiver, self.heard = Receiver(), Heard()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            self.far, _ = listener.accept()
        near.setblocking(False)
        self.line = self.receiver.attach(near, self.heard)


def run(work: Callable[[Pair], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(HANG_LIMIT):
            pair = Pair()
            try:
                await work(pair)
            finally:
                pair.far.close()
                pair.line.abort()
                await asyncio.sleep(0)

    uvloop.run(limited())


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110  nothing tells of it
        await asyncio.sleep(0.001)


async def stamping(pair: Pair) -> None:
    """Until the kernel stamps: it begins a moment after the first socket has asked for it."""
    while True:
        unstamped = pair.receiver.unstamped
        pair.heard.reads.clear()
        pair.far.send(b"w")
        await until(lambda: pair.heard.reads)
        if pair.receiver.unstamped == unstamped:
            pair.heard.reads.clear()
            return


def test_a_read_carries_the_moment_of_its_arrival_not_of_its_reading() -> None:
    async def work(pair: Pair) -> None:
        await stamping(pair)
        before = time.monotonic_ns()
        pair.far.send(b"x")
        time.sleep(0.05)  # noqa: ASYNC251  a load client that is busy with something else
        reading = time.monotonic_ns()
        await until(lambda: pair.heard.reads)
        ((data, arrived),) = pair.heard.reads
        assert data == b"x"
        slack = 1_000_000  # of the two clocks against each other
        assert before - slack <= arrived < reading

    run(work)


def test_a_step_of_the_wall_clock_is_counted_and_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(pair: Pair) -> None:
        true = receiver.offset_ns()
        pair.receiver.check_clock()
        assert pair.receiver.steps == 0 and abs(pair.receiver.offset - true) < receiver.STEP_NS
        monkeypatch.setattr(receiver, "offset_ns", lambda: true + 5_000_000)
        pair.receiver.check_clock()
        pair.receiver.check_clock()
        assert (pair.receiver.steps, pair.receiver.offset) == (1, true + 5_000_000)

    run(work)


def test_what_does_not_fit_waits_and_close_comes_behind_it() -> None:
    async def work(pair: Pair) -> None:
        big = bytes(range(256)) * 40_000
        pair.line.write(big)
        pair.line.write(b"end")
        pair.line.close()
        assert pair.line.is_closing() and not pair.heard.ended
        pair.line.write(b"too late")
        far = b""
        pair.far.setblocking(False)
        while True:
            try:
                piece = pair.far.recv(1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0.001)
                continue
            if not piece:
                break
            far += piece
        assert far == big + b"end"
        await until(lambda: pair.heard.ended)
        assert pair.heard.ended == [None]

    run(work)


def test_the_far_end_goes() -> None:
    async def work(pair: Pair) -> None:
        pair.far.send(b"last")
        pair.far.close()
        await until(lambda: pair.heard.ended)
        assert (pair.heard.data, pair.heard.ended) == (b"last", [None])
        pair.line.write(b"x")
        pair.line.abort()
        await asyncio.sleep(0.01)
        assert pair.heard.ended == [None], "told twice"

    run(work)


def test_the_far_end_resets() -> None:
    async def work(pair: Pair) -> None:
        pair.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        pair.far.close()
        await until(lambda: pair.heard.ended)
        assert isinstance(pair.heard.ended[0], ConnectionResetError)

    run(work)


def test_one_that_is_paused_reads_nothing_until_it_goes_on() -> None:
    async def work(pair: Pair) -> None:
        pair.line.pause_reading()
        pair.far.send(b"x")
        await asyncio.sleep(0.05)
        assert pair.heard.reads == []
        pair.line.resume_reading()
        await until(lambda: pair.heard.reads)

    run(work)


def test_a_line_that_another_ends_in_the_same_turn_is_not_read() -> None:
    async def work(pair: Pair) -> None:
        other = Pair()
        pair.receiver.attach(other.line._sock.dup(), second := Heard())
        assert second.line is not None

        class Ends(Heard):
            def received(self, data: bytes, now: int) -> None:
                assert second.line is not None
                second.line.abort()
                pair.line.abort()

        pair.line._reader = Ends()
        second.line._reader = Ends()
        pair.far.send(b"x")
        other.line.pause_reading()
        other.far.send(b"x")
        await until(lambda: pair.line.is_closing() and second.line is not None and second.line.is_closing())
        other.far.close()
        other.line.abort()

    run(work)


def test_it_knows_its_ends() -> None:
    async def work(pair: Pair) -> None:
        assert pair.line.ends() == (pair.far.getsockname(), pair.far.getpeername())

    run(work)
