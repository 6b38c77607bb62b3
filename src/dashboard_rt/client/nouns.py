"""What a client of either transport hears; the wires are in sse_client.py and cable_client.py.

A `Link` is one open connection: when each step happened, what the head of the answer said, and what is heard.
It ends when the server ends it cleanly; everything else raises `Failed`, which says what to do.
"""

from __future__ import annotations

import functools
import ssl
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import httpx
import orjson

from ..types import Position, Transport, Verdict
from .failures import Head


class Moment(StrEnum):
    """The steps of a connection that are timed, in their order."""

    CONNECT = "connect"
    HEAD = "head"
    FIRST_BYTE = "first byte"
    FIRST_EVENT = "first event"
    FIRST_UPDATE = "first update"


class What(StrEnum):
    """The kinds of things that are heard."""

    VERDICT = "verdict"
    UPDATE = "update"
    HEARTBEAT = "heartbeat"
    GOODBYE = "goodbye"
    OTHER = "other"


class Timing:
    """When each step happened, in seconds since the attempt began."""

    __slots__ = ("marks", "started")

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.marks: dict[Moment, float] = {}

    def mark(self, moment: Moment) -> None:
        """Note that this step is done; only its first time counts."""
        if moment not in self.marks:
            self.marks[moment] = time.monotonic() - self.started

    def ms(self, moment: Moment) -> float | None:
        """Milliseconds from the beginning to this step; None when it did not happen."""
        return None if moment not in self.marks else self.marks[moment] * 1000

    def hear(self, what: What) -> None:
        """Mark the first event and the first update."""
        if what in (What.VERDICT, What.UPDATE):
            self.mark(Moment.FIRST_EVENT)
        if what is What.UPDATE:
            self.mark(Moment.FIRST_UPDATE)


@dataclass(slots=True, frozen=True)
class Heard:
    """One thing that a server said. `text` is its JSON, `at` is `time.monotonic` when it was read.

    `retry`: the seconds to stay away; `stamp`: the server's own time in it, in Unix seconds; `again`: False
    after a goodbye that asks not to come back.
    """

    what: What
    text: str
    position: Position | None = None
    verdict: Verdict | None = None
    missed: int | None = None
    replaying: int = 0
    retry: float | None = None
    stamp: float | None = None
    again: bool = True
    at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Link:
    """One open connection."""

    transport: Transport
    timing: Timing
    head: Head
    heard: AsyncGenerator[Heard, None]


class Wish(NamedTuple):
    """How to connect. `timeout`: seconds of silence after which a connection counts as dead.

    `compression`: offer what browsers offer, to see whether something on the way takes it.
    """

    timeout: float
    position: Position | None = None
    origin: str | None = None
    compression: bool = False


@functools.cache
def tls_context() -> ssl.SSLContext:
    """One for all connections: making it reads the certificate store, some 20 ms each time."""
    return httpx.create_ssl_context()


def json_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object, or an empty one: what a server says wrongly is heard as OTHER, and its text shown."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def as_int(value: object) -> int | None:
    """A whole number, or None (in Python a bool would pass for one)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_verdict(value: object) -> Verdict | None:
    """A verdict of protocol §1; a stock server says none."""
    return Verdict(value) if isinstance(value, str) and value in tuple(Verdict) else None


def as_position(value: object) -> Position | None:
    """A position in JSON."""
    return Position.parse(value) if isinstance(value, str) else None
