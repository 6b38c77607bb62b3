"""PostgreSQL: a writing connection and some that read, opened anew when they are lost.

When one of them is lost all are thrown away: what ended it (a restart, a failover, a network that is cut) concerns the
others too, and a reader that stayed with a former primary would show an old log. One task opens them anew, and looks
each time whether it is still the same database: one that came back empty gets its tables, and one of another lineage
another epoch. Meanwhile nobody waits longer than GRACE_SECONDS.

What runs on a connection runs in a task of its own. A caller that is cancelled would leave the connection in the middle
of an answer, and the transaction half done.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from anyio import CancelScope

from ..errors import BadSetting, DashboardError, LogUnavailable
from ..postgres import FAILURES
from ..telemetry import RecentLines, Telemetry
from .database import Database, Lock, Query, Rows, T, Transaction, Values
from .migrations import EVERY_TABLE, POSTGRES, migrate
from .postgres_connection import CLOSE_SECONDS, PostgresConnection
from .postgres_failures import SERVER_FAILURES, breaks, describe, is_locked_out, needs_change
from .postgres_statements import fetch, fetch_page, run_transaction

READERS = 2
CONNECTIONS = 1 + READERS  # of each process
START_SECONDS = 30.0  # how long a start waits for a server that is away
ANSWER_SECONDS = (
    5.0  # how long a transaction or a read may take: then the server, or the way to it, stands still
)
PREPARE_SECONDS = 60.0  # the same for migrations
TURN_SECONDS = 5.0  # how long one waits for the others of this process
# A server that is restarted is often back within a second, and then nobody is refused.
GRACE_SECONDS = 1.0
RETRY_SECONDS = 2.0  # the longest pause between two attempts to connect
HEALTHY_SECONDS = 10.0  # that connections have to last for the next attempt to count as the first
# Which life of which server this is: a standby that is promoted, or a backup that is restored, begins a new timeline.
SERVER = "SELECT system_identifier || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()"
# A publish that was acknowledged is on disk, also where somebody has made the server faster than that.
DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
# A process of ours that was frozen while it prepared a statement in a transaction: no time limit of the server counts
# there (before transaction_timeout of PostgreSQL 17), and what it has locked stays locked until it goes on.
FROZEN_SECONDS = 5.0
END_FROZEN = (
    "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND application_name = 'dashboard-rt'"
    " AND pid <> pg_backend_pid() AND state = 'active' AND wait_event = 'ClientRead'"
    " AND state_change < now() - :seconds * interval '1 second') AS ended"
)
DATABASE = "SELECT oid::text FROM pg_database WHERE datname = current_database()"

logger = logging.getLogger(__name__)


class PostgresDatabase(Database):
    """One database, by connections that come back. `ssl` is a word of DATABASE_SSL."""

    def __init__(self, url: str, ssl: str, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._writer = PostgresConnection(url, ssl)
        readers = [PostgresConnection(url, ssl) for _ in range(READERS)]
        self._connections = (self._writer, *readers)
        self._idle_readers = deque(readers)
        self._writing, self._reading = asyncio.Lock(), asyncio.Semaphore(READERS)
        self._ending_frozen = asyncio.Lock()
        self._begin: Callable[[str], Transaction[None]] | None = None
        self._lineage: str | None = None  # of the database that was opened last
        self._opened = asyncio.Event()
        self._lost_at = float("-inf")  # loop.time()
        self._opened_at = float("-inf")  # the same
        self._attempts = 0  # to open them, since they lasted
        self._back_lines = RecentLines()
        self._problem = "The database is not connected."
        self._reconnecting: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[Any]] = set()

    def on_replaced(self, begin: Callable[[str], Transaction[None]]) -> None:
        self._begin = begin

    async def connect(self) -> None:
        """Open the connections and run the missing migrations. Waits for a server that is away, for START_SECONDS."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        attempts = count(1)
        while failure := await self._try_to_open():
            if isinstance(failure, BadSetting):
                raise failure
            if needs_change(failure):
                raise BadSetting(
                    f"DATABASE_URL: PostgreSQL cannot be used ({describe(failure)})."
                ) from failure
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(
                    f"DATABASE_URL: PostgreSQL cannot be used ({describe(failure)})."
                ) from failure
            if next(attempts) == 1:
                logger.warning("Waiting for PostgreSQL (%s).", describe(failure))
            await asyncio.sleep(random.uniform(0.1, 0.5))
        self._opened.set()

    async def disconnect(self) -> None:
        with CancelScope(shield=True):
            self._opened.clear()  # first: what is lost from now on is not opened anew
            self._problem = "The database is not connected."
            if self._reconnecting is not None:
                self._reconnecting.cancel()
                await asyncio.wait([self._reconnecting])
            if self._running:
                await asyncio.wait(self._running, timeout=CLOSE_SECONDS)
            await asyncio.gather(*(connection.close() for connection in self._connections))

    # ---- transactions and reads

    async def transact(self, transaction: Transaction[T]) -> T:
        return await self._outlive(self._transact(transaction))

    async def rows(self, sql: str, values: Values | None = None) -> Rows:
        return [tuple(row) for row in await self._read(partial(fetch, sql=sql, values=values))]

    async def page(self, sql: str, values: Values, most_chars: int) -> Rows:
        return await self._read(partial(fetch_page, sql=sql, values=values, most_chars=most_chars))

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Mapping[str, Any]]:
        return [dict(row) for row in await self._read(partial(fetch, sql=sql, values=values))]

    def may_have_changed(self) -> bool:
        return False  # there is no cheaper way to find out than to read the log, which the follower does by itself

    async def changed(self) -> bool:
        return False

    async def _outlive(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, even if the caller is cancelled. Then its failure is counted."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._note_abandoned)
            raise

    def _note_abandoned(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._telemetry.swallow("database.abandoned", error)

    async def _transact(self, transaction: Transaction[T]) -> T:
        await _take_turn(self._writing)
        try:
            # Nothing was written yet when BEGIN finds the connection lost: then another one will do.
            raw = await self._twice(self._writer, begin)
            return await self._answered(self._writer, partial(run_transaction, transaction=transaction), raw)
        finally:
            self._writing.release()

    async def _read(self, work: Callable[[Any], Awaitable[T]]) -> T:
        return await self._outlive(self._read_in_turn(work))

    async def _read_in_turn(self, work: Callable[[Any], Awaitable[T]]) -> T:
        await _take_turn(self._reading)
        reader = self._idle_readers.pop()
        try:
            return await self._twice(reader, work)
        finally:
            self._idle_readers.append(reader)
            self._reading.release()

    async def _twice(self, connection: PostgresConnection, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run what may run twice: once more when the connection was lost in it and others are there soon."""
        await self._until_opened()
        try:
            return await self._answered(connection, work)
        except LogUnavailable:
            if self._opened.is_set():
                raise
        await self._until_opened()
        return await self._answered(connection, work)

    async def _answered(
        self, connection: PostgresConnection, work: Callable[[Any], Awaitable[T]], raw: Any = None
    ) -> T:
        """Run `work` on a connection, or on what `raw` it was. LogUnavailable when it fails or takes too long."""
        raw = raw or connection.raw
        if raw is None:
            raise LogUnavailable(self._problem)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await work(raw)
        except DashboardError:
            raise
        except FAILURES as error:
            if breaks(error) and connection.raw is raw:
                self._lose(error)
            elif is_locked_out(error):
                await self._end_frozen()
            raise LogUnavailable(f"The database failed ({describe(error)}). Try again.") from error
        except Exception as error:
            # asyncpg stumbles over itself (AttributeError) when its connection is thrown away between two steps.
            if connection.raw is raw:
                raise
            raise LogUnavailable(self._problem) from error

    async def _end_frozen(self) -> None:
        """End the connections of processes that hold their locks for ever. It is for who waits: they do not know."""
        if self._ending_frozen.locked():
            return
        async with self._ending_frozen:
            try:
                ((ended,),) = await self.rows(END_FROZEN, {"seconds": FROZEN_SECONDS})
            except LogUnavailable as error:
                self._telemetry.swallow("database.end_frozen", error)
                return
        if ended:
            self._telemetry.database_frozen.inc(ended)
            logger.warning(
                "Ended %d connections of a process that stands still and has locked the log.", ended
            )

    # ---- opening, and opening anew

    async def _until_opened(self) -> None:
        """Return when the connections are there. LogUnavailable when they have been away for GRACE_SECONDS."""
        if self._opened.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._lost_at + GRACE_SECONDS):
                await self._opened.wait()
        if not self._opened.is_set():
            raise LogUnavailable(self._problem)

    def _lose(self, error: BaseException) -> None:
        """Throw all connections away, and have others opened."""
        if not self._opened.is_set():
            return
        self._opened.clear()
        for connection in self._connections:
            connection.discard()
        self._lost_at = asyncio.get_running_loop().time()
        # What fails as soon as the connections are there, such as a damaged index, must not have them opened at once.
        if self._lost_at >= self._opened_at + HEALTHY_SECONDS:
            self._attempts = 0
        self._problem = f"The database is away ({describe(error)}). Try again."
        self._telemetry.swallow("database.connection", LogUnavailable(self._problem))
        self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect(), name="reconnect")

    async def _reconnect(self) -> None:
        while True:
            # At random, because all processes have lost it at the same moment.
            await asyncio.sleep(random.uniform(0, min(RETRY_SECONDS, 0.05 * 2 ** min(self._attempts, 10))))
            self._attempts += 1
            failure = await self._try_to_open()
            if failure is None:
                break
            problem = f"The database is away ({describe(failure)}). Try again."
            if problem != self._problem:
                logger.warning("%s", problem)
            self._problem = problem
        self._telemetry.database_reconnects.inc()
        self._opened_at = asyncio.get_running_loop().time()
        if self._back_lines.allow(self._opened_at):
            logger.warning("The database is back.%s", self._back_lines.note())
        self._opened.set()

    async def _try_to_open(self) -> Exception | None:
        """Open all connections on a database of the newest schema. Returns what keeps us from it."""
        try:
            for connection in self._connections:
                await connection.open()
            async with asyncio.timeout(PREPARE_SECONDS):
                await self._prepare(self._writer.raw)
        except Exception as error:
            for connection in self._connections:
                connection.discard()
            if not isinstance(error, (*FAILURES, DashboardError)):
                raise
            return error
        return None

    async def _prepare(self, raw: Any) -> None:
        encoding = raw.get_settings().server_encoding
        if encoding != "UTF8":
            raise BadSetting(
                f"DATABASE_URL: the database must be UTF8, not {encoding}. Make one with createdb -E UTF8 -T template0."
            )
        await raw.fetch(DURABLE)
        lineage = await _read_lineage(raw)
        await begin(raw)
        await run_transaction(raw, self._preparation(lineage))
        self._lineage = lineage

    def _preparation(self, lineage: str) -> Transaction[None]:
        """Bring the tables up to date, and begin anew where this is another database than the log was written in.

        Of processes that start at the same time one does it, and the others wait.
        """
        yield Query(f"SET LOCAL statement_timeout = '{PREPARE_SECONDS:.0f}s'")
        yield Lock("migrations")
        yield from migrate(dialect=POSTGRES)
        yield EVERY_TABLE  # or each statement that misses one would have everything opened anew
        known = yield Query("SELECT value FROM meta WHERE key = 'lineage'")
        if known == [(lineage,)]:
            return
        # Without a lineage it is a new database: in the place of another one, when there was one.
        if (known or self._lineage is not None) and self._begin is not None:
            yield from self._begin(lineage)
        yield Query(
            "INSERT INTO meta (key, value) VALUES ('lineage', :lineage)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            {"lineage": lineage},
        )


async def begin(raw: Any) -> Any:
    """Begin a transaction, and return the connection that it is on."""
    await raw.execute("BEGIN")
    return raw


async def _read_lineage(raw: Any) -> str:
    """Return what distinguishes this database from its restored copies and from what a failover lost."""
    database = await raw.fetchval(DATABASE)
    try:
        server = await raw.fetchval(SERVER)
    except SERVER_FAILURES as error:
        logger.info("Failovers cannot be told from restarts here (%s).", error)
        server = "unknown"
    return f"{server}.{database}"


async def _take_turn(turn: asyncio.Lock | asyncio.Semaphore) -> None:
    """Wait for others of this process, first come, first served."""
    try:
        async with asyncio.timeout(TURN_SECONDS):
            await turn.acquire()
    except TimeoutError:
        raise LogUnavailable(
            "Others of this process do not end their work on the database. Try again."
        ) from None
