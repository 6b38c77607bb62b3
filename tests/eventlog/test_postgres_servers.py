"""postgres, on servers of its own: a failover, TLS, passwords."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dashboard_rt.app import make_database
from dashboard_rt.errors import BadSetting, LogUnavailable
from dashboard_rt.eventlog import postgres as postgres_module
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from tests.logkit import everything, fill, ids, opened
from tests.patience import HANG_LIMIT
from tests.services.certificates import Certificate, self_signed
from tests.services.fault_proxy import FaultProxy
from tests.services.postgres import PostgresServer
from tests.services.process import service_directory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@contextmanager
def server(tls: Certificate | None = None, primary: PostgresServer | None = None) -> Iterator[PostgresServer]:
    with service_directory() as directory:
        made = PostgresServer(directory, tls=tls)
        if primary is not None:
            made.copy(primary)
        made.start()
        yield made
        made.kill()


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(HANG_LIMIT):
        while not await condition():  # noqa: ASYNC110  what is waited for knows no event
            await asyncio.sleep(0.01)


async def complaint(log: EventLog) -> str:
    """What keeps the log from being read."""
    try:
        await log.state()
    except LogUnavailable as error:
        return error.detail
    return ""


async def test_after_a_failover_the_log_goes_on_in_another_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "GRACE_SECONDS", 0.1)
    with ExitStack() as stack:
        primary = stack.enter_context(server())
        name = primary.new_database()
        standby = stack.enter_context(server(primary=primary))
        proxy = stack.enter_context(FaultProxy(primary.port))
        async with opened(primary.url(name, proxy.port)) as (_, log):
            await fill(log, "a", 3)
            before = (await log.state()).epoch

            async def has_all() -> bool:
                sent = primary.sql("SELECT pg_current_wal_lsn()")
                return standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{sent}'") == "t"

            async def is_found() -> bool:
                return "it is read-only: a standby" in await complaint(log)

            async def is_back() -> bool:
                return not await complaint(log)

            await eventually(has_all)
            proxy.redirect(standby.port)
            proxy.cut()
            await eventually(is_found)
            with pytest.raises(LogUnavailable, match="standby"):
                await fill(log, "a", 1)
            standby.sql("SELECT pg_promote()")
            await eventually(is_back)
            assert (await log.state()).epoch != before
            await fill(log, "a", 1)
            assert ids(await everything(log, "a")) == [1, 2, 3, 4]


# ---- who may connect


async def connecting(url: str, ssl: str) -> str:
    """What the server says about the encryption of a connection: `t` or `f`."""
    db = make_database(Settings.read({"DATABASE_URL": url, "DATABASE_SSL": ssl}), Telemetry())
    await db.connect()
    try:
        ((encrypted,),) = await db.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return "encrypted" if encrypted else "plain"
    finally:
        await db.disconnect()


async def test_encryption_is_as_it_was_set(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    plain = postgres.url(postgres.cleared_database())
    for ssl in ("off", "prefer"):
        assert await connecting(plain, ssl) == "plain"
    for ssl in ("require", "verify-full"):
        with pytest.raises(BadSetting, match="it speaks no TLS: set DATABASE_SSL=off"):
            await connecting(plain, ssl)
    with server(tls=certificate) as secure:
        url = secure.url(secure.new_database())
        for ssl in ("prefer", "require"):
            assert await connecting(url, ssl) == "encrypted"
        with pytest.raises(BadSetting, match="DATABASE_SSL=require where the server wants TLS"):
            await connecting(url, "off")
        with pytest.raises(
            BadSetting, match=r"certificate cannot be verified .* name its CA in SSL_CERT_FILE"
        ):
            await connecting(url, "verify-full")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
        assert await connecting(url, "verify-full") == "encrypted"
        assert await connecting(f"{url}?sslmode=require", "") == "encrypted"


async def test_a_wrong_password_is_a_sentence_without_it() -> None:
    with server() as locked:
        name = locked.new_database()
        locked.sql(f"CREATE ROLE alice LOGIN PASSWORD 'right'; ALTER DATABASE {name} OWNER TO alice")
        (locked.directory / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        locked.kill()
        locked.start()
        url = locked.url(name)
        assert await connecting(url.replace("tests@", "alice:right@"), "") == "plain"
        with pytest.raises(BadSetting, match="the password or the user is wrong") as raised:
            await connecting(url.replace("tests@", "alice:hunter2@"), "")
        assert "hunter2" not in str(raised.value)
