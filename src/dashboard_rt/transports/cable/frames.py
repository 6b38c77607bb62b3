"""Action Cable frames as text and as bytes (docs/protocol.md §2). Pure.

`raw` frames are RFC 6455 text frames for a handed-over socket; otherwise a frame is one line, which asgi.py sends
as one `websocket.send`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import orjson

from ...types import Update

LABEL = "cable"
EXT_PROTOCOL = "actioncable-v1-ext-json"
BASE_PROTOCOL = "actioncable-v1-json"
WELCOME = '{"type":"welcome"}'
PONG = '{"type":"pong"}'
SHARED_CHARS = 4096  # a longer text is not kept encoded: copying it costs more than encoding it again


def frame_header(length: int) -> bytes:
    """Return what stands before the payload of a text frame, unmasked as servers send (RFC 6455 §5.2)."""
    if length < 126:
        return bytes((0x81, length))
    return (
        struct.pack("!BBH", 0x81, 126, length) if length < 65536 else struct.pack("!BBQ", 0x81, 127, length)
    )


def encode_frame(text: str, raw: bool) -> bytes:
    """Encode one text frame, or one line."""
    payload = text.encode()
    return frame_header(len(payload)) + payload if raw else payload + b"\n"


@lru_cache(maxsize=64)  # welcomes and confirms: thousands of clients get the same
def encode_control(text: str, raw: bool) -> bytes:
    """Encode a frame that is no update."""
    return encode_frame(text, raw)


def ping(unix_seconds: int) -> str:
    """Format the ping without which stock clients reconnect after 6 s."""
    return f'{{"type":"ping","message":{unix_seconds}}}'


def format_reply(kind: str, identifier: str, **more: object) -> str:
    """Format confirm_subscription, reject_subscription, confirm_history or reject_history."""
    return _dumps({"identifier": identifier, "type": kind, **more})


reply = lru_cache(maxsize=64)(format_reply)  # as above


def disconnect(reason: str, reconnect: bool, retry_in: int | None = None) -> str:
    """Format the last frame before a close. `retry_in` in ms is for our own client; stock clients ignore it."""
    message: dict[str, object] = {"type": "disconnect", "reason": reason, "reconnect": reconnect}
    if retry_in is not None:
        message["retry_in"] = retry_in
    return _dumps(message)


class CableWire:
    """Updates as data frames of one identifier, base or extended protocol.

    Compared by identity, as `Wires` hands out one object for each text: clients choose it, and hashing the text for
    every update would cost more than encoding it.
    """

    __slots__ = ("ext", "head", "identifier", "overhead", "raw", "users")
    transport = LABEL

    def __init__(self, identifier: str, ext: bool, raw: bool) -> None:
        self.identifier = identifier
        self.ext = ext
        self.raw = raw
        self.head = f'{{"identifier":{_dumps(identifier)},"message":'.encode()
        self.overhead = len(self.head) + 256
        self.users = 0

    def encode(self, updates: Sequence[Update], epoch: str) -> bytes:
        """Encode a batch; the extended protocol adds `stream_id`, `epoch` and `offset`."""
        parts: list[bytes] = []
        for update in updates:
            parts += self._frame(body(update, epoch if self.ext else None))
        return b"".join(parts)

    def encode_answer(self, update: Update) -> bytes:
        """Encode one update without its position, so that the client's cursor does not move (`refresh`)."""
        return b"".join(self._frame(body(update, None)))

    def _frame(self, rest: bytes) -> tuple[bytes, bytes, bytes]:
        head = self.head
        return (frame_header(len(head) + len(rest)), head, rest) if self.raw else (head, rest, b"\n")


class Wires:
    """The wires in use: one object for each text, protocol and form, however many subscriptions share it."""

    def __init__(self) -> None:
        self._wires: dict[tuple[str, bool, bool], CableWire] = {}

    def __len__(self) -> int:
        return len(self._wires)

    def find(self, identifier: str, ext: bool, raw: bool) -> CableWire | None:
        """Return the wire if a subscription uses it already."""
        return self._wires.get((identifier, ext, raw))

    def take(self, identifier: str, ext: bool, raw: bool) -> CableWire:
        """Return the wire for one more subscription, which releases it at its end."""
        wire = self.find(identifier, ext, raw)
        if wire is None:
            wire = self._wires[identifier, ext, raw] = CableWire(identifier, ext, raw)
        wire.users += 1
        return wire

    def release(self, wire: CableWire) -> None:
        wire.users -= 1
        if not wire.users:
            del self._wires[wire.identifier, wire.ext, wire.raw]


def body(update: Update, epoch: str | None) -> bytes:
    """Return what follows the identifier in a frame, the same for all identifiers. With an `epoch` as ext has it."""
    if len(update.text) <= SHARED_CHARS:
        return _shared_body(update, epoch)
    return _encode_body(update, epoch)


def _encode_body(update: Update, epoch: str | None) -> bytes:
    if epoch is None:
        return f"{update.text}}}".encode()
    stream, epoch = _dumps(update.stream), _dumps(epoch)
    return f'{update.text},"stream_id":{stream},"epoch":{epoch},"offset":{update.id}}}'.encode()


_shared_body = lru_cache(maxsize=128)(_encode_body)  # thousands of identifiers share it


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()
