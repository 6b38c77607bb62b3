"""As much HTTP/1.1 as publishing needs: requests as bytes, responses out of bytes. Pure."""

from __future__ import annotations

from typing import NamedTuple

from bench.load.wire import read_head


class Response(NamedTuple):
    """A whole response."""

    status: int
    body: bytes


def read(buffer: bytes) -> tuple[Response, bytes] | None:
    """The response at the start of `buffer` and what follows; None while it is not whole.

    Understands Content-Length only, which is what a small JSON answer carries.
    """
    found = read_head(buffer)
    if found is None:
        return None
    head, rest = found
    length = int(head.headers.get("content-length", "0"))
    if len(rest) < length:
        return None
    return Response(head.status, rest[:length]), rest[length:]
