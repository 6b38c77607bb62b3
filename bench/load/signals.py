"""What servers say about coming and going, read from their controls: verdicts and goodbyes. Pure.

Source: docs/protocol.md sections 1 and 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from bench.load.wire import Control

VERDICTS = ("recovered", "gap", "fresh")


class Verdict(NamedTuple):
    """`word`: one of VERDICTS, or "unknown" from a server that has none. `complete`: nothing is replayed."""

    word: str
    complete: bool


class Goodbye(NamedTuple):
    """`retry_ms`: when the client shall come back; None when it was not told. `returns`: whether it may."""

    retry_ms: int | None
    returns: bool
    text: str


def verdict(control: Control) -> Verdict:
    """Of an SSE `verdict` (which says how much is replayed) or a cable's confirm (which does not)."""
    fields = _fields(control)
    word = fields.get("verdict")
    if word not in VERDICTS:
        return Verdict("unknown", False)
    replaying = fields.get("replaying")
    return Verdict(word, word != "recovered" if replaying is None else replaying == 0)


def goodbye(control: Control) -> Goodbye:
    """Of an SSE `goodbye` or a cable's `disconnect`."""
    fields = _fields(control)
    wait = fields.get("retry_ms", fields.get("retry_in"))
    returns = fields.get("reconnect") is not False
    return Goodbye(wait if isinstance(wait, int) else None, returns, f"{control.name}: {control.detail}")


def _fields(control: Control) -> dict[str, Any]:
    """Its JSON; empty for a server that sends something else under the name."""
    try:
        fields = orjson.loads(control.detail)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}
