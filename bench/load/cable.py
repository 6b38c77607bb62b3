"""Action Cable over WebSocket, from bytes to updates and from commands to bytes. Pure: no socket, no clock.

Sources: RFC 6455 section 4 (handshake), docs/protocol.md section 2 (what is in the frames).
"""

from __future__ import annotations

import base64
import hashlib

import orjson

from bench.load import deflate, payload
from bench.load.deflate import Inflater
from bench.load.frames import CLOSE, NAMES, TEXT, Frame, Frames, close_reason, frame, only_message
from bench.load.wire import NOTHING, Batch, Control, Memo, Wire, WireError, read_head

KEY = base64.b64encode(b"load-client-key!").decode()
ACCEPT = base64.b64encode(
    hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
).decode()
UNKNOWN = ""  # the position behind an update that does not carry one


class CableParser:
    """One connection's bytes, from the response head on, which is a control `open` with the extensions agreed on."""

    __slots__ = ("at_border", "frames", "head", "inflater", "memo", "wire")

    def __init__(self, memo: Memo, wire: Wire) -> None:
        self.memo = memo
        self.wire = wire
        self.head: bytes | None = b""
        self.frames = Frames()
        self.inflater: Inflater | None = None
        self.at_border = False

    def feed(self, data: bytes) -> Batch:
        """What these bytes complete; raises WireError."""
        if self.at_border:
            known = self.memo.known.get(data)
            if known is not None:
                self.memo.hits += 1
                return known
            batch = self._body(data)
            if self.at_border:
                self.memo.keep(data, batch)
            return batch
        if self.head is not None:
            return self._head(data)
        if self.inflater is not None and self.frames.at_border:
            compressed = only_message(data)
            if compressed is not None:
                return self._remembered(self.inflater.text(compressed))
        return self._body(data)

    def _head(self, data: bytes) -> Batch:
        found = read_head((self.head or b"") + data)
        if found is None:
            self.head = (self.head or b"") + data
            return NOTHING
        (status, headers), rest = found
        if status != 101 or headers.get("sec-websocket-accept") != ACCEPT:
            raise WireError(f"the upgrade was refused: HTTP {status}")
        if headers.get("sec-websocket-protocol") != self.wire.subprotocol:
            raise WireError(f"another subprotocol: {headers.get('sec-websocket-protocol')!r}")
        extensions = headers.get("sec-websocket-extensions", "")
        self._agree(extensions)
        self.head = None
        batch = self._body(rest)
        return batch._replace(controls=(Control("open", extensions or "none"), *batch.controls))

    def _agree(self, extensions: str) -> None:
        if not self.wire.deflates:
            if extensions:
                raise WireError(f"an extension nobody offered: {extensions}")
        elif not extensions:
            raise WireError("permessage-deflate was not agreed on: turn compression on in the server")
        else:
            self.inflater = Inflater(deflate.agreed(extensions))
            self.frames = Frames(compression=True)

    def _body(self, data: bytes) -> Batch:
        found = [self._read(one) for one in self.frames.feed(data)]
        shared = self.inflater is not None and self.inflater.agreement.takeover
        self.at_border = not shared and self.frames.at_border  # what inflates by the past is read every time
        return found[0] if len(found) == 1 else joined(found)

    def _read(self, one: Frame) -> Batch:
        if one.opcode != TEXT:
            return Batch((), (Control(NAMES[one.opcode], _detail(one)),))
        if not one.compressed or self.inflater is None:
            return read_text(one.payload, self.wire.identifier)
        return self._remembered(self.inflater.text(one.payload))

    def _remembered(self, text: bytes) -> Batch:
        """Compressed bytes differ from client to client; the texts do not."""
        known = self.memo.known.get(text)
        if known is None:
            known = read_text(text, self.wire.identifier)
            self.memo.keep(text, known)
        else:
            self.memo.hits += 1
        return known


def read_text(text: bytes, identifier: str) -> Batch:
    """What one message says; raises WireError."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise WireError(f"a frame that is not JSON: {text[:60]!r}") from None
    if not isinstance(message, dict):
        raise WireError(f"a frame that is not a JSON object: {text[:60]!r}")
    if "type" in message:
        position = message.get("position")
        control = Control(str(message["type"]), text.decode())
        return Batch((), (control,), position if isinstance(position, str) else None)
    if message.get("identifier") != identifier:
        raise WireError(f"an update for another subscription: {message.get('identifier')!r}")
    stamp = payload.read(message.get("message"))
    if stamp is None:
        return Batch((), (Control("foreign", text.decode()),), _position(message))
    return Batch((stamp,), (), _position(message))


def _position(message: dict[str, object]) -> str:
    """The place of an update on the extended protocol; on the base protocol nobody can say any more."""
    if "epoch" in message and "offset" in message:
        return f"{message['epoch']}-{message['offset']}"
    return UNKNOWN


def _detail(one: Frame) -> str:
    return close_reason(one.payload) if one.opcode == CLOSE else one.payload.decode("latin-1")


def joined(batches: list[Batch]) -> Batch:
    """Several batches as one; the last position that is said counts."""
    if not batches:
        return NOTHING
    positions = [batch.position for batch in batches if batch.position is not None]
    return Batch(
        tuple(stamp for batch in batches for stamp in batch.updates),
        tuple(control for batch in batches for control in batch.controls),
        positions[-1] if positions else None,
    )


def request(wire: Wire) -> bytes:
    """What opens a cable; an extension is offered on `cable+deflate` only."""
    offer = (f"Sec-WebSocket-Extensions: {deflate.OFFER}",) if wire.deflates else ()
    return wire.request(
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {wire.subprotocol}",
        *offer,
    )


def subscription(identifier: str, position: str = "") -> dict[str, str]:
    """The subscribe command, behind `position` when there is one."""
    command = {"command": "subscribe", "identifier": identifier}
    return {**command, "last_event_id": position} if position else command


def subscribe(identifier: str, position: str = "") -> bytes:
    """The same as a frame."""
    return frame(TEXT, orjson.dumps(subscription(identifier, position)))
