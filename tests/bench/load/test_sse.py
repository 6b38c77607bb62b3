"""bench/load/sse.py: the same updates whatever the pieces in which the bytes arrive."""

from __future__ import annotations

import pytest

from bench.load import payload, sse
from bench.load.payload import Stamp
from bench.load.sse import SseParser
from bench.load.wire import HEAD_BYTES, Batch, Control, Memo, Wire, WireError

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
    positions = [batch.position for batch in batches if batch.position is not None]
    return Batch(
        tuple(stamp for batch in batches for stamp in batch.updates),
        tuple(control for batch in batches for control in batch.controls),
        positions[-1] if positions else None,
    )


def stamps(*numbers: int) -> tuple[Stamp, ...]:
    return tuple(Stamp(seq, seq * 1000, seq * 1000 + 1) for seq in numbers)


VERDICT = b'retry: 2000\n\nevent: verdict\nid: e-0\ndata: {"verdict":"fresh"}\n\n'
OPEN = Control("open", "none")
CONTROLS = (OPEN, Control("retry", "2000"), Control("verdict", '{"verdict":"fresh"}'))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("chunked", [True, False])
def test_split_at_every_byte(end: bytes, chunked: bool) -> None:
    body = [VERDICT.replace(b"\n", end), event(1, end) + event(2, end), event(3, end)]
    stream = CHUNKED + b"".join(map(chunk, body)) if chunked else HEAD + b"\r\n" + b"".join(body)
    for at in range(1, len(stream)):
        found = gathered(SseParser(Memo()), [stream[:at], stream[at:]])
        assert found.updates == stamps(1, 2, 3), at
        assert [control.name for control in found.controls] == ["open", "retry", "verdict"], at
        assert found.position == "e-3", at


def test_byte_by_byte() -> None:
    stream = CHUNKED + chunk(VERDICT) + chunk(event(1)) + chunk(event(2))
    found = gathered(SseParser(Memo()), [stream[at : at + 1] for at in range(len(stream))])
    assert found == Batch(stamps(1, 2), CONTROLS, "e-2")


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
    assert found == Batch(stamps(1), (OPEN,), "e-1")


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\n\r\n", "HTTP 404"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n", "text/html"),
        (HEAD + b"content-encoding: gzip\r\n\r\n", "gzip"),
        (CHUNKED + b"zz\r\n", "chunk size"),
        (CHUNKED + chunk(VERDICT)[:-2] + b"40\r\n", "does not end where its size says"),
        (HEAD + b"x: " + b"y" * HEAD_BYTES, "response head"),
        (CHUNKED + chunk(b"data: {oops\n\n"), "not JSON"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not an HTTP response"),
    ],
)
def test_a_broken_server_is_named(stream: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        SseParser(Memo()).feed(stream)


def test_each_kind_of_event_leaves_its_position() -> None:
    parser = SseParser(Memo())
    parser.feed(CHUNKED)
    assert parser.feed(chunk(VERDICT)).position == "e-0"
    assert parser.feed(chunk(b"event: heartbeat\nid: e-7\ndata: {}\n\n")).position == "e-7"
    assert parser.feed(chunk(b"event: heartbeat\ndata: {}\n\n")).position is None
    assert parser.feed(chunk(b"id: e\0\ndata: {}\n\n")).position is None
    assert parser.feed(chunk(event(8) + event(9))).position == "e-9"


def test_a_goodbye_brings_the_time_to_come_back_twice() -> None:
    said = b'retry: 2310\nevent: goodbye\ndata: {"reason":"full","retry_ms":2310}\n\n'
    found = gathered(SseParser(Memo()), [CHUNKED, chunk(said)])
    assert found.controls[1:] == (
        Control("retry", "2310"),
        Control("goodbye", '{"reason":"full","retry_ms":2310}'),
    )


@pytest.mark.parametrize("at", range(1, 5))
def test_the_last_chunk_is_an_end(at: int) -> None:
    end = b"0\r\n\r\n"
    found = gathered(SseParser(Memo()), [CHUNKED, chunk(event(1)), end[:at], end[at:]])
    assert found.updates == stamps(1)
    assert Control("end", "") in found.controls


def test_an_update_in_an_envelope() -> None:
    pushed = b'{"channel":"x","pub":{"data":%b,"offset":1}}' % update(1)
    found = gathered(SseParser(Memo(), "pub.data"), [CHUNKED, chunk(b"data: %b\n\n" % pushed)])
    assert found.updates == stamps(1)


@pytest.mark.parametrize("text", ['{"connect":{}}', "{}", '{"pub":7}', "[]"])
def test_what_is_no_envelope_is_foreign(text: str) -> None:
    found = gathered(SseParser(Memo(), "pub.data"), [CHUNKED, chunk(f"data: {text}\n\n".encode())])
    assert found.controls == (OPEN, Control("foreign", text))


def test_hits_are_counted() -> None:
    memo = Memo()
    for parser in (SseParser(memo), SseParser(memo), SseParser(memo)):
        parser.feed(CHUNKED)
        parser.feed(chunk(event(1)))
    assert memo.hits == 2


def test_the_request() -> None:
    wire = Wire("sse", "127.0.0.1", 4000, "/stream?a=b", headers=(("X-One", "1"),))
    assert sse.request(wire) == (
        b"GET /stream?a=b HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nAccept: text/event-stream\r\nX-One: 1\r\n\r\n"
    )
    assert b"\r\nLast-Event-ID: e-7\r\n" in sse.request(wire, "e-7")
