"""Four server processes and a worker on one PostgreSQL: updates, jobs and figures.

Two servers with two workers each. Which worker of a server takes a client is chance, so clients are opened until
every process has one of each transport.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import NamedTuple

import pytest

from dashboard_rt.budget import postgres_budget, redis_budgets
from dashboard_rt.settings import Settings
from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, Follower, follow
from tests.live.server import Server
from tests.live.wire import until
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

pytestmark = pytest.mark.slow

UPDATES = 60
SLOW = "set REDIS_URL, or BROKER_URL=postgres"
# Every claim that any process ever gets: the table itself keeps one row a job.
KEEP_CLAIMS = """
CREATE TABLE claims (job TEXT, slot BIGINT);
CREATE FUNCTION keep_claim() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO claims VALUES (NEW.job, NEW.slot); RETURN NULL; END $$;
CREATE TRIGGER keep_claims AFTER INSERT ON job_claims FOR EACH ROW EXECUTE FUNCTION keep_claim();
"""


class Deployment(NamedTuple):
    """Servers with two workers each, and their database."""

    servers: tuple[Server, ...]
    postgres: PostgresServer
    database: str

    def sql(self, statement: str) -> list[str]:
        return self.postgres.sql(statement, self.database).splitlines()

    def clients_of_every_process(self, stack: ExitStack, log: str) -> list[Follower]:
        """Clients until each process has one of each transport; those that are too many stay."""
        clients: list[Follower] = []
        for server in self.servers:
            missing = {(pid, transport) for pid in server.workers() for transport in TRANSPORTS}
            assert len(missing) == 2 * len(TRANSPORTS)
            for transport in TRANSPORTS * 30:
                client = stack.enter_context(follow(transport, server.address, log))
                clients.append(client)
                missing -= {(pid, transport) for pid in server.workers() if client.port in server.peers(pid)}
                if not missing:
                    break
            assert not missing, f"no client came to {missing}"
        return clients


@pytest.fixture(scope="module", params=["redis", "memory"])
def deployment(
    request: pytest.FixtureRequest, module_servers: Servers, postgres: PostgresServer, redis: RedisServer
) -> Iterator[Deployment]:
    database = postgres.new_database()
    url = redis.url.removesuffix("/0") + "/9"  # a number of our own, to find our connections by
    env = {
        "DATABASE_URL": postgres.url(database),
        **({"REDIS_URL": url, "INGEST_CHANNEL": "deployment"} if request.param == "redis" else {}),
        "BROKER_URL": url if request.param == "redis" else "memory://",
        # With a Redis nothing may have to wait for it; without one everything does.
        "POLL_SECONDS": "60" if request.param == "redis" else "0.2",
        "WEB_CONCURRENCY": "2",
    }
    with module_servers.new(env) as one, module_servers.new(env) as other:
        yield Deployment((one, other), postgres, database)


def test_each_update_reaches_each_client_of_each_process_once_and_in_order(
    deployment: Deployment, servers: Servers
) -> None:
    log = servers.stream(deployment.servers[0], "log")
    with ExitStack() as stack:
        clients = deployment.clients_of_every_process(stack, log)
        # Connections enough that every process publishes some.
        apis = [server.api() for server in deployment.servers for _ in range(10)]
        for n in range(UPDATES):
            apis[n % len(apis)].publish(log, {"n": n})
        for client in clients:
            assert client.numbers(UPDATES) == [*range(UPDATES)]


def test_each_process_has_the_connections_that_the_start_says(
    deployment: Deployment, redis: RedisServer, servers: Servers
) -> None:
    """By the counts of PostgreSQL and Redis, once each process has published."""
    one = deployment.servers[0]
    settings = Settings.read(one.env)
    budget = postgres_budget(settings, 2)
    assert f"Connections to PostgreSQL: {budget}" in one.output()
    ours = "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dashboard-rt%'"

    def all_are_open() -> bool:  # a server answers when the first of its processes does
        (found,) = map(int, deployment.sql(f"SELECT count(*) FROM {ours}"))
        assert found <= 2 * budget.takes
        return found == 2 * budget.takes

    until(all_are_open, f"PostgreSQL has {2 * budget.takes} connections of ours", 30)
    log = servers.stream(one, "log")
    for url, taken in redis_budgets(settings, 2).items():
        assert url == settings.redis_url and f"Connections to {taken.service}: {taken}" in one.output()
        # One of all processes reads INGEST_CHANNEL.
        expected = 2 * taken.takes - taken.extra

        def has_them(expected: int = expected) -> bool:
            for server in deployment.servers:
                server.api().publish(log, {"n": 0})
            found = redis.ask("CLIENT", "LIST").count(b" db=9 ")
            assert found <= expected
            return found == expected

        until(has_them, f"Redis has {expected} connections of ours")


def test_figures_are_those_of_one_process_and_say_so(deployment: Deployment) -> None:
    server = deployment.servers[0]
    workers = {str(pid) for pid in server.workers()}
    seen: dict[str, str] = {}

    def every_process_has_answered() -> bool:
        text = server.ask("GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        pids = {line.partition('pid="')[2].partition('"')[0] for line in lines}
        assert len(pids) == 1, "each sample names the process"
        seen[pids.pop()] = text
        return seen.keys() == workers

    until(every_process_has_answered, "each process has answered")
    process = server.ask("GET", "/dashboard/stats").json()["process"]
    assert str(process["pid"]) in workers
    assert process["processes"] == 2


def test_a_slow_broker_is_said_at_the_start_and_by_health(deployment: Deployment) -> None:
    slow = deployment.servers[0].env["BROKER_URL"] == "memory://"
    for server in deployment.servers:
        assert server.output().count(SLOW) == slow, "once, however many processes there are"
        health = server.ask("GET", "/health").json()
        assert [SLOW in sentence for sentence in health["degraded"]] == [True] * slow
        assert server.ask("GET", "/ready").status == 200


def test_the_doctor_notes_it(deployment: Deployment) -> None:
    slow = deployment.servers[0].env["BROKER_URL"] == "memory://"
    server = deployment.servers[0]
    printed = server.run(
        "doctor", server.address.origin, "--seconds", "0.5"
    )  # which fails where it finds more
    assert ("note: Updates of other processes come within 0.2 s" in printed) == slow


def test_each_job_runs_once_in_each_of_its_periods(servers: Servers, postgres: PostgresServer) -> None:
    database = postgres.new_database()
    env = {"DATABASE_URL": postgres.url(database), "BROKER_URL": "postgres", "JOBS": "inline"}
    settings = servers.new(env)
    settings.run("init")
    postgres.sql(KEEP_CLAIMS, database)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(servers.new(env, WEB_CONCURRENCY="2"))
        worker = subprocess.Popen(
            [sys.executable, "-m", "dashboard_rt", "worker"], env=settings.env, cwd=settings.directory
        )
        stack.callback(worker.wait)
        stack.callback(worker.terminate)
        until(lambda: claims(postgres, database, "metrics")[2:], "the job has run three times")
        for job, period in (("metrics", 5), ("status", 15)):
            slots = claims(postgres, database, job)
            distances = [later - earlier for earlier, later in pairwise(slots)]
            assert all(distance >= 0.8 * period * 1000 for distance in distances), (job, slots)


def claims(postgres: PostgresServer, database: str, job: str) -> list[int]:
    """When each run of a job was claimed, in Unix ms."""
    rows = postgres.sql(f"SELECT slot FROM claims WHERE job = '{job}' ORDER BY slot", database)
    return [int(row) for row in rows.splitlines()]
