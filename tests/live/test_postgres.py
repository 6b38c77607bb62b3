"""Real processes on PostgreSQL: many that publish, one that is killed; a server that stands still, or dies."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from dashboard_rt.types import Position, Update
from tests.live.followers import follow
from tests.live.publishing import publish
from tests.live.server import Server
from tests.live.wire import until
from tests.logkit import everything, ids, opened
from tests.patience import HANG_LIMIT
from tests.services.postgres import PostgresServer
from tests.services.process import service_directory

pytestmark = pytest.mark.slow

PUBLISHERS = 8
LINES = 4000
STREAM = "events"
SETTINGS = {
    "STREAMS": "dashboard_updates:state,events:log",
    "KEEP_EVENTS": "1000000",
    "POLL_SECONDS": "0.2",
}


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that the test may stop. With fsync: what it says is on disk."""
    with service_directory() as directory:
        server = PostgresServer(directory, "-c", "fsync=on")
        server.start()
        yield server
        server.kill()


def log_of(url: str) -> list[Update]:
    async def read() -> list[Update]:
        async with opened(url, {}) as (_, log):
            return await everything(log, STREAM)

    return asyncio.run(read())


# ---- many processes


class LinesPublisher:
    """A process of `publish --lines`, with a file of numbered lines; what it said is on disk."""

    def __init__(self, directory: Path, url: str, number: int) -> None:
        self.number = number
        lines = directory / f"{number}.ndjson"
        lines.write_text("".join(f'{{"publisher":{number},"n":{n}}}\n' for n in range(1, LINES + 1)))
        command = [sys.executable, "-m", "dashboard_rt", "publish", STREAM, "-", "--lines"]
        self.output = directory / f"{number}.out"
        with lines.open() as stdin, self.output.open("w") as stdout:
            server = Server(directory, {**SETTINGS, "DATABASE_URL": url})
            self.process = subprocess.Popen(
                command, stdin=stdin, stdout=stdout, env=server.env, cwd=directory
            )

    def acknowledged(self) -> list[int]:
        """The ids of the updates at which it said that everything up to them is on disk."""
        whole = self.output.read_text().rpartition("\n")[0]
        return [position.id for line in whole.splitlines() if (position := Position.parse(line))]


