"""Action Cable frames as text and as bytes (docs/protocol.md §2). Pure.

`raw` frames are RFC 6455 text frames for a handed-over socket; otherwise a frame is one line, which asgi.py sends
as one `websocket.send`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson
from websockets.frames import Frame, Opcode

from ...types import Update

LABEL = "cable"
EXT_PROTOCOL = "actioncable-v1-ext-json"
BASE_PROTOCOL = "actioncable-v1-json"
WELCOME = '{"type":"welcome"}'
PONG = '{"type":"pong"}'


def encode_frame(text: str, raw: bool) -> bytes:
    """Encode one text frame (RFC 6455 §5.2, unmasked as servers send), or one line."""
    payload = text.encode()
    return Frame(Opcode.TEXT, payload).serialize(mask=False) if raw else payload + b"\n"


@lru_cache(maxsize=64)  # welcomes and confirms: thousands of clients get the same
def encode_control(text: str, raw: bool) -> bytes:
    """Encode a frame that is no update."""
    return encode_frame(text, raw)


def ping(unix_seconds: int) -> str:
    """Format the ping without which stock clients reconnect after 6 s."""
    return f'{{"type":"ping","message":{unix_seconds}}}'


@lru_cache(maxsize=64)  # as above
def reply(kind: str, identifier: str, **more: object) -> str:
    """Format confirm_subscription, reject_subscription, confirm_history or reject_history."""
    return _dumps({"identifier": identifier, "type": kind, **more})


def disconnect(reason: str, reconnect: bool, retry_in: int | None = None) -> str:
    """Format the last frame before a close. `retry_in` in ms is for our own client; stock clients ignore it."""
    message: dict[str, object] = {"type": "disconnect", "reason": reason, "reconnect": reconnect}
    if retry_in is not None:
        message["retry_in"] = retry_in
    return _dumps(message)


class CableWire(NamedTuple):
    """Updates as data frames of one identifier, base or extended protocol."""

    identifier: str
    ext: bool
    raw: bool

    @property
    def transport(self) -> str:
        return LABEL

    @property
    def overhead(self) -> int:
        return len(_head(self.identifier).encode()) + 256

    def encode(self, updates: Sequence[Update], epoch: str) -> bytes:
        """Encode a batch; the extended protocol adds `stream_id`, `epoch` and `offset`."""
        head = _head(self.identifier)
        if not self.ext:
            return b"".join([encode_frame(f"{head}{update.text}}}", self.raw) for update in updates])
        tail = (
            f',"stream_id":{_dumps(updates[0].stream)},"epoch":{_dumps(epoch)},"offset":' if updates else ""
        )
        return b"".join([encode_frame(f"{head}{u.text}{tail}{u.id}}}", self.raw) for u in updates])

    def encode_answer(self, update: Update) -> bytes:
        """Encode one update without its position, so that the client's cursor does not move (`refresh`)."""
        return encode_frame(f"{_head(self.identifier)}{update.text}}}", self.raw)


@lru_cache(maxsize=64)
def cable_wire(identifier: str, ext: bool, raw: bool) -> CableWire:
    """Return the wire, the same object for all clients that send the same text: it keeps one copy of the text."""
    return CableWire(identifier, ext, raw)


@lru_cache(maxsize=64)
def _head(identifier: str) -> str:
    return f'{{"identifier":{_dumps(identifier)},"message":'


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()
