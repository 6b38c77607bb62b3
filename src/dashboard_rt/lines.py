"""What `dashboard-rt publish` reads: one update, or one a line, within the limits that HTTP has (docs/protocol.md §5).

Knows neither the database nor the command line: what publishes is handed in, and so is what is told of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from .errors import DashboardError, InvalidUpdate, LogUnavailable, Refused, TooLarge
from .eventlog.publisher import clean_json
from .http.publish import MAX_BATCH_BYTES, MAX_UPDATE_BYTES
from .types import Position, Receipt

READ_BYTES = 65536
BATCH_LINES = 1000  # updates of one transaction: other processes wait that long for theirs
MAX_READ_BYTES = MAX_UPDATE_BYTES + 8  # with a byte order mark, the end of the line, and one too many
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Publish = Callable[[Sequence[str]], Awaitable[Receipt]]


def read_update(raw: bytes) -> str:
    """Return one update as it is published. Raises TooLarge, InvalidUpdate.

    A byte order mark before it is skipped, as RFC 8259 §8.1 allows (files that were joined have one within, too), and
    so is the end of its line.
    """
    text = raw.removeprefix(BYTE_ORDER_MARK).rstrip(b"\r\n")
    # Of an input that fills the read, more may follow that was not read, such as a second update behind blank lines.
    if len(text) > MAX_UPDATE_BYTES or len(raw) >= MAX_READ_BYTES:
        raise TooLarge(f"An update has at most {MAX_UPDATE_BYTES} bytes: publish less.")
    if text.startswith(UTF_16_MARKS):
        raise InvalidUpdate("This is UTF-16: convert it, with `iconv -f UTF-16 -t UTF-8`.")
    return clean_json(text)


# ---- lines


class Line(NamedTuple):
    """One line of the input, without its end. Numbers begin at 1 and count blank lines, too."""

    number: int
    raw: bytes


class LineSplitter:
    """Makes lines of chunks. Blank ones are left out; one that is too long is given out as soon as that shows."""

    def __init__(self) -> None:
        self._rest = b""
        self._number = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """Return the lines that `chunk` completes."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_READ_BYTES:  # it may never end
            whole, self._rest = [*whole, self._rest], b""
        return self._numbered(whole)

    def end(self) -> list[Line]:
        """Return the last line, where no end of line stands behind it."""
        rest, self._rest = self._rest, b""
        return self._numbered([rest])

    def _numbered(self, raws: Sequence[bytes]) -> list[Line]:
        lines = []
        for raw in raws:
            self._number += 1
            if raw.removeprefix(BYTE_ORDER_MARK).strip():
                lines.append(Line(self._number, raw))
        return lines


def batches(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Cut lines into what one transaction takes: at most BATCH_LINES, and as many bytes as a batch over HTTP."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == BATCH_LINES or size + len(line.raw) > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.raw)
    if batch:
        yield batch


def read_updates(lines: Sequence[Line]) -> tuple[list[str], Refused | None]:
    """Return the updates up to the first line that holds none, and why it does not."""
    texts: list[str] = []
    try:
        for line in lines:
            texts.append(read_update(line.raw))
    except Refused as error:
        return texts, error
    return texts, None


# ---- publishing them


@dataclass
class Progress:
    """How far a run came: updates on disk, the position of the last, and the first line that is not published."""

    updates: int = 0
    position: Position | None = None
    next_line: int = 1

    def __str__(self) -> str:
        return self.sentence(f", and none from line {self.next_line} on")

    def sentence(self, end: str = "") -> str:
        """Return what is certain: how many updates are on disk, and up to where."""
        if self.position is None:
            return "Nothing was published."
        many = "1 update was" if self.updates == 1 else f"{self.updates} updates were"
        return f"{many} published, up to {self.position}{end}."


class LinePublisher:
    """Publishes lines in order, a batch at a time, up to the first that cannot be published.

    `tell` gets each batch's position as soon as it is on disk.
    """

    def __init__(self, publish: Publish, tell: Callable[[Position], None]) -> None:
        self._publish = publish
        self._tell = tell
        self._splitter = LineSplitter()
        self.progress = Progress()

    async def run(self, chunks: AsyncIterator[bytes], stopped: Callable[[], bool]) -> None:
        """Publish until `chunks` end, or `stopped` says so. Raises DashboardError, which names the line."""
        async for chunk in chunks:
            await self._publish_lines(self._splitter.feed(chunk), stopped)
        if not stopped():
            await self._publish_lines(self._splitter.end(), stopped)

    async def _publish_lines(self, lines: Sequence[Line], stopped: Callable[[], bool]) -> None:
        for batch in batches(lines):
            if stopped():
                return
            await self._publish_batch(batch)

    async def _publish_batch(self, batch: Sequence[Line]) -> None:
        texts, refusal = read_updates(batch)
        if texts:
            await self._write(texts, batch[: len(texts)])
        if refusal is not None:
            number = self.progress.next_line = batch[len(texts)].number
            # What the parser calls line 1 is the line that is named already.
            detail = re.sub(r": line 1 (column \d+) \(char \d+\)", r", \1", refusal.detail)
            raise DashboardError(f"Line {number}: {detail} {self.progress}")

    async def _write(self, texts: Sequence[str], lines: Sequence[Line]) -> None:
        try:
            receipt = await self._publish(texts)
        except LogUnavailable as error:
            unsure = f"Lines {lines[0].number} to {lines[-1].number} may be on disk or not: {error.detail}"
            look = "See what follows with `dashboard-rt listen --from`, before you go on."
            raise DashboardError(f"{unsure} Before them: {self.progress.sentence()} {look}") from None
        self.progress.updates += len(texts)
        self.progress.position = receipt.position
        self.progress.next_line = lines[-1].number + 1
        self._tell(receipt.position)


# ---- reading


async def read_chunks(file: int, stop: asyncio.Future[int]) -> AsyncIterator[bytes]:
    """Read a file descriptor until its end, or until `stop` is done. Raises OSError.

    In a daemon thread, one chunk ahead: a signal must not wait for the next line, and the loop cannot watch a regular
    file. Not through `sys.stdin`: a thread that reads from it keeps the interpreter from ending.
    """
    queue: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(2)
    _start_reader(file, queue, room)
    while True:
        getting: asyncio.Future[bytes | OSError] = asyncio.ensure_future(queue.get())
        either: list[asyncio.Future[Any]] = [getting, stop]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            getting.cancel()
            return
        chunk = getting.result()
        if isinstance(chunk, OSError):
            raise DashboardError(f"The standard input cannot be read: {chunk.strerror}.")
        if not chunk:
            return
        yield chunk
        room.release()


def _start_reader(file: int, queue: asyncio.Queue[bytes | OSError], room: threading.Semaphore) -> None:
    loop = asyncio.get_running_loop()

    def read() -> bytes | OSError:
        room.acquire()
        try:
            return os.read(file, READ_BYTES)
        except OSError as error:
            return error

    def feed() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for what comes now
            while isinstance(chunk := read(), bytes) and chunk:
                loop.call_soon_threadsafe(queue.put_nowait, chunk)
            loop.call_soon_threadsafe(queue.put_nowait, chunk)

    threading.Thread(target=feed, daemon=True).start()
