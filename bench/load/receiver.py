"""Reads for all connections of a process, each read stamped by the kernel with the moment at which it arrived.

Why: within one fan-out a load client that needs longer for a read than the server for a write falls behind, and its
own queue would become part of the latency that it reports. The kernel stamps a segment when the server's write puts
it into the receiving socket (SO_TIMESTAMPNS, socket(7)); what this process makes of it later changes nothing. The
connections sit in an epoll of their own that the event loop watches as one file.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol

SO_TIMESTAMPNS = 35  # asm-generic/socket.h
STAMP = struct.Struct("qq")  # struct timespec of a 64-bit Linux
SPACE = socket.CMSG_SPACE(STAMP.size)
READ_BYTES = 65536
AT_ONCE = 1024  # connections read in one turn of the loop
STEP_NS = 200_000  # a jump of the wall clock; both clocks are slewed alike


class Reader(Protocol):
    """What a connection's bytes are for."""

    def connection_made(self, line: Line) -> None:
        """It is connected."""

    def received(self, data: bytes, now: int) -> None:
        """Bytes that arrived at `now`, CLOCK_MONOTONIC in ns."""

    def connection_lost(self, error: Exception | None) -> None:
        """It has ended."""


def offset_ns(readings: int = 7) -> int:
    """How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC: the reading with the least time around it."""

    def once() -> tuple[int, int]:
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        return after - before, wall - (before + after) // 2

    return min(once() for _ in range(readings))[1]


class Receiver:
    """`attach` gives it a connected socket. `steps` counts jumps of the wall clock, which spoil stamps, and
    `unstamped` reads to which the kernel gave none. What is read at once has the stamp of its last segment."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._poll = select.epoll()
        self._lines: dict[int, Line] = {}
        self._loop.add_reader(self._poll.fileno(), self._read)
        self.offset = offset_ns()
        self.steps = self.unstamped = 0

    def attach(self, sock: socket.socket, reader: Reader) -> Line:
        """Read for it from now on."""
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        line = self._lines[sock.fileno()] = Line(sock, reader, self)
        self._poll.register(sock.fileno(), select.EPOLLIN)
        reader.connection_made(line)
        return line

    def check_clock(self) -> None:
        """Follow a step of the wall clock, and count it."""
        now = offset_ns()
        self.steps += abs(now - self.offset) > STEP_NS
        self.offset = now

    def _read(self) -> None:
        find = self._lines.get
        for number, events in self._poll.poll(0, AT_ONCE):
            line = find(number)
            if line is None:
                continue  # it was closed by what was read before it in this turn
            if events == select.EPOLLIN:
                line.read()
            else:
                line.ready(events)

    def expect(self, number: int, events: int) -> None:
        """What to wait for on a file."""
        self._poll.modify(number, events)

    def forget(self, number: int) -> None:
        """A line is closed."""
        if self._lines.pop(number, None) is not None:
            self._poll.unregister(number)

    def later(self, what: Callable[..., None], *arguments: Any) -> None:
        """Call it in the next turn of the loop."""
        self._loop.call_soon(what, *arguments)


class Line:
    """One connected socket: what asyncio calls a transport, as far as it is needed."""

    __slots__ = ("_closing", "_events", "_number", "_reader", "_receiver", "_recvmsg", "_sock", "_unsent")

    def __init__(self, sock: socket.socket, reader: Reader, receiver: Receiver) -> None:
        self._sock, self._reader, self._receiver = sock, reader, receiver
        self._recvmsg = sock.recvmsg
        self._number = sock.fileno()
        self._events = select.EPOLLIN
        self._unsent = b""
        self._closing = False

    def ready(self, events: int) -> None:
        """epoll says that something else than reading can be done, too."""
        if events & select.EPOLLOUT:
            self._flush()
        if events & ~select.EPOLLOUT and not self._closing:
            self.read()

    def read(self) -> None:
        """epoll says that there is something to read, or the end."""
        try:
            data, stamps, _, _ = self._recvmsg(READ_BYTES, SPACE)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if not data:
            self._end(None)
            return
        if stamps:
            seconds, nanoseconds = STAMP.unpack(stamps[0][2])
            now = seconds * 1_000_000_000 + nanoseconds - self._receiver.offset
        else:
            self._receiver.unstamped += 1
            now = time.monotonic_ns()
        self._reader.received(data, now)

    def write(self, data: bytes) -> None:
        """Send, now or when there is room."""
        if self._closing:
            return
        self._unsent += data
        self._flush()

    def _flush(self) -> None:
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :] if self._unsent else b""
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(error)
            return
        if self._closing and not self._unsent:
            self._end(None)
        else:
            self._wait_for((self._events & ~select.EPOLLOUT) | (select.EPOLLOUT if self._unsent else 0))

    def _wait_for(self, events: int) -> None:
        if events != self._events and self._number >= 0:
            self._events = events
            self._receiver.expect(self._number, events)

    def pause_reading(self) -> None:
        """What comes stays in the socket."""
        self._wait_for(self._events & ~select.EPOLLIN)

    def resume_reading(self) -> None:
        """It is read again."""
        self._wait_for(self._events | select.EPOLLIN)

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._closing

    def close(self) -> None:
        """End it once all is sent."""
        if not self._closing:
            self._closing = True
            self._flush()

    def abort(self) -> None:
        """End it now."""
        self._closing = True
        self._end(None)

    def ends(self) -> tuple[Any, Any]:
        """The addresses of the peer and of this end."""
        return self._sock.getpeername(), self._sock.getsockname()

    def _end(self, error: Exception | None) -> None:
        if self._number < 0:
            return
        self._closing = True
        self._receiver.forget(self._number)
        self._number = -1
        self._sock.close()
        self._receiver.later(self._reader.connection_lost, error)
