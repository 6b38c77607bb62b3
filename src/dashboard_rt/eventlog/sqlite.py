"""SQLite: two held connections to one file, one that writes and one that reads.

A file may be deleted or replaced under a running process, which goes on writing to what it has open, and nobody will
ever see that again. So before a commit is acknowledged, and ten times a second, the files that are open are compared
with those that the name leads to. When they differ nothing is acknowledged any more until the name has been opened
anew, and what is found there begins with a transaction of the log's choice: another epoch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from anyio import CancelScope

from ..errors import BadSetting, DashboardError, LogUnavailable
from .database import Database, Query, Rows, T, Transaction, Values
from .migrations import migrate
from .sqlite_connection import (
    CLOSE_SECONDS,
    READER_PRAGMAS,
    WRITER_PRAGMAS,
    HeldConnection,
    checkpoint,
    data_version,
    execute,
    is_busy,
    named_rows,
    prepare,
    rows_that_fit,
    run_in_thread,
    transact,
    transact_and_look,
)
from .sqlite_files import DatabasePath, File, Files, is_same, look

BUSY_SECONDS = 2.0  # how long another process may hold the write lock before a publish is refused
TURN_SECONDS = 5.0  # how long a transaction waits for the others of this process
START_SECONDS = 10.0  # how long a start waits for the starts of other processes
SETTLE_SECONDS = 0.5  # how long what has replaced the file must stand still: it may be a copy under way
REPLACED = "The database file was deleted or replaced under this process. Try again."

logger = logging.getLogger(__name__)


class SqliteDatabase(Database):
    """A writing and a reading connection to one SQLite file."""

    def __init__(self, url: str) -> None:
        """Take `sqlite:///<path>`; BadSetting otherwise."""
        self._path = DatabasePath(url)
        self._writer = HeldConnection(WRITER_PRAGMAS, BUSY_SECONDS)
        self._reader = HeldConnection(READER_PRAGMAS, BUSY_SECONDS)
        self._turn = asyncio.Lock()
        self._waiting = 0  # transactions that wait for their turn
        self._wal: File | None = None  # as it was when no commit of another process was unseen in it
        self._data_version = 0
        self._unseen = False  # another process has committed, and `changed` has not said so yet
        self._begin: Callable[[str], Transaction[None]] | None = None
        self._opened: Files | None = None  # what the connections have open
        self._replaced = False  # the name leads elsewhere; or it did, and nothing has been opened there yet
        self._emptied = False  # the file was cut down to nothing while it was open
        self._found: tuple[File | None, float] | None = (
            None  # what is there instead, and since when it stands still
        )
        self._reopening: asyncio.Task[str] | None = None

    def on_replaced(self, begin: Callable[[str], Transaction[None]]) -> None:
        self._begin = begin

    async def connect(self) -> None:
        """Open the file and run the missing migrations. Safe while other processes do the same."""
        self._path.resolve()
        await self._prepare()
        self._opened = await self._open()

    async def disconnect(self) -> None:
        with CancelScope(shield=True):  # left open, aiosqlite's threads keep the process from ending
            if self._reopening is not None:
                self._reopening.cancel()
                await asyncio.wait([self._reopening], timeout=CLOSE_SECONDS)
            await self._close()
            self._replaced = self._emptied = False

    # ---- transactions and reads

    async def transact(self, transaction: Transaction[T]) -> T:
        await self._take_turn()
        try:
            if self._replaced:
                await self._reopen()
            opened = self._opened
            result, version = await self._writer.run(partial(transact_and_look, transaction=transaction))
            now = self._look()
            if self._replaced or self._opened is not opened:
                raise LogUnavailable(REPLACED)  # it was committed to a file that nobody will open again
            self._note_version(version, now.wal)
        finally:
            self._turn.release()
        return result

    async def rows(self, sql: str, values: Values | None = None) -> Rows:
        return await self._read(partial(execute, statement=Query(sql, values)))

    async def page(self, sql: str, values: Values, most_chars: int) -> Rows:
        return await self._read(partial(rows_that_fit, sql=sql, values=values, most_chars=most_chars))

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Mapping[str, Any]]:
        return await self._read(partial(named_rows, sql=sql, values=values))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._replaced:
            await self._reopen()
        return await self._reader.run(work)

    async def _take_turn(self) -> None:
        """Wait for this process's other transactions, first come, first served. The caller releases the lock."""
        if not self._turn.locked() and not self._waiting:
            await self._turn.acquire()  # does not wait: a timer for it would cost as much as all the rest
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise LogUnavailable("Another transaction of this process does not end. Try again.") from None
        finally:
            self._waiting -= 1

    # ---- commits of other processes

    def may_have_changed(self) -> bool:
        """Look at the files, and compare the WAL with how it was seen last: 6 us."""
        now = self._look()
        return self._replaced or self._unseen or now.wal != self._wal

    async def changed(self) -> bool:
        # On the writing connection, because the answer leaves out what the asking connection wrote itself.
        # Not behind a transaction that is under way: that tells the version too, and its disk may hang.
        if not self._unseen and self.may_have_changed() and not self._replaced and not self._turn.locked():
            version = await self._writer.run(data_version)
            self._note_version(version, self._look().wal)
        unseen, self._unseen = self._unseen, False
        return unseen or self._replaced

    def _note_version(self, version: int, wal: File | None) -> None:
        # A commit of another process between this version and this look is missed here. The next transaction or
        # the next poll finds it: it costs that process's updates some latency.
        self._unseen = self._unseen or version != self._data_version
        self._data_version = version
        self._wal = wal

    # ---- opening and closing

    async def _prepare(self) -> None:
        """Have a file of the newest schema. BadSetting, LogUnavailable."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while failure := await self._try_to_prepare():
            if not is_busy(failure):
                raise BadSetting(f"DATABASE_URL: this file cannot be used ({failure}).") from failure
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(
                    f"Another process keeps the database to itself ({failure})."
                ) from failure
            # Of two connections that switch one file to WAL, SQLite fails one at once instead of letting it wait.
            await asyncio.sleep(random.uniform(0.01, 0.05))

    async def _try_to_prepare(self) -> sqlite3.Error | None:
        """Find out what is wrong with the file before aiosqlite does: its thread survives a failed opening."""
        try:
            await run_in_thread(partial(prepare, self._path.real, BUSY_SECONDS, migrate()))
        except sqlite3.Error as error:
            return error
        return None

    async def _open(self) -> Files:
        """Open both connections and return their files, all of which are there now."""
        before = look(self._path.real)
        try:
            for connection in (self._writer, self._reader):
                await connection.open(self._path.real)
                self._data_version = await connection.run(data_version)
        except BaseException:
            with CancelScope(shield=True):
                await self._close()
            raise
        opened = self._path.look()
        if not is_same(before, opened.database):
            await self._close()
            raise LogUnavailable(REPLACED)
        self._wal, self._unseen = None, False
        return opened

    async def _close(self) -> None:
        await self._reader.close()
        await self._writer.close()
        self._opened = None

    # ---- a file that was replaced

    def _look(self) -> Files:
        """Look at the files, and notice when they are no longer those that are open."""
        now = self._path.look()
        opened = self._opened
        if opened is not None and opened.replaced_by(now):
            if not self._replaced:
                logger.error(
                    "%s was deleted or replaced while it was open: nothing is acknowledged now.",
                    self._path.named,
                )
            self._replaced = True
            self._emptied = self._emptied or (now.emptied and is_same(opened.database, now.database))
        return now

    async def _reopen(self) -> None:
        """Open what is there now. LogUnavailable while it does not stand still, or cannot be used."""
        if self._reopening is None or self._reopening.done():
            # A task of its own, because a caller that is cancelled must not leave it half done.
            self._reopening = asyncio.get_running_loop().create_task(self._open_anew(), name="reopen")
        if problem := await asyncio.shield(self._reopening):
            raise LogUnavailable(f"{REPLACED} {problem}")

    async def _open_anew(self) -> str:
        """Leave what was open and open what is there now. Returns what keeps it from that."""
        if not self._stands_still():
            return "It is opened as soon as it stands still."
        self._found = None  # after a failure it has to stand still again, so that attempts are few
        try:
            await self._leave()
            self._path.resolve()
            with self._path.only_opener():
                await self._prepare()
                await self._begin_on(await self._open())
        except (DashboardError, OSError) as error:
            return str(error)
        logger.warning("%s has been opened anew.", self._path.named)
        return ""

    def _stands_still(self) -> bool:
        now, found = asyncio.get_running_loop().time(), look(self._path.named)
        if self._found is None or self._found[0] != found:
            self._found = found, now
        return now >= self._found[1] + SETTLE_SECONDS

    async def _leave(self) -> None:
        """Close what is open in such a way that none of it gets into what is there now."""
        opened = self._opened
        if opened is None:
            return
        here = look(self._path.real)
        stays = here is not None and is_same(
            here, opened.database
        )  # it lacks its WAL, or the link leads elsewhere
        if not self._emptied:
            await self._save()
        elif stays and here is not None and here.size:
            raise LogUnavailable(
                "It was written over while it was open: stop all servers, and restore it once more."
            )
        elif stays:
            os.unlink(self._path.real)
            stays = False
        if not stays:
            with suppress(FileNotFoundError), self._path.only_opener():
                self._path.remove_leftovers(opened)
        await self._close()

    async def _save(self) -> None:
        """Complete the file that was open, wherever it is now: somebody may have moved it away to keep it."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.run(checkpoint)
        except (LogUnavailable, TimeoutError) as error:
            logger.warning(
                "What was committed last may be missing in the file that was replaced (%s).", error
            )

    async def _begin_on(self, opened: Files) -> None:
        """Let the log begin on what was opened, before anybody else reads or writes it."""
        try:
            if self._begin is not None:
                await self._writer.run(partial(transact, transaction=self._begin(opened.name)))
        except BaseException:
            with CancelScope(shield=True):
                await self._close()
            raise
        self._opened, self._replaced, self._emptied = opened, False, False
