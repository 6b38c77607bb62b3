"""The nouns of the house. Imports nothing of ours; what a word means is in docs/protocol.md."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What an update of a stream is: the whole state (the newest is enough), or one event that counts."""

    STATE = "state"
    LOG = "log"


class Verdict(StrEnum):
    """What a (re)connecting client is told about the updates since its position."""

    FRESH = "fresh"
    RECOVERED = "recovered"
    GAP = "gap"


class Transport(StrEnum):
    """The two wires, as labels of counters and keys of `/dashboard/stats`."""

    SSE = "sse"
    CABLE = "cable"


class Position(NamedTuple):
    """`<epoch>-<id>`: everything up to `id` was sent, in this life of the database. Opaque to clients."""

    epoch: str
    id: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.id}"

    @classmethod
    def parse(cls, text: str | None) -> Position | None:
        """Read what a client sent back; None when it is not a position (never an error, see protocol §1)."""
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


MAX_POSITION_CHARS = 64
MAX_ID_DIGITS = 18  # below 2**63, what both databases hold in an integer column


class Update(NamedTuple):
    """One committed change of a stream. `text` is its JSON on one line, exactly as it goes out."""

    stream: str
    id: int
    text: str


class Bounds(NamedTuple):
    """What the log holds of one stream: ids `oldest_id..last_id`; none when `oldest_id == last_id + 1`."""

    kind: Kind
    oldest_id: int
    last_id: int


class LogState(NamedTuple):
    """The epoch and the bounds of every stream, read in one statement."""

    epoch: str
    streams: dict[str, Bounds]


class Append(NamedTuple):
    """One publish, waiting for its place in the log: `texts` become consecutive updates, all or none."""

    stream: str
    texts: Sequence[str]
    key: str | None = None


class Receipt(NamedTuple):
    """Where a publish ended up: the position of its last update. `repeated`: its idempotency key was known."""

    position: Position
    count: int  # type: ignore[assignment]  # tuple.count is nobody's loss
    repeated: bool = False


class Ring(NamedTuple):
    """The bell between processes: `stream` now ends at `last_id`; the newest updates ride along if they fit."""

    epoch: str
    stream: str
    last_id: int
    texts: Sequence[str] = ()
    committed_ms: float = 0.0  # Unix ms, for the lag gauges; 0 when unknown

    @property
    def first_id(self) -> int:
        """The id of the first update that rides along (`last_id + 1` when none does)."""
        return self.last_id - len(self.texts) + 1