def test_what_many_processes_publish_is_in_order_whole_and_once_although_one_is_killed(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.url(postgres.new_database())
    publishers = [LinesPublisher(tmp_path, url, number) for number in range(PUBLISHERS)]
    victim = publishers[0]
    try:
        until(victim.acknowledged, "the first lines are on disk")
        victim.process.kill()
        assert victim.process.wait() == -signal.SIGKILL
        assert [publisher.process.wait(HANG_LIMIT) for publisher in publishers[1:]] == [0] * (PUBLISHERS - 1)
    finally:
        for publisher in publishers:
            publisher.process.kill()
            publisher.process.wait()

    updates = log_of(url)
    assert ids(updates) == [*range(1, len(updates) + 1)]
    written = {update.id: json.loads(update.text) for update in updates}
    for publisher in publishers:
        own = [update["n"] for update in written.values() if update["publisher"] == publisher.number]
        assert own == [*range(1, len(own) + 1)], "in order, none lost, none twice"
        assert len(own) == LINES or publisher is victim
        for id in publisher.acknowledged():
            assert written[id]["publisher"] == publisher.number
    assert victim.acknowledged(), "it was killed in the middle of its work"


# ---- a server that stands still, dies, and comes back


def test_clients_stay_connected_and_miss_nothing_while_postgres_is_away(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    env = {**SETTINGS, "DATABASE_URL": own_postgres.url(own_postgres.new_database())}
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with (
        Server(tmp_path / "one", env) as one,
        Server(tmp_path / "other", env) as other,
        follow("sse", other.address, STREAM) as sse,
        follow("cable-ext", other.address, STREAM) as cable,
    ):
        number = 0

        def goes_on(key: str | None = None) -> None:
            nonlocal number
            number += 1
            headers = {"idempotency_key": key} if key else {}
            body = json.dumps({"n": number})
            until(lambda: publish(one, STREAM, body, **headers).status == 201, "it is acknowledged")
            assert [follower.next()["n"] for follower in (sse, cable)] == [number, number]

        def is_refused(key: str) -> None:
            answer = publish(one, STREAM, json.dumps({"n": number + 1}), idempotency_key=key)
            assert (answer.status, answer.json()["error"]) == (503, "log_unavailable")

        goes_on()
        own_postgres.freeze()
        is_refused("frozen")
        assert one.ask("GET", "/up").status == 200
        assert one.ask("GET", "/ready").status == 503
        own_postgres.thaw()
        goes_on("frozen")
        own_postgres.kill()
        is_refused("killed")
        own_postgres.start()
        goes_on("killed")
        until(lambda: one.ask("GET", "/ready").status == 200, "one is ready")
        assert one.metric("database_reconnects_total") >= 2
        assert sse.verdicts == cable.verdicts == ["fresh"]


WRITERS = "pg_stat_activity WHERE application_name = 'dashboard-rt' AND state <> 'idle'"


def test_a_frozen_writer_holds_the_others_up_no_longer_than_the_time_limits(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """A process stands still (SIGSTOP) within its transaction, while it has the row of the stream locked."""
    database = postgres.new_database()
    env = {**SETTINGS, "DATABASE_URL": postgres.url(database)}
    for name in ("frozen", "other"):
        (tmp_path / name).mkdir()
    with (
        Server(tmp_path / "frozen", env) as frozen,
        Server(tmp_path / "other", env) as other,
        follow("sse", other.address, STREAM) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        # Its statements are prepared: before PostgreSQL 17 no limit holds for who stands still while it prepares one.
        publish(frozen, STREAM, '{"n": -1}', idempotency_key="before")
        assert client.next() == {"n": -1}
        # It has taken its ids, which locks the row, and waits for the table to insert them.
        with held_lock(postgres, database, "LOCK TABLE updates IN SHARE MODE"):
            stuck = pool.submit(publish, frozen, STREAM, '{"n": 0}', idempotency_key="stuck")
            waiting = f"SELECT 1 FROM {WRITERS} AND wait_event_type = 'Lock' AND query LIKE 'INSERT%'"
            until(lambda: postgres.sql(waiting, database), "it waits in its transaction")
            frozen.end(signal.SIGSTOP)
        try:
            refused = publish(other, STREAM, '{"n": 1}', idempotency_key="other")
            assert (refused.status, refused.json()["error"]) == (503, "log_unavailable")
            again = until(lambda: acknowledged(other, '{"n": 1}', "other"), "the frozen one is undone")
            assert client.next() == {"n": 1}
        finally:
            frozen.end(signal.SIGCONT)
        assert stuck.result().status == 503, "what was undone is not acknowledged"
        until(lambda: acknowledged(frozen, '{"n": 0}', "stuck"), "the frozen one works again")
        assert client.next() == {"n": 0}
        assert acknowledged(frozen, '{"n": 1}', "other") == again, "written once"


def test_a_session_that_hangs_in_a_transaction_is_answered_with_503(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Somebody's shell, which has none of our time limits."""
    database = postgres.new_database()
    with (
        Server(tmp_path, {**SETTINGS, "DATABASE_URL": postgres.url(database)}) as server,
        follow("cable-ext", server.address, STREAM) as client,
    ):
        with held_lock(postgres, database, f"UPDATE streams SET last_id = last_id WHERE name = '{STREAM}'"):
            refused = publish(server, STREAM, '{"n": 0}', idempotency_key="waits")
            assert (refused.status, refused.json()["error"]) == (503, "log_unavailable")
            assert server.ask("GET", "/ready").status == 200, "it can be read"
        assert until(lambda: acknowledged(server, '{"n": 0}', "waits"), "it is free").endswith("-1")
        assert client.next() == {"n": 0}


def acknowledged(server: Server, body: str, key: str) -> str:
    """The position, once it is acknowledged."""
    answer = publish(server, STREAM, body, idempotency_key=key)
    position: str = answer.json()["position"] if answer.status == 201 else ""
    return position


@contextmanager
def held_lock(postgres: PostgresServer, database: str, statement: str) -> Iterator[None]:
    """Run a statement in a transaction that goes on until the end of the block, and is undone."""
    with asyncio.Runner() as runner:
        session = runner.run(asyncpg.connect(postgres.url(database)))
        runner.run(session.execute(f"BEGIN; {statement}"))
        try:
            yield
        finally:
            runner.run(session.close())


# ---- the commands


def test_every_command_works(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.url(postgres.new_database())
    with Server(tmp_path, {**SETTINGS, "DATABASE_URL": url, "JOBS": "off"}) as server:
        epoch = server.run("init").split("epoch ")[1].split(",")[0]
        assert server.run("publish", STREAM, "1") == f"{epoch}-1\n"
        with follow("sse", server.address, STREAM, f"{epoch}-1") as follower:
            assert server.run("publish", STREAM, "-", "--lines", stdin="2\n3\n") == f"{epoch}-3\n"
            assert [follower.next(), follower.next()] == [2, 3]
        worker = subprocess.Popen(
            [sys.executable, "-m", "dashboard_rt", "worker"], env=server.env, cwd=tmp_path
        )
        try:
            metrics = until(
                lambda: server.ask("GET", "/dashboard/metrics").json()["metrics"],
                "the worker has stored figures",
            )
            assert metrics[0]["cpu"] >= 0
            worker.terminate()
            assert worker.wait(HANG_LIMIT) == 0
        finally:
            worker.kill()
            worker.wait()
        renewed = server.run("init", "--new-epoch").split("epoch ")[1].split(",")[0]
        assert renewed != epoch
        settings = server.ask("GET", "/dashboard/debug").json()["settings"]
        assert settings["DATABASE_URL"] == url
