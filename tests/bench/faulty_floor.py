"""The floor with one fault, which the real client must catch: `faulty_floor.py FAULT --port N --kind log`.

drop, double, swap: of one update, on all clients alike. once: one update is missing at one client. future: every
update says that it was sent in ten seconds. deflate: a handshake names an extension that nobody offered.
"""

from __future__ import annotations

import asyncio
import re
import sys

from bench.targets import floor

FAULTY_ID = 7
AHEAD_NS = 10_000_000_000
HANDSHAKE = b"sec-websocket-protocol: actioncable-v1-json\r\n"


class Faulty(floor.Floor):
    """One fault."""

    fault = "none"
    held: bytes | None = None

    def send(self, texts: list[bytes]) -> None:
        number, (text,) = self.last_id + 1, texts
        if self.fault == "future":
            super().send([later(text)])
        elif number != FAULTY_ID or self.fault in ("none", "deflate"):
            super().send([text])
            if self.held is not None:
                late, self.held = self.held, None
                self.last_id -= 1
                super().send([late])
        elif self.fault == "double":
            super().send([text])
            self.last_id -= 1
            super().send([text])
        elif self.fault == "once":
            self.leave_one_out(text)
        else:
            self.last_id += 1
            self.held = text if self.fault == "swap" else None

    def leave_one_out(self, text: bytes) -> None:
        audience = self.sse or next(iter(self.cable.values()))
        missed = audience.pop()
        super().send([text])
        audience.add(missed)


def later(text: bytes) -> bytes:
    """The same update, intended ten seconds later."""
    return re.sub(rb'"t":(\d+)', lambda match: b'"t":%d' % (int(match[1]) + AHEAD_NS), text)


class Surprising(floor.Client):
    """Compresses, it says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        write = self.transport.write

        class Changed:
            def __getattr__(self, name: str) -> object:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                write(
                    data.replace(HANDSHAKE, HANDSHAKE + b"sec-websocket-extensions: permessage-deflate\r\n")
                )

        self.transport = Changed()  # type: ignore[assignment]


if __name__ == "__main__":
    Faulty.fault = sys.argv.pop(1)
    floor.Floor = Faulty  # type: ignore[misc]
    if Faulty.fault == "deflate":
        floor.Client = Surprising  # type: ignore[misc]
    floor.main()
