"""One held connection to a SQLite file, its thread, and threads that never end. Nothing else imports `databases`."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import aiosqlite
import databases

from ..errors import LogUnavailable
from .database import T

CLOSE_SECONDS = 2.0  # how long a connection may take to close: then its disk does not answer
EXIT_SECONDS = 1.0  # how long a process that has ended otherwise waits for such a disk
# FULL: a publish that was acknowledged is on disk. Debian's SQLite wipes deleted text unless told not to.
WRITER_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = OFF")
READER_PRAGMAS = ("query_only = ON",)

logger = logging.getLogger(__name__)


class HeldConnection:
    """One connection of `databases`, kept open: opening one is a thread and 0.8 ms.

    `timeout` is how many seconds it waits for the locks of others. `raw` is what aiosqlite calls a connection.
    """

    def __init__(self, pragmas: Sequence[str], timeout: float) -> None:
        self._options: dict[str, Any] = {"timeout": timeout, "factory": partial(open_connection, pragmas)}
        self._database: databases.Database
        self._held: Any = None
        self.raw: aiosqlite.Connection | None = None

    async def open(self, path: str) -> None:
        """Open the file at an absolute path. LogUnavailable when that fails."""
        self._database = databases.Database(database_url(path), **self._options)
        await self._database.connect()
        held = self._database.connection()
        try:
            await held.__aenter__()
        except sqlite3.Error as error:
            raise LogUnavailable(f"The database cannot be opened ({error}).") from error
        self._held, self.raw = held, held.raw_connection

    async def close(self) -> None:
        """Close it after what runs in its thread, or give the thread up when that does not end. Never raises."""
        (held, self._held), (raw, self.raw) = (self._held, None), (self.raw, None)
        if held is None or raw is None:
            return
        closing = asyncio.ensure_future(held.__aexit__(None, None, None))
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
        if not closing.done():
            logger.error("The disk does not answer: a database connection cannot be closed.")
            end_process_without(raw._thread)
            for _ in range(2):  # aiosqlite waits for its thread once more when it is cancelled
                closing.cancel()
                await asyncio.wait([closing], timeout=0.01)
        elif error := closing.exception():
            logger.warning("A database connection did not close well (%s).", error)
        await self._database.disconnect()


def database_url(path: str) -> str:
    """Return the URL that `databases` reads an absolute path from: it splits and unquotes it."""
    return "sqlite:///" + path.translate({ord(char): f"%{ord(char):02X}" for char in "%?#\t\n\r"})


def end_process_without(thread: threading.Thread) -> None:
    """Have the process end, with status 1, although a thread of it hangs in the kernel.

    Threads of aiosqlite are no daemons, so the interpreter waits for them at its end. Nothing happens as long as the
    main thread goes on, which may have more to do than our app.
    """

    def watch() -> None:
        threading.main_thread().join()
        thread.join(EXIT_SECONDS)
        if thread.is_alive():
            os._exit(1)

    threading.Thread(target=watch, name="end of process", daemon=True).start()


async def run_in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that the process does not wait for at its end, as it does for `asyncio.to_thread`."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(settled: Callable[[], None]) -> None:
        if not result.done():
            settled()

    def run() -> None:
        try:
            settled = partial(result.set_result, work())
        except Exception as error:  # noqa: BLE001  raised where it is awaited
            settled = partial(result.set_exception, error)
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, settled)

    threading.Thread(target=run, name="database start", daemon=True).start()
    return await result


def open_connection(pragmas: Sequence[str], *args: Any, **options: Any) -> sqlite3.Connection:
    """Serve as `factory` of `sqlite3.connect`: PRAGMAs cannot travel in a URL of `databases`."""
    connection = sqlite3.Connection(*args, **options)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection
