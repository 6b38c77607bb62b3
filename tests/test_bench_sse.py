"""bench/sse.py: the same updates whatever the pieces in which the bytes arrive."""

from __future__ import annotations

import pytest

from bench import payload
from bench.payload import Stamp
from bench.sse import SseParser
from bench.wire import Batch, Control, Memo, WireError

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def update(seq: int) -> bytes:
    return payload.stamped(payload.update(seq, seq * 1000), seq * 1000 + 1)


def event(seq: int, end: bytes = b"\n") -> bytes:
    return b"id: e-%d%bdata: %b%b%b" % (seq, end, update(seq), end, end)


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def gathered(parser: SseParser, pieces: list[bytes]) -> Batch:
    batches = [parser.feed(piece) for piece in pieces]
    return Batch(
        tuple(stamp for batch in batches for stamp in batch.updates),
        tuple(control for batch in batches for control in batch.controls),
    )


def stamps(*numbers: int) -> tuple[Stamp, ...]:
    return tuple(Stamp(seq, seq * 1000, seq * 1000 + 1) for seq in numbers)


VERDICT = b'retry: 2000\n\nevent: verdict\nid: e-0\ndata: {"verdict":"fresh"}\n\n'
CONTROLS = (Control("retry", "retry: 2000"), Control("verdict", '{"verdict":"fresh"}'))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("chunked", [True, False])
def test_split_at_every_byte(end: bytes, chunked: bool) -> None:
    body = [VERDICT.replace(b"\n", end), event(1, end) + event(2, end), event(3, end)]
    stream = CHUNKED + b"".join(map(chunk, body)) if chunked else HEAD + b"\r\n" + b"".join(body)
    for at in range(1, len(stream)):
        found = gathered(SseParser(Memo()), [stream[:at], stream[at:]])
        assert found.updates == stamps(1, 2, 3), at
        assert [control.name for control in found.controls] == ["retry", "verdict"], at


def test_byte_by_byte() -> None:
    stream = CHUNKED + chunk(VERDICT) + chunk(event(1)) + chunk(event(2))
    found = gathered(SseParser(Memo()), [stream[at : at + 1] for at in range(len(stream))])
    assert found == Batch(stamps(1, 2), CONTROLS)


def test_chunks_that_are_not_events() -> None:
    text = event(1) + event(2)
    stream = CHUNKED + chunk(text[:50]) + chunk(text[50:600]) + chunk(text[600:])
    assert gathered(SseParser(Memo()), [stream]).updates == stamps(1, 2)


def test_a_read_seen_before_is_not_parsed_again_but_answers_the_same() -> None:
    memo = Memo()
    first, second = SseParser(memo), SseParser(memo)
    for parser in (first, second):
        parser.feed(CHUNKED)
    assert first.feed(chunk(event(1))) is second.feed(chunk(event(1)))
    assert second.feed(chunk(event(2))).updates == stamps(2)


def test_the_memo_is_not_asked_in_the_middle_of_an_event() -> None:
    memo = Memo()
    other = SseParser(memo)
    other.feed(HEAD + b"\r\n")
    other.feed(b"data: 1\n\n")
    parser = SseParser(memo)
    parser.feed(HEAD + b"\r\n" + b"event: other\n")
    assert parser.feed(b"data: 1\n\n").controls == (Control("other", "1"),)


def test_the_memo_is_bounded() -> None:
    memo = Memo(limit=1000)
    parser = SseParser(memo)
    parser.feed(CHUNKED)
    for seq in range(1, 20):
        parser.feed(chunk(event(seq)))
    assert sum(map(len, memo.known)) <= 1000


def test_comments_and_unknown_fields_are_no_updates() -> None:
    found = gathered(SseParser(Memo()), [CHUNKED, chunk(b": hi\n\nfoo: bar\n\n"), chunk(event(1))])
    assert found == Batch(stamps(1), ())


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\n\r\n", "HTTP 404"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n", "text/html"),
        (HEAD + b"content-encoding: gzip\r\n\r\n", "gzip"),
        (CHUNKED + b"zz\r\n", "chunk size"),
        (CHUNKED + chunk(b"data: {oops\n\n"), "not JSON"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not an HTTP response"),
    ],
)
def test_a_broken_server_is_named(stream: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        SseParser(Memo()).feed(stream)
