"""What a client of either transport works with: connect options, an open connection, its events and its timing.

An `OpenConnection` yields events until the server ends it cleanly; any other end raises `ConnectionFailed`
(failures.py). This module opens nothing and knows no transport's encoding: those are in sse.py and cable.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from ..types import Position, Verdict

CONNECT_SECONDS = 10.0  # for TCP and TLS; a longer silence here is a filtered port, not a slow server
# Of one update, over either transport. Far above the 64 KiB that HTTP publishes, since a program that embeds the server
# may publish more; bounded, because a server that never ends a line must not fill this machine's memory.
MAX_EVENT_BYTES = 16 * 2**20
MAX_REASON_CHARS = 64
MAX_RETRY_SECONDS = 86_400.0  # what a stranger asks for may be too large to be computed with
STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}:,]')  # strings, and what separates values


class TransportName(StrEnum):
    """The transports that a client can choose, as the command line spells and prints them."""

    SSE = "sse"
    CABLE = "cable"


class Step(StrEnum):
    """The timed steps of a connection, in the order in which they happen; the values are printed."""

    CONNECT = "connect"  # TCP and TLS are established
    HEAD = "head"  # the response's status line and headers are read
    FIRST_BYTE = "first byte"
    FIRST_EVENT = "first event"  # a verdict or an update
    FIRST_UPDATE = "first update"


class EventKind(StrEnum):
    """What an event means, whichever transport carried it (docs/protocol.md §1 and §2); the values are printed.

    OTHER is everything that a client can skip: a welcome, an unknown event, a malformed frame.
    """

    VERDICT = "verdict"
    UPDATE = "update"
    HEARTBEAT = "heartbeat"
    GOODBYE = "goodbye"
    OTHER = "other"


class Timing:
    """When each step of one connection attempt happened.

    `started_at` is `time.monotonic` at the beginning of the attempt, `marks` holds seconds since then.
    """

    __slots__ = ("marks", "started_at")

    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.marks: dict[Step, float] = {}

    def mark(self, step: Step) -> None:
        """Record that `step` happens now, unless it was recorded before."""
        if step not in self.marks:
            self.marks[step] = time.monotonic() - self.started_at

    def mark_at(self, step: Step, at: float) -> None:
        """Record that `step` happened at `at` (`time.monotonic`), in place of an earlier record."""
        self.marks[step] = at - self.started_at

    def mark_event(self, kind: EventKind) -> None:
        """Record the steps that an event of this kind completes."""
        if kind in (EventKind.VERDICT, EventKind.UPDATE):
            self.mark(Step.FIRST_EVENT)
        if kind is EventKind.UPDATE:
            self.mark(Step.FIRST_UPDATE)

    def ms(self, step: Step) -> float | None:
        """Return the milliseconds from the start to `step`, or None when it did not happen."""
        return None if step not in self.marks else self.marks[step] * 1000


@dataclass(slots=True)
class ResponseHead:
    """The head of the server's response; header names are in lower case.

    `subprotocol` and `extensions` are what a WebSocket handshake agreed on.
    """

    status: int
    http_version: str
    headers: Mapping[str, str]
    subprotocol: str | None = None
    extensions: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Event:
    """One event of either transport. `text` is its JSON as it arrived.

    `missed`: the count of updates that a verdict announces as lost. `retry`: seconds to wait before reconnecting.
    `sent_at`: the server's timestamp inside the event, in Unix seconds. `may_reconnect`: False after a goodbye
    with `"reconnect": false`. `received_at`: `time.monotonic` when the event was read.
    """

    kind: EventKind
    text: str
    position: Position | None = None
    verdict: Verdict | None = None
    missed: int | None = None
    retry: float | None = None
    sent_at: float | None = None
    may_reconnect: bool = True
    received_at: float = field(default_factory=time.monotonic)

    @property
    def goodbye_reason(self) -> str:
        """The reason that a goodbye gives, or "no reason"; cut, since it is counted by its text."""
        reason = json_object(self.text).get("reason")
        return reason[:MAX_REASON_CHARS] if isinstance(reason, str) and reason else "no reason"


@dataclass(slots=True)
class OpenConnection:
    """A connection whose response head has arrived. Close `events` (`aclosing`) before leaving its context."""

    transport: TransportName
    timing: Timing
    head: ResponseHead
    events: AsyncGenerator[Event, None]


class ConnectOptions(NamedTuple):
    """How to connect.

    `timeout`: seconds of silence after which the connection counts as dead. `position`: resume after it.
    `origin`: the `Origin` header of a browser's page. `compression`: offer what browsers offer, to find out
    whether the server or a proxy uses it.
    """

    timeout: float
    position: Position | None = None
    origin: str | None = None
    compression: bool = False


# ---- reading JSON that a foreign server may get wrong: a bad value counts as absent, it is never an error


def json_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object; returns {} for anything else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def raw_members(text: str) -> dict[str, str]:
    """Return the members of a JSON object as the text that they are, without reading the values.

    For what is nested deeper than orjson reads (1,024) or writes (254). Of text that is no JSON nothing is promised.
    """
    members: dict[str, str] = {}
    name, depth, start = "", 0, 0
    for token in STRUCTURE.finditer(text):
        depth += (token[0] in "{[") - (token[0] in "]}")
        if token[0] == ":" and depth == 1:
            name, start = text[start : token.start()].strip(), token.end()
        elif (token[0] == "," and depth == 1) or (token[0] == "}" and depth == 0):
            members[name.strip('"')] = text[start : token.start()].strip()
            name, start = "", token.end()
        elif token[0] == "{" and depth == 1:
            start = token.end()
    return members


def as_int(value: object) -> int | None:
    """Return `value` if it is an integer and no bool (which Python counts as an integer), else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_position(value: object) -> Position | None:
    """Parse `value` as a position; returns None for anything else."""
    return Position.parse(value) if isinstance(value, str) else None


def as_verdict(value: object) -> Verdict | None:
    """Return `value` as a verdict, or None: a stock Action Cable server sends none."""
    return Verdict(value) if isinstance(value, str) and value in tuple(Verdict) else None


def verdict_event(
    text: str, data: dict[str, Any], position: Position | None, retry: float | None = None
) -> Event:
    """Build the event of a verdict; `data` are its fields, which both transports name alike."""
    verdict, missed = as_verdict(data.get("verdict")), as_int(data.get("missed"))
    return Event(EventKind.VERDICT, text, position, verdict=verdict, missed=missed, retry=retry)
