"""bench/load/chunked.py: bodies come back whatever the chunks and the reads, and wrong chunks are named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.chunked import SIZE_LINE_BYTES, Dechunker
from bench.load.wire import WireError


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 20), st.booleans())
def test_any_chunks_in_any_reads(bodies: list[bytes], cut: int, extended: bool) -> None:
    extension = b";name=value" if extended else b""
    stream = b"".join(b"%X%b\r\n%b\r\n" % (len(body), extension, body) for body in bodies) + b"0\r\n\r\n"
    chunks = Dechunker()
    found = b"".join(chunks.feed(stream[at : at + cut]) for at in range(0, len(stream), cut))
    assert found == b"".join(bodies)
    assert chunks.ended
    assert not chunks.at_border


def test_borders() -> None:
    chunks = Dechunker()
    borders = [chunks.at_border]
    for piece in (b"5", b"\r\n", b"hello", b"\r", b"\n"):
        chunks.feed(piece)
        borders.append(chunks.at_border)
    assert borders == [True, False, False, False, False, True]


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"+5\r\nhello\r\n", "not a chunk size"),
        (b"0x5\r\nhello\r\n", "not a chunk size"),
        (b"\r\n", "not a chunk size"),
        (b" 5\r\n", "not a chunk size"),
        (b"a" * (SIZE_LINE_BYTES + 1), "not a chunk size"),
        (b"4\r\nhello\r\n", "does not end where its size says"),
        (b"6\r\nhello\r\n", "does not end where its size says"),
        (b"5\r\nhello\n\r", "does not end where its size says"),
    ],
)
def test_wrong_chunks_are_named_in_any_reads(stream: bytes, why: str) -> None:
    for cut in (len(stream), 1):
        chunks = Dechunker()
        with pytest.raises(WireError, match=why):
            for at in range(0, len(stream), cut):
                chunks.feed(stream[at : at + cut])
