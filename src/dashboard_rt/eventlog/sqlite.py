"""SQLite: opening and closing a file, and opening it anew when it was replaced. The rest is in sqlite_transactions.

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
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial

from anyio import CancelScope

from ..errors import BadSetting, DashboardError, LogUnavailable
from .database import Transaction
from .migrations import migrate
from .sqlite_connection import CLOSE_SECONDS, WRITER_PRAGMAS, open_connection, run_in_thread
from .sqlite_files import DatabasePath, File, Files, is_same, look
from .sqlite_transactions import REPLACED, SqliteTransactions, data_version, is_busy, transact

BUSY_SECONDS = 2.0  # how long another process may hold the write lock before a publish is refused
START_SECONDS = 10.0  # how long a start waits for the starts of other processes
SETTLE_SECONDS = 0.5  # how long what has replaced the file must stand still: it may be a copy under way
WRITTEN_OVER = "It was written over while it was open: stop all servers, and restore it once more."
LEFT_BEHIND = (
    "Its -wal or -shm was removed, and another process has to close it first: end those that do not."
)

logger = logging.getLogger(__name__)


class SqliteDatabase(SqliteTransactions):
    """A writing and a reading connection to one SQLite file."""

    def __init__(self, url: str) -> None:
        """Take `sqlite:///<path>`; BadSetting otherwise."""
        super().__init__(BUSY_SECONDS)
        self._path = DatabasePath(url)
        self._begin: Callable[[str], Transaction[None]] | None = None
        self._opened: Files | None = None  # what the connections have open
        self._emptied = False  # the file was cut down to nothing while it was open
        # What is there instead of a file that was replaced, and since when it stands still.
        self._found: tuple[File | None, float] | None = None
        self._reopening: asyncio.Task[str] | None = None

    def on_replaced(self, begin: Callable[[str], Transaction[None]]) -> None:
        self._begin = begin

    async def connect(self) -> None:
        """Open the file and run the missing migrations. Safe while other processes do the same."""
        self._path.resolve()
        await self._prepare()
        self._accept(await self._open())

    async def disconnect(self) -> None:
        with CancelScope(shield=True):  # left open, aiosqlite's threads keep the process from ending
            if self._reopening is not None:
                self._reopening.cancel()
                await asyncio.wait([self._reopening], timeout=CLOSE_SECONDS)
            await self._close()
            self._replaced = self._emptied = False

    # ---- opening and closing

    async def _prepare(self) -> None:
        """Have a file of the newest schema. BadSetting, LogUnavailable."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while self._path.is_left_behind():
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(LEFT_BEHIND)
            await asyncio.sleep(random.uniform(0.01, 0.05))
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
            for connection in (self._reader, self._writer):
                await connection.open(self._path.real)
                # The first read creates the WAL, if need be. The last version is the writer's: each has its own.
                self._data_version = await self._run(connection, data_version)
        except BaseException:
            with CancelScope(shield=True):
                await self._close()
            raise
        opened = self._path.look()
        if not is_same(before, opened.database):
            await self._close()
            raise LogUnavailable(REPLACED)
        return opened

    def _accept(self, opened: Files) -> None:
        """Go on with what was opened."""
        self._opened = opened
        self._paths, self._inodes = self._path.opened(opened)
        self._replaced = self._emptied = self._unseen = False
        self._stamp = None

    async def _close(self) -> None:
        await self._reader.close()
        await self._writer.close()
        self._opened, self._paths, self._inodes = None, (), []

    # ---- a file that was replaced

    def _examine(self) -> None:
        opened = self._opened
        if opened is None or not opened.replaced_by(now := self._path.look()):
            return
        if not self._replaced:
            logger.error(
                "%s was deleted or replaced while it was open: nothing is acknowledged.", self._path.named
            )
        self._replaced = True
        self._emptied = self._emptied or (now.emptied and is_same(opened.database, now.database))

    async def _reopen(self) -> None:
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
                if self._path.is_left_behind():  # not waited for: what reads or publishes has to hear of it
                    raise LogUnavailable(LEFT_BEHIND)
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
        # When it stays where it was, it is its WAL that is gone, or a symbolic link leads elsewhere now.
        stays = here is not None and is_same(here, opened.database)
        if not self._emptied:
            await self._save()
        elif stays and here is not None and here.size:
            raise LogUnavailable(WRITTEN_OVER)
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
                await self._run(self._writer, checkpoint)
        except (LogUnavailable, TimeoutError) as error:
            logger.warning(
                "What was committed last may be missing in the file that was replaced (%s).", error
            )

    async def _begin_on(self, opened: Files) -> None:
        """Let the log begin on what was opened, before anybody else reads or writes it."""
        try:
            if self._begin is not None:
                await self._run(self._writer, partial(transact, transaction=self._begin(opened.name)))
        except BaseException:
            with CancelScope(shield=True):
                await self._close()
            raise
        self._accept(opened)


# ---- in the thread of a connection


def prepare(path: str, timeout: float, migration: Transaction[None]) -> None:
    """Open the file once, make it a WAL file of the newest schema, close it. Raises sqlite3.Error."""
    factory = partial(open_connection, WRITER_PRAGMAS)
    with closing(sqlite3.connect(path, timeout=timeout, isolation_level=None, factory=factory)) as connection:  # type: ignore[call-overload]
        transact(connection, migration)


def checkpoint(connection: sqlite3.Connection) -> None:
    """Write all that was committed from the WAL into the database file, and cut the WAL down to nothing."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
