"""A test client of one stream over any transport, which keeps its cursor and checks each update against it.

A follower fails at once when an update is lost, doubled or out of order, so tests need only state what they expect.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from tests.live.cable import EXT, V1, CableClient, CableClosed, command, identifier
from tests.live.sse import Ended, SseClient
from tests.live.wire import Address, Closed, Unavailable

TRANSPORTS = ("sse", "cable-v1", "cable-ext")


class Position(NamedTuple):
    """A position split into its parts; only tests do that, to clients it is opaque."""

    epoch: str
    id: int

    @classmethod
    def of(cls, text: str) -> Position:
        epoch, dash, digits = text.rpartition("-")
        assert dash and epoch and digits.isdigit(), f"not a position: {text!r}"
        return cls(epoch, int(digits))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.id}"

    def plus(self, count: int) -> Position:
        return Position(self.epoch, self.id + count)


class Goodbye(Exception):
    """The server ended the connection on purpose: the reason, and when to come back (ms)."""

    def __init__(self, reason: str, retry_ms: int | None) -> None:
        super().__init__(f"{reason}, back in {retry_ms} ms")
        self.reason = reason
        self.retry_ms = retry_ms


class Jumped(Exception):
    """SSE: a client that fell behind got a second verdict, `gap`; its stream continues behind `to`."""

    def __init__(self, behind: Position, to: Position, missed: int | None) -> None:
        super().__init__(f"from {behind} to {to}, missing {missed}")
        self.behind = behind
        self.to = to
        self.missed = missed


class Follower(ABC):
    """One client of one stream. `cursor` is what it would resume from, `start` the position of its last verdict."""

    transport: str
    client: Any  # over a Wire

    def __init__(self) -> None:
        self.cursor = Position("?", 0)
        self.start = self.cursor
        self.verdicts: list[str] = []
        self.replaying: int | None = None
        self.missed: int | None = None
        self.beats = 0

    @property
    def verdict(self) -> str:
        return self.verdicts[-1]

    def take_verdict(self, verdict: dict[str, Any]) -> None:
        """Continue from the position of a verdict."""
        assert verdict["verdict"] in ("fresh", "recovered", "gap"), verdict
        self.verdicts.append(verdict["verdict"])
        self.cursor = self.start = Position.of(verdict["position"])
        self.replaying, self.missed = verdict.get("replaying"), verdict.get("missed")

    def step(self, position: Position) -> None:
        """Check that an update is the next one, and move the cursor."""
        assert position == self.cursor.plus(1), f"{self.transport}: {position} came after {self.cursor}"
        self.cursor = position

    @abstractmethod
    def next(self) -> Any:
        """The next update's JSON; Jumped, Goodbye, Ended, CableClosed or Closed when there is none."""

    def take(self, count: int) -> list[Any]:
        return [self.next() for _ in range(count)]

    def numbers(self, count: int) -> list[int]:
        """The `n` of the next updates, the counter that the tests publish."""
        return [update["n"] for update in self.take(count)]

    def upto(self, n: int) -> list[int]:
        """The `n` of all updates up to and including the one with this `n`."""
        seen = [self.next()["n"]]
        while seen[-1] != n:
            seen.append(self.next()["n"])
        return seen

    @abstractmethod
    def goodbye(self) -> Goodbye:
        """Read to the end, which has to be a goodbye and a clean close."""

    @abstractmethod
    def beat(self) -> None:
        """Read the next message, which has to be a heartbeat (SSE) or a ping (cable)."""

    def drop(self) -> None:
        """Reset the connection."""
        self.client.wire.reset()

    @property
    def port(self) -> int:
        """The port of its end of the connection."""
        port: int = self.client.wire.port
        return port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()


