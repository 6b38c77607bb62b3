"""HTTP/1.1 chunk framing, removed. Pure. Source: RFC 9112 section 7.1."""

from __future__ import annotations

from bench.load.wire import WireError

SIZE_LINE_BYTES = 1024


class Dechunker:
    """Removes the framing of one response body."""

    __slots__ = ("buffer", "ended", "left")

    def __init__(self) -> None:
        self.buffer = b""
        self.left = 0  # bytes of the present chunk still to come, its CRLF included
        self.ended = False

    @property
    def at_border(self) -> bool:
        """True between two chunks."""
        return not self.buffer and not self.left and not self.ended

    def feed(self, data: bytes) -> bytes:
        """The body bytes that `data` completes; what follows the last chunk is dropped. Raises WireError."""
        buffer, parts = self.buffer + data, []
        while buffer and not self.ended:
            if not self.left:
                size, end, rest = buffer.partition(b"\r\n")
                if not end:
                    break
                self._begin(size)
                buffer = rest
                continue
            piece, buffer = buffer[: self.left], buffer[self.left :]
            parts.append(self._without_end(piece))
            self.left -= len(piece)
        self.buffer = b"" if self.ended else buffer
        if len(self.buffer) > SIZE_LINE_BYTES:  # only a size line is kept back
            raise WireError(f"not a chunk size: {buffer[:20]!r}")
        return b"".join(parts)

    def _begin(self, size: bytes) -> None:
        digits = size.partition(b";")[0].rstrip(b" \t")
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):  # int() would also read "+5" and "0x5"
            raise WireError(f"not a chunk size: {size[:20]!r}")
        length = int(digits, 16)
        self.ended = length == 0
        self.left = length + 2 if length else 0

    def _without_end(self, piece: bytes) -> bytes:
        """`piece` without the bytes of the CRLF that belong to it, which are checked."""
        body = max(0, self.left - 2)
        end = piece[body:]
        if not b"\r\n"[-self.left :].startswith(end):
            raise WireError(f"a chunk that does not end where its size says: {end!r}")
        return piece[:body]
