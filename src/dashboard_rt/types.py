"""The value types that every package shares. Imports nothing of ours; docs/architecture.md has the glossary."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_POSITION_CHARS = 64
MAX_ID_DIGITS = 18  # below 2**63: what an integer column of SQLite and of PostgreSQL can hold


class Kind(StrEnum):
    """What one update of a stream is: the whole state (the newest is enough), or one event (each counts)."""

    STATE = "state"
    LOG = "log"

    __hash__ = str.__hash__  # Enum's own is a Python function, and these are parts of many keys


class Verdict(StrEnum):
    """What a connecting client is told about the updates since its position (docs/protocol.md §1)."""

    FRESH = "fresh"
    RECOVERED = "recovered"
    GAP = "gap"

    __hash__ = str.__hash__  # as above


class Position(NamedTuple):
    """A place in one stream: everything up to `id` was sent. Clients see `<epoch>-<id>` and never look into it.

    The epoch names one life of the database, so that ids from before it was emptied or restored are refused
    instead of misread.
    """

    epoch: str
    id: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.id}"

    @classmethod
    def parse(cls, text: str | None) -> Position | None:
        """Read the text form; None when it is not one, which is never an error (docs/protocol.md §1)."""
        if text is None or len(text) > MAX_POSITION_CHARS:
            return None
        epoch, dash, digits = text.rpartition("-")
        if (
            not dash
            or not epoch
            or not (digits.isascii() and digits.isdigit())
            or len(digits) > MAX_ID_DIGITS
        ):
            return None
        return cls(epoch, int(digits))


# What a client sent as its position but cannot be read. It belongs to no epoch, so the verdict is `gap`.
UNREADABLE_POSITION = Position("", 0)


class Update(NamedTuple):
    """One committed change of a stream. `text` is its JSON on one line, exactly as clients receive it."""

    stream: str
    id: int
    text: str


class Bounds(NamedTuple):
    """The ids that the log holds of one stream: `oldest_id..last_id`; none when `oldest_id == last_id + 1`."""

    kind: Kind
    oldest_id: int
    last_id: int


class LogState(NamedTuple):
    """The epoch and the bounds of every stream, read in one statement so that they belong together."""

    epoch: str
    streams: dict[str, Bounds]


class Fence(NamedTuple):
    """What keeps a process that has lost a lease from writing: the lease's name, and who must still hold it."""

    lease: str
    holder: str


class Append(NamedTuple):
    """One publish to be written: `texts` get consecutive ids, all or none. `key` is its Idempotency-Key.

    With a `fence` it is written only if that holds when the transaction commits.
    """

    stream: str
    texts: Sequence[str]
    key: str | None = None
    fence: Fence | None = None


class Receipt(NamedTuple):
    """Where a publish was written: the position of its last update. `repeated`: its key was known already."""

    position: Position
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    repeated: bool = False


class ConnectionLimit(NamedTuple):
    """One limit that a service sets to the connections of its clients; `taken` are those that others have now."""

    name: str
    most: int
    taken: int


class Notification(NamedTuple):
    """What one process tells the others after a commit: `stream` now ends at `last_id`.

    `texts` are the newest updates, up to `last_id`, if the broker carries that much. `committed_ms` is the time
    of the commit in Unix ms, 0 when unknown.
    """

    epoch: str
    stream: str
    last_id: int
    texts: Sequence[str] = ()
    committed_ms: float = 0.0

    @property
    def first_id(self) -> int:
        """The id of `texts[0]`; `last_id + 1` when there are none."""
        return self.last_id - len(self.texts) + 1
