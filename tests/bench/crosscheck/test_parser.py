"""bench/crosscheck/parser.c, cut at every byte and fed with nonsense, under the sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bench.crosscheck.streams import BODIES, HEARD, HELLO
from tests.bench.crosscheck.tool import TRANSPORTS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stream_says_the_same_wherever_it_is_cut(pieces: Path, transport: str) -> None:
    stream = HELLO[transport] + BODIES[transport]
    lines = fed(pieces, transport, stream)
    assert len(lines) == len(stream) + 2  # each place to cut, the two ends too, and single bytes
    assert set(lines) == {HEARD[transport]}


def test_a_stream_without_chunks(pieces: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type:text/event-stream\r\n\r\n"
    assert set(fed(pieces, "sse", head + b'event:verdict\ndata:1\n\ndata:{"seq":1,"t":2}\n\n')) == {
        "ready; update 1 2; "
    }


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_stream_makes_the_parser_read_where_it_must_not(pieces: Path, transport: str) -> None:
    stream = HELLO[transport] + BODIES[transport]
    assert fed(pieces, transport, stream, "20000") == []  # the sanitizers would have ended it


def fed(pieces: Path, transport: str, stream: bytes, *rounds: str) -> list[str]:
    command = [str(pieces), transport, *rounds]
    done = subprocess.run(command, input=stream, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()
