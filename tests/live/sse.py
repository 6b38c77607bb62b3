"""An SSE client that shows bytes: the head, the chunks, the blocks, and their events (WHATWG HTML 9.2.6)."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.live.wire import Address, Closed, Headers, Wire, read_chunk, read_head, request_bytes


class Event(NamedTuple):
    """One dispatched event. `id` is None when the block had no id line; `block` is its raw text."""

    name: str
    data: str
    id: str | None
    block: str

    def json(self) -> Any:
        return json.loads(self.data)


class Ended(Exception):
    """The server ended the stream. `clean`: as HTTP wants it (last chunk, or end of an identity body)."""

    def __init__(self, *, clean: bool, rest: bytes) -> None:
        super().__init__(f"stream ended, clean={clean}, unfinished block {rest[:200]!r}")
        self.clean = clean
        self.rest = rest


class SseClient:
    """A connection to the stream; the head is read at once, events when asked for."""

    def __init__(
        self,
        address: Address,
        target: str = "/dashboard/stream",
        headers: Headers = (),
        version: str = "1.1",
        rcvbuf: int | None = None,
    ) -> None:
        self.wire = Wire(address.connect(rcvbuf))
        self.wire.send(request_bytes("GET", target, [("host", address.netloc), *headers], version=version))
        self.head = read_head(self.wire)
        self.chunked = self.head.get("transfer-encoding") == "chunked"
        self.retries: list[int] = []
        self._text = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def piece(self) -> bytes:
        """The next bytes of the body: one chunk, or what is there of an identity body."""
        try:
            data = read_chunk(self.wire) if self.chunked else self.wire.some()
        except Closed as end:
            raise Ended(clean=not self.chunked and not end.reset, rest=self._text) from end
        if not data:
            raise Ended(clean=True, rest=self._text)
        return data

    def block(self) -> str:
        """The next block, up to its blank line (which is left out)."""
        while b"\n\n" not in self._text:
            self._text += self.piece().replace(b"\r\n", b"\n")
        block, _, self._text = self._text.partition(b"\n\n")
        return block.decode()

    def event(self) -> Event:
        """The next event that a browser would dispatch; retry lines before it go to `retries`."""
        while True:
            block = self.block()
            fields = [_field(line) for line in block.split("\n") if line and not line.startswith(":")]
            self.retries += [int(value) for name, value in fields if name == "retry"]
            data = [value for name, value in fields if name == "data"]
            if data:
                names = [value for name, value in fields if name == "event"]
                ids = [value for name, value in fields if name == "id"]
                return Event(
                    names[-1] if names else "message", "\n".join(data), ids[-1] if ids else None, block
                )

    def until(self, name: str) -> Event:
        """The next event of that name, whatever comes before it."""
        while (event := self.event()).name != name:
            pass
        return event

    def close(self) -> None:
        self.wire.close()


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")
