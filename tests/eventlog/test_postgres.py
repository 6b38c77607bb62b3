"""postgres: what happens to its connections, and what callers notice of it. What the log does is in test_log.py."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import asyncpg
import pytest

from dashboard_rt.dashboard.collectors import Job, _claim
from dashboard_rt.dashboard.model import Dashboard, Metrics, assess
from dashboard_rt.errors import BadSetting, LogUnavailable
from dashboard_rt.eventlog import log as log_module
from dashboard_rt.eventlog import postgres as postgres_module
from dashboard_rt.eventlog import postgres_connection
from dashboard_rt.eventlog.database import Query, Transaction
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.eventlog.migrations import MIGRATIONS
from dashboard_rt.eventlog.postgres import PostgresDatabase
from dashboard_rt.eventlog.postgres_connection import PostgresConnection
from dashboard_rt.eventlog.postgres_statements import run_transaction
from dashboard_rt.telemetry import LINES, Telemetry
from dashboard_rt.types import Append
from tests.logkit import STREAMS, connected, everything, fill, ids, opened, texts
from tests.patience import HANG_LIMIT
from tests.services.fault_proxy import FaultProxy
from tests.services.postgres import USER, PostgresServer

pytestmark = pytest.mark.anyio
OURS = "FROM pg_stat_activity WHERE application_name = 'dashboard-rt' AND datname = current_database()"


class Process:
    """A database and its log, as one process has them, on a server that the test reaches by psql."""

    def __init__(self, server: PostgresServer, name: str, port: int | None = None) -> None:
        self.server = server
        self.name = name
        self.telemetry = Telemetry()
        self.db = PostgresDatabase(server.url(name, port), "prefer", self.telemetry)
        self.log = EventLog(self.db, STREAMS)

    def sql(self, statement: str) -> str:
        return self.server.sql(statement, self.name)

    def terminate(self, only: str = "") -> None:
        """End its connections as an administrator would."""
        self.sql(f"SELECT pg_terminate_backend(pid) {OURS}{only}")

    def somebody_waits(self) -> bool:
        return self.sql(f"SELECT 1 {OURS} AND wait_event_type = 'Lock'") == "1"

    @property
    def reconnects(self) -> float:
        return self.telemetry.value("database_reconnects")

    @property
    def losses(self) -> float:
        return self.telemetry.value("swallowed", where="database.connection")

    def has_reconnected(self, times: int) -> bool:
        return self.reconnects == times

    async def until_available(self) -> None:
        async with asyncio.timeout(HANG_LIMIT):
            while True:
                with suppress(LogUnavailable):
                    await self.log.state()
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[Process]:
    await process.db.connect()
    await process.log.open()
    try:
        yield process
    finally:
        await process.db.disconnect()


@pytest.fixture
async def process(postgres: PostgresServer) -> AsyncIterator[Process]:
    async with running(Process(postgres, postgres.cleared_database())) as made:
        yield made


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[FaultProxy]:
    with FaultProxy(postgres.port) as made:
        yield made


@pytest.fixture
async def remote(postgres: PostgresServer, proxy: FaultProxy) -> AsyncIterator[Process]:
    """A process whose way to the server can be cut."""
    async with running(Process(postgres, postgres.cleared_database(), proxy.port)) as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(postgres_module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(postgres_connection, "CONNECT_SECONDS", 0.3)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_LIMIT):
        while not condition():  # noqa: ASYNC110  what is waited for knows no event
            await asyncio.sleep(0.01)


def running_sql(*statements: str) -> Transaction[Any]:
    rows = None
    for statement in statements:
        rows = yield Query(statement)
    return rows


# ---- connections


async def test_a_process_takes_three_connections_with_limits_of_their_own(process: Process) -> None:
    assert process.sql(f"SELECT count(*) {OURS}") == "3"
    for name, value in (
        ("lock_timeout", "2s"),
        ("statement_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "5s"),
    ):
        assert await process.db.transact(running_sql(f"SHOW {name}")) == [(value,)]
        assert await process.db.rows(f"SHOW {name}") == [(value,)]


async def test_what_is_acknowledged_is_on_disk_whatever_is_the_default(postgres: PostgresServer) -> None:
    for default, used in (("off", "on"), ("remote_apply", "remote_apply")):
        name = postgres.new_database()
        postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = {default}")
        async with connected(postgres.url(name)) as db:
            assert await db.transact(running_sql("SHOW synchronous_commit")) == [(used,)]


async def test_reads_run_beside_each_other_and_beside_a_transaction(process: Process) -> None:
    holder = await asyncpg.connect(process.server.url(process.name))
    await holder.execute("SELECT pg_advisory_lock(1)")
    waiting = asyncio.ensure_future(process.db.rows("SELECT pg_advisory_xact_lock_shared(1)"))
    await eventually(process.somebody_waits)
    assert await process.db.rows("SELECT 1") == [(1,)]
    await fill(process.log, "a", 1)
    await holder.close()
    await waiting


async def test_disconnected_it_holds_nothing_and_says_so(process: Process) -> None:
    await process.db.disconnect()
    assert process.sql(f"SELECT count(*) {OURS}") == "0"
    with pytest.raises(LogUnavailable, match="not connected"):
        await process.log.state()
    with pytest.raises(LogUnavailable, match="not connected"):
        await fill(process.log, "a", 1)
    await process.db.disconnect()


async def test_it_disconnects_while_it_is_lost_and_does_not_come_back(
    remote: Process, proxy: FaultProxy
) -> None:
    proxy.refuse()
    proxy.cut()
    calls = [asyncio.ensure_future(remote.log.state()) for _ in range(3)]
    await eventually(lambda: remote.losses == 1)
    await remote.db.disconnect()
    proxy.heal()
    assert all(
        isinstance(result, LogUnavailable) for result in await asyncio.gather(*calls, return_exceptions=True)
    )
    assert remote.sql(f"SELECT count(*) {OURS}") == "0"
    assert remote.reconnects == 0


async def test_what_is_lost_while_it_disconnects_is_not_opened_anew(
    remote: Process, proxy: FaultProxy
) -> None:
    proxy.hold()
    call = asyncio.ensure_future(remote.log.state())
    await asyncio.sleep(0)  # it has begun
    assert remote.db._running
    disconnecting = asyncio.ensure_future(remote.db.disconnect())
    await asyncio.sleep(0)
    proxy.cut()
    await disconnecting
    with pytest.raises(LogUnavailable):
        await call
    assert remote.losses == 0


# ---- connections that are lost


@pytest.mark.parametrize(
    "only", ["", " ORDER BY backend_start LIMIT 1", " ORDER BY backend_start DESC LIMIT 1"]
)
async def test_connections_that_an_administrator_ends_are_opened_anew_and_nobody_is_refused(
    process: Process, only: str
) -> None:
    await fill(process.log, "a", 1)
    process.terminate(only)
    await asyncio.gather(*(process.log.state() for _ in range(5)))
    await fill(process.log, "a", 1)
    assert process.reconnects == process.losses == 1
    assert ids(await everything(process.log, "a")) == [1, 2]


async def test_a_transaction_whose_connection_ends_within_it_is_undone_and_not_acknowledged(
    process: Process,
) -> None:
    await fill(process.log, "a", 1)
    with pytest.raises(LogUnavailable, match="administrator command"):
        await process.db.transact(
            running_sql("DELETE FROM updates", "SELECT pg_terminate_backend(pg_backend_pid())")
        )
    assert ids(await everything(process.log, "a")) == [1]
    await fill(process.log, "a", 1)


async def test_when_the_answer_to_commit_is_lost_a_retry_with_the_key_doubles_nothing(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_after_commit(raw: Any, transaction: Transaction[Any]) -> None:
        await run_transaction(raw, transaction)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    with monkeypatch.context() as patch, pytest.raises(LogUnavailable, match="in the middle of operation"):
        patch.setattr(postgres_module, "run_transaction", cut_after_commit)
        await process.log.append([Append("a", texts(1), "key")])
    (receipt,), _ = await process.log.append([Append("a", texts(1), "key")])
    assert (receipt.repeated, receipt.position.id) == (True, 1)
    assert ids(await everything(process.log, "a")) == [1]


async def test_a_read_whose_connection_is_thrown_away_between_two_steps_is_unavailable(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stumble(raw: Any, sql: str, values: Any) -> None:
        process.terminate()
        with suppress(LogUnavailable):
            await process.db.transact(running_sql("SELECT 1"))  # finds that they are gone
        raise AttributeError("'NoneType' object has no attribute 'bind_execute'")  # as asyncpg does

    monkeypatch.setattr(postgres_module, "fetch", stumble)
    with pytest.raises(LogUnavailable, match="away"):
        await process.log.state()


async def test_a_fault_of_ours_is_no_outage(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(raw: Any, sql: str, values: Any) -> None:
        raise AttributeError("a fault of ours")

    monkeypatch.setattr(postgres_module, "fetch", stumble)
    with pytest.raises(AttributeError):
        await process.log.state()
    assert process.losses == 0


async def test_what_fails_again_as_soon_as_it_is_connected_is_tried_less_and_less_often_and_logged_a_few_times(
    process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    longest: list[float] = []

    def no_pause(_: float, most: float) -> float:
        longest.append(most)
        return 0.0

    monkeypatch.setattr(random, "uniform", no_pause)
    for number in range(1, 9):
        with pytest.raises(LogUnavailable):
            await process.db.transact(running_sql("SELECT * FROM damaged"))
        await eventually(partial(process.has_reconnected, number))
    assert longest == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert caplog.text.count("The database is back.") == LINES


async def test_a_way_that_is_cut_is_gone_again_when_it_is_there(remote: Process, proxy: FaultProxy) -> None:
    for number in range(1, 4):
        proxy.cut()
        await remote.until_available()
        await fill(remote.log, "a", 1)
        assert remote.reconnects == number
    assert ids(await everything(remote.log, "a")) == [1, 2, 3]


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_stands_still_costs_each_caller_a_while_and_then_nothing(
    remote: Process, proxy: FaultProxy
) -> None:
    proxy.hold()
    calls = [
        remote.log.state(),
        remote.log.after("a", 0, 1),
        fill(remote.log, "a", 1),
        fill(remote.log, "b", 1),
    ]
    async with asyncio.timeout(HANG_LIMIT):
        results = await asyncio.gather(
            *calls, *(remote.log.state() for _ in range(20)), return_exceptions=True
        )
    assert all(isinstance(result, LogUnavailable) for result in results), results
    assert remote.losses == 1
    with pytest.raises(LogUnavailable, match=r"The database is away \(it does not answer\)"):
        await remote.log.state()
    proxy.heal()
    await remote.until_available()
    await fill(remote.log, "a", 1)
    assert remote.reconnects == 1


@pytest.mark.usefixtures("impatient")
async def test_while_it_is_away_one_attempt_to_connect_follows_the_other(
    remote: Process, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = under_way = most = 0
    really_open = PostgresConnection.open

    async def counting(connection: PostgresConnection) -> None:
        nonlocal attempts, under_way, most
        attempts, under_way = attempts + 1, under_way + 1
        most = max(most, under_way)
        try:
            await really_open(connection)
        finally:
            under_way -= 1

    monkeypatch.setattr(PostgresConnection, "open", counting)
    proxy.refuse()
    proxy.cut()
    async with asyncio.timeout(HANG_LIMIT):
        while attempts < 4:
            await asyncio.gather(*(remote.log.state() for _ in range(50)), return_exceptions=True)
            await asyncio.sleep(0.01)
    assert most == 1
    proxy.heal()
    await remote.until_available()


async def test_what_a_caller_does_not_wait_for_runs_whole(process: Process) -> None:
    before = process.reconnects
    for delay in range(30):
        call = asyncio.ensure_future(process.log.append([Append("a", texts(delay, delay), str(delay))]))
        read = asyncio.ensure_future(process.log.after("a", 0, 100))
        for _ in range(delay):
            await asyncio.sleep(0)
        call.cancel()
        read.cancel()
        await asyncio.wait([call, read])
    await fill(process.log, "a", 1)
    updates = await everything(process.log, "a")
    assert ids(updates) == [*range(1, len(updates) + 1)]
    assert len(updates) % 2 == 1, "each was written whole or not at all"
    assert process.reconnects == before, "no connection was left in the middle of an answer"


async def test_the_failure_of_what_nobody_waits_for_is_counted(process: Process) -> None:
    call = asyncio.ensure_future(process.db.transact(running_sql("SELECT pg_sleep(0.05)", "nonsense")))
    await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.wait([call])
    await eventually(lambda: process.telemetry.value("swallowed", where="database.abandoned") == 1)


# ---- locks


async def holding_a_lock(url: str) -> asyncpg.Connection:
    """Another session in the middle of an append to `a`."""
    holder = await asyncpg.connect(url)
    await holder.execute("BEGIN; UPDATE streams SET last_id = last_id WHERE name = 'a'")
    return holder


async def test_a_stream_that_another_process_has_locked_is_unavailable_to_who_appends_to_it(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres_connection.SERVER_SETTINGS, "lock_timeout", "50ms")
    async with running(Process(postgres, postgres.cleared_database())) as process:
        holder = await holding_a_lock(postgres.url(process.name))
        with pytest.raises(LogUnavailable, match="another process has locked"):
            await fill(process.log, "a", 1)
        await fill(process.log, "b", 1)
        assert await everything(process.log, "a") == []
        await holder.close()
        await fill(process.log, "a", 1)
        assert ids(await everything(process.log, "a")) == [1]
        assert process.losses == 0


async def test_an_update_that_waited_for_its_stream_is_dated_when_it_got_it(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "WAITED_MS", 5)
    log = EventLog(process.db, STREAMS, now=lambda: 10.0)
    holder = await holding_a_lock(process.server.url(process.name))
    waiting = asyncio.ensure_future(log.append([Append("a", texts(1))]))
    await eventually(process.somebody_waits)
    await asyncio.sleep(0.02)
    await holder.close()
    await waiting
    ((created_at_ms,),) = await process.db.rows("SELECT created_at_ms FROM updates")
    assert created_at_ms >= 10_020
    await log.append([Append("a", texts(2))])
    assert await process.db.rows("SELECT min(created_at_ms) FROM updates") == [(created_at_ms,)]


async def test_of_processes_that_claim_a_run_at_the_same_time_one_gets_it(postgres: PostgresServer) -> None:
    name = postgres.cleared_database()
    job = Job("metrics", 5, asyncio.Event().wait)  # type: ignore[arg-type]
    async with running(Process(postgres, name)) as one, running(Process(postgres, name)) as other:
        for run in range(1, 11):
            now_ms = run * 10_000
            claims = await asyncio.gather(
                *(p.db.transact(_claim(job, now_ms + n)) for n, p in enumerate((one, other)))
            )
            assert sorted(claims) == [False, True]


async def test_of_processes_that_find_a_change_at_the_same_time_one_reports_it(
    postgres: PostgresServer,
) -> None:
    name = postgres.cleared_database()
    good, bad = assess(Metrics(1, 1, 1, 0)), assess(Metrics(99, 1, 1, 0))
    async with running(Process(postgres, name)) as one, running(Process(postgres, name)) as other:
        boards = [Dashboard(process.db, keep=100) for process in (one, other)]
        for run in range(10):
            now = (bad, good)[run % 2]
            before = await asyncio.gather(*(board.record_status(now, run) for board in boards))
            assert [health for health in before if health is not now.health] == [
                None if run == 0 else (good, bad)[run % 2].health
            ]


# ---- another database in the place of the one that was open


async def test_a_database_that_came_back_empty_gets_its_tables_and_another_epoch(
    postgres: PostgresServer,
) -> None:
    async with running(Process(postgres, postgres.new_database())) as process:
        await fill(process.log, "a", 3)
        before = (await process.log.state()).epoch
        process.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await process.until_available()
        state = await process.log.state()
        assert state.epoch != before
        assert state.streams["a"].last_id == 0
        await fill(process.log, "a", 1)


@pytest.mark.parametrize("table", ["updates", "leases", "meta"])
async def test_while_a_table_is_missing_it_is_away_and_says_why(postgres: PostgresServer, table: str) -> None:
    async with running(Process(postgres, postgres.new_database())) as process:
        await fill(process.log, "a", 1)
        process.sql(f"ALTER TABLE {table} RENAME TO gone")
        with pytest.raises(LogUnavailable):
            await process.db.transact(running_sql(f"SELECT * FROM {table}"))
        await eventually(lambda: "some of its tables are missing" in process.db._problem)
        with pytest.raises(LogUnavailable, match="some of its tables are missing"):
            await process.log.state()
        with pytest.raises(BadSetting, match=r"^DATABASE_URL: .*some of its tables are missing"):
            await Process(postgres, process.name).db.connect()
        assert process.reconnects == 0
        process.sql(f"DROP TABLE IF EXISTS {table}; ALTER TABLE gone RENAME TO {table}")
        await process.until_available()
        await fill(process.log, "a", 1)
        assert ids(await everything(process.log, "a")) == [1, 2]


async def test_a_copy_on_another_server_begins_another_epoch_once(postgres: PostgresServer) -> None:
    async with running(Process(postgres, postgres.cleared_database())) as process:
        before = (await process.log.state()).epoch
        process.sql("UPDATE meta SET value = 'as restored from a dump' WHERE key = 'lineage'")
    async with (
        running(Process(postgres, process.name)) as one,
        running(Process(postgres, process.name)) as other,
    ):
        after = (await one.log.state()).epoch
        assert after == (await other.log.state()).epoch != before
        one.terminate()
        assert (await one.log.state()).epoch == after


# ---- starts


async def test_a_start_waits_for_a_server_that_is_away(
    postgres: PostgresServer, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.refuse()
    process = Process(postgres, postgres.cleared_database(), proxy.port)
    start = asyncio.ensure_future(process.db.connect())
    await eventually(lambda: "Waiting for PostgreSQL" in caplog.text)
    assert not start.done()
    proxy.heal()
    await start
    await process.db.disconnect()


async def test_a_start_does_not_wait_for_ever(
    postgres: PostgresServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "START_SECONDS", 0)
    proxy.refuse()
    with pytest.raises(LogUnavailable, match="PostgreSQL cannot be used"):
        await Process(postgres, "postgres", proxy.port).db.connect()


@pytest.mark.parametrize(
    ("preparation", "user", "complaint"),
    [
        ("", "nobody", r"this user may not connect.*nobody"),
        ("DROP DATABASE {name}", "tests", "no such database"),
        ("CREATE ROLE {name} LOGIN", "{name}", "GRANT CREATE ON SCHEMA public"),
        (
            "CREATE DATABASE {name}_latin ENCODING 'LATIN1' TEMPLATE template0",
            "tests",
            "must be UTF8, not LATIN1",
        ),
    ],
)
async def test_what_cannot_be_used_ends_the_start_with_a_sentence(
    postgres: PostgresServer, preparation: str, user: str, complaint: str
) -> None:
    name = postgres.new_database()
    if preparation:
        postgres.sql(preparation.format(name=name))
    name += "_latin" if "LATIN1" in preparation else ""
    url = postgres.url(name).replace("tests@", f"{user.format(name=name)}:hunter2@")
    with pytest.raises(BadSetting, match=complaint) as raised:
        async with connected(url):
            pass
    assert str(raised.value).startswith("DATABASE_URL: ")
    assert "hunter2" not in str(raised.value)


async def test_a_database_of_a_newer_program_is_refused(process: Process) -> None:
    process.sql("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
    try:
        with pytest.raises(BadSetting, match="newer dashboard-rt"):
            async with connected(process.server.url(process.name)):
                pass
    finally:
        process.sql(f"UPDATE meta SET value = '{len(MIGRATIONS)}' WHERE key = 'schema_version'")


async def test_processes_that_start_at_the_same_time_share_a_new_database(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.url(postgres.new_database())

    async def start() -> str:
        async with opened(url) as (_, log):
            return (await log.state()).epoch

    assert len({*await asyncio.gather(*(start() for _ in range(6)))}) == 1
    assert not caplog.records, "each waited for its turn, and none failed first"


# ---- a process that stands still


class FrozenSession:
    """A process of ours that stands still while it prepares a statement, in a transaction that has locked a stream.

    In the bytes of PostgreSQL's protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html),
    because a driver goes on: `Parse`, `Describe` and `Flush`, and no `Sync`.
    """

    def __init__(self, process: Process, stream: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", process.server.port), timeout=10)
        names = f"user\0{USER}\0database\0{process.name}\0application_name\0dashboard-rt\0\0"
        self._send(b"", struct.pack("!i", 196608) + names.encode())
        self._read_until(b"Z")
        self._send(b"Q", f"BEGIN; UPDATE streams SET kind = kind WHERE name = '{stream}'\0".encode())
        self._read_until(b"Z")
        self._send(b"P", b"\0SELECT 1\0\0\0")
        self._send(b"D", b"S\0")
        self._send(b"H", b"")
        self._read_until(b"T")

    def _send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _read_until(self, wanted: bytes) -> None:
        """Read messages up to one of a type, and its end."""
        while True:
            kind, length = struct.unpack("!ci", self._exactly(5))
            self._exactly(length - 4)
            assert kind != b"E", "the server refused that"
            if kind == wanted:
                return

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            assert more, "the server ended the connection"
            data += more
        return data

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def hasty(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    """A process that does not wait long for locks."""
    monkeypatch.setitem(postgres_connection.SERVER_SETTINGS, "lock_timeout", "300ms")
    async with running(Process(postgres, postgres.cleared_database())) as made:
        yield made


async def test_a_process_that_stands_still_in_a_transaction_is_ended_by_who_waits_for_it(
    hasty: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = hasty
    monkeypatch.setattr(postgres_module, "FROZEN_SECONDS", 0.1)
    await process.log.append([Append("a", texts(1))])
    frozen = FrozenSession(process, "a")
    try:
        with pytest.raises(LogUnavailable, match="another process has locked"):
            await process.log.append([Append("a", texts(2))])
        (receipt,), _ = await process.log.append([Append("a", texts(3))])
    finally:
        frozen.close()
    assert receipt.position.id == 2
    assert process.telemetry.value("database_frozen") == 1


async def test_a_process_that_is_only_slow_is_not_ended(hasty: Process) -> None:
    process = hasty
    frozen = FrozenSession(process, "a")
    try:
        with pytest.raises(LogUnavailable, match="another process has locked"):
            await process.log.append([Append("a", texts(1))])
        assert process.telemetry.value("database_frozen") == 0
    finally:
        frozen.close()
