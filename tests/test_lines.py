"""One update, or one a line: what is read, in which batches it is published, and how far a run says that it came."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.errors import DashboardError, InvalidUpdate, LogUnavailable, TooLarge
from dashboard_rt.http.publish import MAX_UPDATE_BYTES
from dashboard_rt.lines import (
    BATCH_LINES,
    MAX_READ_BYTES,
    Line,
    LinePublisher,
    LineSplitter,
    batches,
    read_chunks,
    read_update,
)
from dashboard_rt.types import Position, Receipt

LARGEST = b'"%b"' % (b"a" * (MAX_UPDATE_BYTES - 2))

# ---- one update


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" {}\n", " {}"),
        (b"{}\r\n", "{}"),
        (b"\xef\xbb\xbf{}", "{}"),
        (b'{\n"a": 1\r\n}', '{ "a": 1  }'),
        (b"\xef\xbb\xbf" + LARGEST + b"\r\n", LARGEST.decode()),
    ],
)
def test_an_update_is_read_without_its_mark_and_its_end(raw: bytes, text: str) -> None:
    assert read_update(raw) == text


def test_what_may_go_on_behind_blank_lines_is_not_taken_for_one_update() -> None:
    whole = b"{}" + b"\n" * MAX_READ_BYTES + b'{"second": 1}'
    with pytest.raises(TooLarge):
        read_update(whole[:MAX_READ_BYTES])


@pytest.mark.parametrize(
    ("raw", "error", "sentence"),
    [
        (LARGEST + b" ", TooLarge, "at most 65536 bytes"),
        (b"", InvalidUpdate, "not JSON"),
        (b"\xff", InvalidUpdate, "not UTF-8"),
        (b"1\x00", InvalidUpdate, "not JSON"),
        (b"NaN", InvalidUpdate, "not JSON"),
        (b"\xef\xbb\xbf\xef\xbb\xbf1", InvalidUpdate, "not JSON"),
        (b"\xff\xfe1\x00", InvalidUpdate, "UTF-16"),
        (b"\xfe\xff\x001", InvalidUpdate, "UTF-16"),
    ],
)
def test_what_cannot_be_published_is_refused(raw: bytes, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        read_update(raw)


# ---- lines


@given(st.binary(max_size=200), st.lists(st.integers(1, 50)))
def test_lines_are_the_same_however_they_arrive(raw: bytes, cuts: list[int]) -> None:
    splitter, lines, rest = LineSplitter(), [], raw
    for size in cuts:
        chunk, rest = rest[:size], rest[size:]
        lines += splitter.feed(chunk)
    lines += splitter.feed(rest) + splitter.end()
    expected = enumerate(raw.split(b"\n"), 1)
    assert lines == [Line(n, line) for n, line in expected if line.removeprefix(b"\xef\xbb\xbf").strip()]


def test_a_line_without_an_end_is_given_out_before_it_fills_the_memory() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"1\n" + b"a" * MAX_READ_BYTES) == [Line(1, b"1")]
    (line,) = splitter.feed(b"a")
    assert (line.number, len(line.raw)) == (2, MAX_READ_BYTES + 1)


@pytest.mark.parametrize(
    ("lines", "sizes"),
    [([b"1"] * 2500, [BATCH_LINES, BATCH_LINES, 500]), ([LARGEST] * 33, [16, 16, 1]), ([], [])],
)
def test_batches_are_bounded_by_count_and_by_bytes(lines: list[bytes], sizes: list[int]) -> None:
    assert [len(batch) for batch in batches([Line(1, raw) for raw in lines])] == sizes


# ---- publishing them


class Log:
    """Remembers what is published, and is away when `fails` says so of a batch's number."""

    def __init__(self, fails: Callable[[int], bool] = lambda _: False) -> None:
        self.batches: list[list[str]] = []
        self.told: list[str] = []
        self._fails = fails
        self.run = LinePublisher(self.publish, lambda position: self.told.append(str(position)))

    async def publish(self, texts: Sequence[str]) -> Receipt:
        if self._fails(len(self.batches)):
            raise LogUnavailable("The log is away.")
        self.batches.append([*texts])
        return Receipt(Position("e", sum(map(len, self.batches))), len(texts))

    async def read(self, *chunks: bytes, stopped: Callable[[], bool] = lambda: False) -> str:
        """Publish the chunks; the sentence that it ended with."""

        async def arriving() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        try:
            await self.run.run(arriving(), stopped)
        except DashboardError as error:
            return str(error)
        return str(self.run.progress)


@pytest.mark.anyio
async def test_each_chunk_is_published_when_it_comes() -> None:
    log = Log()
    assert (
        await log.read(b"1\n2", b"\n\n3\r\n", b"4")
        == "4 updates were published, up to e-4, and none from line 6 on."
    )
    assert log.batches == [["1"], ["2", "3"], ["4"]]
    assert log.told == ["e-1", "e-3", "e-4"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("raw", "sentence", "batches"),
    [
        (
            b"1\n\n2\nnope\n5\n",
            "Line 4: This is not JSON: invalid literal, expected 'null', column 1."
            " 2 updates were published, up to e-2, and none from line 4 on.",
            [["1", "2"]],
        ),
        (b"\x00\x1b[\n2\n", "Nothing was published.", []),
        (b"1\n" + LARGEST + b" \n3", "Line 2: An update has at most 65536 bytes", [["1"]]),
        (b"1\n" + b"[" * 200_000, "Line 2: An update has at most 65536 bytes", [["1"]]),
        (b"1\n2\n\xff", "none from line 3 on.", [["1", "2"]]),
    ],
)
async def test_the_first_bad_line_is_named_and_those_before_it_are_published(
    raw: bytes, sentence: str, batches: list[list[str]]
) -> None:
    log = Log()
    assert sentence in await log.read(raw)
    assert log.batches == batches


@pytest.mark.anyio
async def test_a_log_that_goes_away_is_told_with_what_is_certain() -> None:
    log = Log(fails=lambda number: number == 1)
    sentence = await log.read(b"1\n" * BATCH_LINES + b"2\n3\n")
    assert sentence.startswith("Lines 1001 to 1002 may be on disk or not: The log is away.")
    assert "Before them: 1000 updates were published, up to e-1000. See" in sentence


@pytest.mark.anyio
async def test_after_a_signal_no_batch_begins_and_half_a_line_is_none() -> None:
    log = Log()
    text = await log.read(b"1\n" * 3000 + b"2", stopped=lambda: len(log.batches) == 2)
    assert text == "2000 updates were published, up to e-2000, and none from line 2001 on."


# ---- reading


@pytest.mark.anyio
async def test_reading_ends_at_a_signal_while_nothing_comes() -> None:
    stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading, writing = os.pipe()
    os.write(writing, b"1\n")
    chunks = read_chunks(reading, stop)
    assert await anext(chunks) == b"1\n"
    stop.set_result(signal.SIGINT)
    assert [chunk async for chunk in chunks] == []
    os.close(writing)  # the thread that reads gets the end of the file, and closes nothing


@pytest.mark.anyio
async def test_what_cannot_be_read_is_a_sentence() -> None:
    go_on: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    folder = os.open("/", os.O_RDONLY)
    with pytest.raises(DashboardError, match="cannot be read: Is a directory"):
        await anext(read_chunks(folder, go_on))
    os.close(folder)
