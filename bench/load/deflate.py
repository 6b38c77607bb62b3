"""permessage-deflate, the receiving half: what was agreed on, and messages inflated. Pure. Source: RFC 7692.

This client never compresses what it sends (section 6 leaves that to the sender), so the parameters that bind a
client are read, checked, and otherwise mean nothing here.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from bench.load.frames import MESSAGE_BYTES
from bench.load.wire import WireError

OFFER = "permessage-deflate; client_max_window_bits"  # what browsers offer
EMPTY_BLOCK = b"\x00\x00\xff\xff"  # cut off by the sender (section 7.2.1), put back here (7.2.2)
FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
WINDOWS = ("server_max_window_bits", "client_max_window_bits")


class Agreement(NamedTuple):
    """What a server answered to OFFER. `window_bits`: the most that it looks back, as a power of two;
    `takeover`: whether it looks back into the messages before."""

    window_bits: int
    takeover: bool


def agreed(answer: str) -> Agreement:
    """Read a `Sec-WebSocket-Extensions` of a response; raises WireError when it is not an answer to OFFER."""
    name, *rows = (part.strip() for part in answer.split(";"))
    if name != "permessage-deflate":
        raise WireError(f"an extension nobody offered: {answer}")
    found: dict[str, str] = {}
    for row in rows:
        key, _, value = (part.strip() for part in row.partition("="))
        if key in found or not _allowed(key, value.strip('"')):
            raise WireError(f"permessage-deflate with a parameter that is no answer: {row!r}")
        found[key] = value.strip('"')
    return Agreement(int(found.get("server_max_window_bits", 15)), "server_no_context_takeover" not in found)


def _allowed(key: str, value: str) -> bool:
    """Section 7.1: two flags without a value, two windows of 8 to 15 bits."""
    return (key in FLAGS and not value) or (key in WINDOWS and value in ("8", "9", *map(str, range(10, 16))))


class Inflater:
    """The messages of one connection, in order."""

    __slots__ = ("agreement", "stream")

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.stream: Any = None  # zlib has no public name for its type

    def text(self, payload: bytes) -> bytes:
        """One compressed message inflated; raises WireError."""
        if self.stream is None or not self.agreement.takeover:
            self.stream = zlib.decompressobj(-self.agreement.window_bits)
        try:
            text: bytes = self.stream.decompress(payload + EMPTY_BLOCK, MESSAGE_BYTES)
        except zlib.error as error:
            raise WireError(f"a compressed message that does not inflate: {error}") from None
        if self.stream.unconsumed_tail:
            raise WireError(f"a message that inflates to more than {MESSAGE_BYTES} bytes")
        if self.stream.eof:
            self._after_a_final_block()
        return text

    def _after_a_final_block(self) -> None:
        """Section 7.2.3.5 allows one, and then the next message may still look back over it: zlib cannot."""
        if self.agreement.takeover:
            raise WireError(
                "a final deflate block in a window that is taken over: the client cannot go on after it"
            )