class SseFollower(Follower):
    """A client of SSE: every event carries its position."""

    transport = "sse"

    def __init__(
        self, address: Address, stream: str, position: str | None = None, rcvbuf: int | None = None
    ) -> None:
        super().__init__()
        target = f"/dashboard/stream?stream={quote(stream)}"
        if position is not None:
            target += f"&last_event_id={quote(position)}"
        self.client = SseClient(address, target, rcvbuf=rcvbuf)
        if self.client.head.status == 503:
            self.client.close()
            raise Unavailable(self.client.head)
        assert self.client.head.status == 200, self.client.head
        self._first()

    def _first(self) -> None:
        event = self.client.event()
        if event.name == "goodbye":  # full: there is no verdict then
            self.client.wire.close()
            raise self._ending(event.json())
        assert event.name == "verdict", event
        self._verdict(event.json(), event.id)

    def _verdict(self, verdict: dict[str, Any], event_id: str | None) -> None:
        assert verdict["position"] == event_id, (verdict, event_id)
        self.take_verdict(verdict)

    def next(self) -> Any:
        while True:
            event = self.client.event()
            if event.name == "message":
                assert event.id is not None, event
                self.step(Position.of(event.id))
                return event.json()
            self._control(event.name, event.json(), event.id)

    def _control(self, name: str, data: dict[str, Any], event_id: str | None) -> None:
        if name == "heartbeat":
            assert data["position"] == event_id == str(self.cursor), (data, self.cursor)
            self.beats += 1
        elif name == "verdict":
            behind = self.cursor
            self._verdict(data, event_id)
            raise Jumped(behind, self.cursor, self.missed)
        else:
            assert name == "goodbye", (name, data)
            raise self._ending(data)

    def _ending(self, data: dict[str, Any]) -> Goodbye:
        assert self.client.retries[-1] == data["retry_ms"], "the goodbye's retry line says something else"
        return Goodbye(data["reason"], data["retry_ms"])

    def goodbye(self) -> Goodbye:
        try:
            while True:
                self.next()
        except Goodbye as goodbye:
            self._end()
            return goodbye

    def _end(self) -> None:
        try:
            block = self.client.block()
        except Ended as end:
            assert end.clean and not end.rest, end
            return
        raise AssertionError(f"after the goodbye came {block!r}")

    def beat(self) -> None:
        seen = self.beats
        while self.beats == seen:
            event = self.client.event()
            assert event.name == "heartbeat", event
            self._control(event.name, event.json(), event.id)


class CableFollower(Follower):
    """A cable client that resumes as our own does: on v1 it counts updates, on ext each frame has its position."""

    protocol = V1

    def __init__(
        self, address: Address, stream: str, position: str | None = None, rcvbuf: int | None = None
    ) -> None:
        super().__init__()
        self.stream = stream
        self.identifier = identifier(stream)
        self.client = CableClient(address, (self.protocol,), rcvbuf=rcvbuf)
        self._first({} if position is None else {"last_event_id": position})

    def _first(self, resume: dict[str, str]) -> None:
        self._refused(first := self.client.message(pings=True))
        assert first == {"type": "welcome"}
        self.client.send(command("subscribe", self.identifier, **resume))
        self._refused(answer := self.client.message())
        assert answer["type"] == "confirm_subscription" and answer["identifier"] == self.identifier, answer
        self.take_verdict(answer)

    def _refused(self, message: dict[str, Any]) -> None:
        if message.get("type") == "disconnect":
            end = self.client.closed()
            assert end.code == (1001 if message["reason"] == "server_restart" else 1000), end
            self.client.echo(end)
            raise Goodbye(message["reason"], message.get("retry_in"))

    def next(self) -> Any:
        message = self.client.message(pings=True)
        while message.get("type") == "ping":
            self.beats += 1
            message = self.client.message(pings=True)
        self._refused(message)
        assert message["identifier"] == self.identifier and "type" not in message, message
        self.step(self.position(message))
        return message["message"]

    def position(self, message: dict[str, Any]) -> Position:
        """The position of a data frame."""
        assert message.keys() == {"identifier", "message"}, message
        return self.cursor.plus(1)

    def goodbye(self) -> Goodbye:
        try:
            while True:
                self.next()
        except Goodbye as goodbye:
            return goodbye

    def beat(self) -> None:
        message = json.loads(self.client.text())
        assert message["type"] == "ping", message
        self.beats += 1


class V1Follower(CableFollower):
    transport = "cable-v1"
    protocol = V1


class ExtFollower(CableFollower):
    transport = "cable-ext"
    protocol = EXT

    def position(self, message: dict[str, Any]) -> Position:
        assert message.keys() == {"identifier", "message", "stream_id", "epoch", "offset"}, message
        assert message["stream_id"] == self.stream
        return Position(message["epoch"], message["offset"])


KINDS: dict[str, Callable[[Address, str, str | None, int | None], Follower]] = {
    kind.transport: kind for kind in (SseFollower, V1Follower, ExtFollower)
}


def follow(
    transport: str,
    address: Address,
    stream: str,
    position: Position | str | None = None,
    rcvbuf: int | None = None,
) -> Follower:
    """A follower of `stream`, resuming at `position` when there is one."""
    asked = None if position is None else str(position)
    return KINDS[transport](address, stream, asked, rcvbuf)


ENDINGS = (Goodbye, Ended, CableClosed, Closed, Unavailable, ConnectionError)
