"""budget: what a start takes, against what a real PostgreSQL and a real Redis permit.

That the numbers are those of real processes is held by tests/live/test_many_processes.py.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from dashboard_rt.app import prepare_start
from dashboard_rt.broker import redis as redis_module
from dashboard_rt.broker.backend import Fault
from dashboard_rt.broker.redis import connection_limit
from dashboard_rt.budget import postgres_budget, redis_budgets
from dashboard_rt.eventlog.postgres import PostgresDatabase
from dashboard_rt.eventlog.postgres_limits import connection_limits
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import ConnectionLimit
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

POSTGRES = {"DATABASE_URL": "postgres://h/d"}
REDIS = {"REDIS_URL": "redis://h:1"}


def limits(most: int, taken: int = 0) -> list[ConnectionLimit]:
    return [ConnectionLimit("roomy", 1000, 5), ConnectionLimit("the plan", most, taken)]


@pytest.mark.parametrize(
    ("env", "postgres", "redis"),
    [
        (POSTGRES, "6 (3 for each of 2 processes)", {}),
        ({**POSTGRES, "BROKER_URL": "postgres"}, "10 (5 for each of 2 processes)", {}),
        (
            {**POSTGRES, **REDIS},
            "6 (3 for each of 2 processes)",
            {"redis://h:1": "4 (2 for each of 2 processes)"},
        ),
        (
            {**POSTGRES, **REDIS, "INGEST_CHANNEL": "c"},
            "6 (3 for each of 2 processes)",
            {"redis://h:1": "5 (2 for each of 2 processes, 1 for INGEST_CHANNEL)"},
        ),
        (
            {**POSTGRES, **REDIS, "INGEST_CHANNEL": "c", "BROKER_URL": "redis://other"},
            "6 (3 for each of 2 processes)",
            {"redis://other": "4 (2 for each of 2 processes)", "redis://h:1": "1 (1 for INGEST_CHANNEL)"},
        ),
    ],
)
def test_what_a_start_takes(env: dict[str, str], postgres: str, redis: dict[str, str]) -> None:
    settings = Settings.read(env)
    assert str(postgres_budget(settings, 2)) == postgres
    assert {url: str(budget) for url, budget in redis_budgets(settings, 2).items()} == redis


@pytest.mark.parametrize(
    ("processes", "most", "taken", "sentence"),
    [
        (2, 20, 0, None),
        (2, 20, 14, None),
        (3, 20, 0, None),  # 18 in a deploy
        (4, 20, 0, r"ended takes 24: .* Set WEB_CONCURRENCY to at most 3, or raise the limit\."),
        (6, 20, 0, r"ended takes 36: .* at most 3, or"),
        (7, 20, 0, r"takes 21 \(3 for each of 7 processes\): some .* cannot start\. Set .* at most 6, or"),
        (2, 20, 15, r"others have 15 of them now: until .* at most 1, or raise the limit\."),
        (2, 20, 18, r"cannot start\. Raise the limit\."),
        (1, 5, 0, r"permits 5 connections \(the plan\), .* ended takes 6: .* start\. Raise the limit\."),
    ],
)
def test_what_does_not_fit_is_said_with_what_to_do(
    processes: int, most: int, taken: int, sentence: str | None
) -> None:
    warning = postgres_budget(Settings.read(POSTGRES), processes).warning(limits(most, taken))
    assert re.search(sentence, warning or "") if sentence else warning is None


@pytest.mark.parametrize(
    ("broker", "consequence"),
    [
        (
            "redis://h:1",
            "some processes learn of the updates of others only every 1 s or nobody reads INGEST_CHANNEL.",
        ),
        ("postgres", "until those are given back, nobody reads INGEST_CHANNEL."),
    ],
)
def test_what_a_full_redis_means_follows_from_what_it_is_for(broker: str, consequence: str) -> None:
    env = {**POSTGRES, **REDIS, "INGEST_CHANNEL": "c", "BROKER_URL": broker}
    (budget,) = redis_budgets(Settings.read(env), 2).values()
    assert consequence in (budget.warning(limits(20, 20)) or "")


# ---- what real servers say


@pytest.fixture
def role(postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """A role as platforms give it, no superuser, with ten connections; its name, and the URL of its database."""
    database, name = postgres.new_database(), f"role{uuid4().hex[:8]}"
    postgres.sql(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 10; ALTER DATABASE {database} OWNER TO {name}")
    postgres.sql(f"GRANT ALL ON SCHEMA public TO {name}", database)
    yield name, postgres.url(database).replace("tests@", f"{name}@")
    postgres.sql(f"DROP DATABASE {database} WITH (FORCE)")
    postgres.sql(f"DROP ROLE {name}")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(level, text) for name, level, text in caplog.record_tuples if name == "dashboard_rt.budget"]


@pytest.mark.anyio
async def test_a_start_says_what_it_takes_and_is_permitted(
    role: tuple[str, str], redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    name, url = role
    settings = Settings.read({"DATABASE_URL": url, "REDIS_URL": redis.url})
    await prepare_start(settings, 1)
    (pg_level, pg), (level, line) = lines(caplog)
    assert (pg_level, level) == (logging.INFO, logging.INFO)
    takes = "Connections to PostgreSQL: 3 (3 for each of 1 process), twice as many while a deploy overlaps"
    permitted = f"10 are permitted (CONNECTION LIMIT of the role {name}), and others have 0 of them now."
    assert pg == f"{takes}; {permitted}"
    assert re.fullmatch(
        rf"Connections to Redis at 127\.0\.0\.1:{redis.port}: 2 \(2 for each of 1 process\), twice as many "
        r"while a deploy overlaps; \d+ are permitted \(maxclients\), and others have \d+ of them now\.",
        line,
    )


@pytest.mark.anyio
async def test_a_start_warns_of_what_the_role_is_not_permitted(
    role: tuple[str, str], postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    name, url = role
    others = [await asyncpg.connect(url) for _ in range(2)]
    try:
        await prepare_start(Settings.read({"DATABASE_URL": url, "BROKER_URL": "postgres"}), 2)
    finally:
        for other in others:
            await other.close()
    ((level, line),) = lines(caplog)
    assert level == logging.WARNING
    assert f"(CONNECTION LIMIT of the role {name})" in line
    assert "takes 10 (5 for each of 2 processes), but others have 2 of them now" in line


@pytest.mark.anyio
async def test_the_limit_of_a_database_and_of_the_server(
    role: tuple[str, str], postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    name, url = role
    database = url.rpartition("/")[2]
    postgres.sql(f"ALTER DATABASE {database} CONNECTION LIMIT 7; ALTER ROLE {name} CONNECTION LIMIT -1")
    telemetry = Telemetry()
    db = PostgresDatabase(url, "prefer", telemetry)
    await db.connect()
    try:
        server, of_database = await connection_limits(db, own=3)
    finally:
        await db.disconnect()
    reserved = int(postgres.sql("SHOW superuser_reserved_connections"))
    assert server.most == int(postgres.sql("SHOW max_connections")) - reserved
    assert of_database == ConnectionLimit(f"CONNECTION LIMIT of the database {database}", 7, 0)


@pytest.fixture
def small_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One with 20 connections, as the smallest plans have, and the user that docs/operations.md permits."""
    server = RedisServer(tmp_path, "--maxclients", "20")
    server.start()
    rights = "on >password resetchannels &dashboard_rt +subscribe +publish +ping"
    assert server.ask("ACL", "SETUSER", "dashboard", *rights.split()) == b"+OK\r\n"
    yield server
    server.kill()


