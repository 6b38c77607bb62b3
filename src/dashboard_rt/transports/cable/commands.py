"""Parse what cable clients send (docs/protocol.md §2). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import islice
from typing import Any, NamedTuple

import orjson

from ...settings import DASHBOARD_STREAM
from ...types import Position
from ..connection import names_position

MAX_IDENTIFIER_BYTES = 1024
MAX_FIELDS = 20  # of a command, that are looked through: a message has room for thousands
COMMANDS = frozenset({"subscribe", "unsubscribe", "message", "history", "pong", "ping"})


class BadCommand(ValueError):
    """A frame to count and ignore. Its argument is the reason, a label of the `ignored` counter."""


class Command(NamedTuple):
    """One command. `fields` is the whole JSON object."""

    name: str
    identifier: str
    fields: Mapping[str, Any]


def parse_command(text: str | bytes) -> Command:
    """Parse one text frame. Raises BadCommand: malformed input never closes the socket (docs/protocol.md §2)."""
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadCommand("bad_json") from None
    if not isinstance(fields, dict):
        raise BadCommand("bad_json")
    name = fields.get("command")
    if not isinstance(name, str) or name not in COMMANDS:
        raise BadCommand("unknown_command")
    identifier = fields.get("identifier", "")
    if not isinstance(identifier, str) or (not identifier and name not in ("ping", "pong")):
        raise BadCommand("missing_identifier")
    return Command(name, identifier, fields)


def stream_of(identifier: str) -> str | None:
    """Return the stream that an identifier names, or None when it names no channel of ours.

    `DashboardUpdatesChannel` has an optional `stream`, `$pubsub` a `stream_name`.
    """
    if len(identifier.encode()) > MAX_IDENTIFIER_BYTES:
        return None
    return _stream_of(identifier)


@lru_cache(maxsize=64)  # thousands of clients send the same identifier
def _stream_of(identifier: str) -> str | None:
    try:
        params = orjson.loads(identifier)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(params, dict):
        return None
    name: object = None
    if params.get("channel") == "DashboardUpdatesChannel":
        name = params.get("stream", DASHBOARD_STREAM)
    elif params.get("channel") == "$pubsub":
        name = params.get("stream_name")
    return name if isinstance(name, str) else None


@cache
def plain_identifiers(stream: str) -> frozenset[str]:
    """Return the identifiers of a stream without parameters of the client's own, as JSON.stringify writes them.

    A stock client puts `channel` first, or where the page has it: a handful of texts for each stream, so that they
    may always be used.
    """
    fields = [
        {"channel": "DashboardUpdatesChannel", "stream": stream},
        {"stream": stream, "channel": "DashboardUpdatesChannel"},
        {"channel": "$pubsub", "stream_name": stream},
        {"stream_name": stream, "channel": "$pubsub"},
    ]
    if stream == DASHBOARD_STREAM:
        fields.append({"channel": "DashboardUpdatesChannel"})
    return frozenset(orjson.dumps(each).decode() for each in fields)


def parse_action(data: object) -> str:
    """Return the action of a `message` command; a missing or empty one is `receive`, as in Rails.

    Raises BadCommand when the data is no JSON object.
    """
    try:
        fields = orjson.loads(data) if isinstance(data, str) else None
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise BadCommand("bad_data")
    action = fields.get("action") or "receive"
    if not isinstance(action, str):
        raise BadCommand("bad_data")
    return action


def position_of(fields: Mapping[str, Any]) -> object:
    """Return the position that a `subscribe` carries, whatever it is; None when there is none.

    In any spelling: a client that is taken to bring none would lose updates in silence.
    """
    text = fields.get("last_event_id")
    if text is None and len(fields) > 2:  # most have `command` and `identifier` only
        first = islice(fields.items(), MAX_FIELDS)
        return next((value for name, value in first if names_position(name)), None)
    return text


class History(NamedTuple):
    """What an extended client wants replayed: behind a position, or since a time in Unix seconds.

    Both None: it names a stream that this subscription does not follow, which cannot be served.
    """

    position: Position | None
    since: int | None


def parse_history(history: object, stream: str) -> History:
    """Parse a `history` object for a subscription to `stream`. Raises BadCommand when it asks for nothing."""
    if not isinstance(history, dict):
        raise BadCommand("bad_history")
    streams, since = history.get("streams"), history.get("since")
    if isinstance(streams, dict) and streams:
        return History(_history_position(streams.get(stream)), None)
    if isinstance(since, int) and not isinstance(since, bool) and 0 <= since < 1 << 40:
        return History(None, since)
    raise BadCommand("bad_history")


def _history_position(entry: object) -> Position | None:
    epoch, offset = (entry.get("epoch"), entry.get("offset")) if isinstance(entry, dict) else (None, None)
    if not isinstance(epoch, str) or not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        return None
    return Position(epoch, offset)
