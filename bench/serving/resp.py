"""As much of Redis' protocol as publishing needs: commands as bytes, replies out of bytes. Pure.

Source: the Redis serialization protocol, version 2.
"""

from __future__ import annotations


class RespError(Exception):
    """Not a reply to a PUBLISH or PING, or the error that Redis answered."""


def command(*words: bytes) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def read(buffer: bytes) -> tuple[bytes, bytes] | None:
    """The value of the one-line reply at the start of `buffer`, and what follows; None while it is not whole.

    Understands simple strings and integers; raises RespError for an error reply and for anything longer.
    """
    line, end, rest = buffer.partition(b"\r\n")
    if not end:
        return None
    if line[:1] not in (b"+", b":"):
        raise RespError(f"Redis answered {line[:120].decode(errors='replace')}")
    return line[1:], rest