@pytest.mark.anyio
async def test_a_redis_says_its_limit_or_why_it_does_not(
    small_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [await asyncio.open_connection("127.0.0.1", small_redis.port) for _ in range(3)]
    assert await connection_limit(small_redis.url, True) == ConnectionLimit("maxclients", 20, 3)
    permitted = small_redis.url.replace("//", "//dashboard:password@")
    with pytest.raises(Fault, match=r"does not say it to this user \(.*info"):
        await connection_limit(permitted, True)
    with pytest.raises(Fault, match="refuses the name and password"):
        await connection_limit(small_redis.url.replace("//", "//dashboard:wrong@"), True)
    monkeypatch.setattr(redis_module, "ASK_SECONDS", 0.05)
    small_redis.freeze()
    with pytest.raises(Fault, match="does not answer"):
        await connection_limit(small_redis.url, True)
    small_redis.thaw()
    small_redis.kill()
    with pytest.raises(Fault, match="is away"):
        await connection_limit(small_redis.url, True)
    for _, writer in others:
        writer.close()


@pytest.mark.anyio
async def test_a_start_goes_on_without_a_redis(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens on port 1."""
    caplog.set_level(logging.INFO)
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "REDIS_URL": "redis://127.0.0.1:1"}
    await prepare_start(Settings.read(env), 2)
    ((level, line),) = lines(caplog)
    assert level == logging.INFO
    assert "4 (2 for each of 2 processes). How many it permits is not known: it is away" in line
