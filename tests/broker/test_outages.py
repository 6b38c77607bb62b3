"""Brokers whose service is cut, killed, frozen or refuses them: they come back, and say that something may be missing.

The servers are of these tests alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from dashboard_rt.broker import backend, broadcast
from dashboard_rt.broker.broadcast import BroadcastBroker
from dashboard_rt.broker.postgres import LIMITS as POSTGRES_LIMITS
from dashboard_rt.broker.postgres import PostgresBackend
from dashboard_rt.broker.redis import LIMITS as REDIS_LIMITS
from dashboard_rt.broker.redis import RedisBackend
from dashboard_rt.telemetry import Telemetry
from tests.broker.members import Member, member, pair, until
from tests.services.certificates import self_signed
from tests.services.fault_proxy import FaultProxy
from tests.services.postgres import PostgresServer
from tests.services.process import Service, service_directory
from tests.services.redis import RedisServer

pytestmark = pytest.mark.anyio
DATABASE = "postgres"


class Target:
    """A server, how a broker reaches it at a port, and how an administrator cuts its clients off."""

    def __init__(
        self,
        server: Service,
        at: Callable[[int, Telemetry], BroadcastBroker],
        expel: Callable[[], object],
        expel_sender: Callable[[], object],
    ) -> None:
        self.server = server
        self.at = at
        self.expel = expel  # all of them
        self.expel_sender = expel_sender  # those that have published

    def build(self, telemetry: Telemetry) -> BroadcastBroker:
        return self.at(self.server.port, telemetry)


def redis_at(port: int, telemetry: Telemetry) -> BroadcastBroker:
    return BroadcastBroker(RedisBackend(f"redis://127.0.0.1:{port}", telemetry), REDIS_LIMITS, telemetry)


@pytest.fixture(scope="module")
def redis_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield Target(
        server,
        redis_at,
        lambda: server.ask("CLIENT", "KILL", "TYPE", "pubsub"),
        lambda: server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
    )
    server.kill()


@pytest.fixture(scope="module")
def postgres_target() -> Iterator[Target]:
    def at(port: int, telemetry: Telemetry) -> BroadcastBroker:
        return BroadcastBroker(
            PostgresBackend(server.url(DATABASE, port), "off", telemetry), POSTGRES_LIMITS, telemetry
        )

    def expel(query: str = "") -> None:
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE application_name = 'dashboard-rt broker' AND query LIKE '%{query}%'"
        )

    with service_directory() as directory:
        server = PostgresServer(directory)
        server.start()
        yield Target(server, at, expel, lambda: expel("pg_notify"))
        server.kill()


@pytest.fixture(params=["redis", pytest.param("postgres", marks=pytest.mark.slow)])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    found: Target = request.getfixturevalue(f"{request.param}_target")
    yield found
    if not found.server.running:
        found.server.start()
    found.server.thaw()


@pytest.fixture(autouse=True)
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for a service that is away."""
    monkeypatch.setattr(broadcast, "START_SECONDS", 0.1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice a server that is silent in a moment."""
    monkeypatch.setattr(backend, "QUIET_SECONDS", 0.1)
    for name in ("PATIENCE_SECONDS", "OPEN_SECONDS", "PUBLISH_SECONDS"):
        monkeypatch.setattr(backend, name, 0.5)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_expelled_they_come_back_at_once(target: Target) -> None:
    async with pair(target.build) as both:
        for number in range(1, 4):
            await both.talk(number)
            gaps = both.a.gaps, both.b.gaps
            target.expel()
            await until(lambda g=gaps: both.a.gaps > g[0] and both.b.gaps > g[1], "both are told of a gap")  # type: ignore[misc]
        await both.talk(4)
        assert both.a.telemetry.value("broker_reconnects") == 3


async def test_a_server_that_is_killed_and_started_again(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with pair(target.build) as both:
        await both.talk(1)
        target.server.kill()
        await until(lambda: not (both.a.connected() or both.b.connected()), "both notice")
        await both.a.say(2)
        assert both.a.telemetry.value("broker_dropped", reason="away") == 1
        await until(lambda: both.a.telemetry.value("broker_failures") >= 4, "some attempts failed")
        target.server.start()
        await both.talk(3)
        assert 2 in both.a.ids() and 2 not in both.b.ids()
        assert both.b.gaps == 2
    told = [record.getMessage() for record in caplog.records if record.name == backend.__name__]
    assert len([line for line in told if "is back after" in line]) == 2
    assert len(told) == 4, "each says once that it is away, and once that it is back"


async def test_a_server_that_is_frozen(target: Target, impatient: None) -> None:
    async with pair(target.build) as both:
        await both.talk(1)
        given_up = partial(both.a.telemetry.value, "broker_dropped", reason="failed")
        before = given_up()  # not always 0: on a busy machine a living server is given up as well
        target.server.freeze()
        await both.a.say(2)  # which hangs
        await until(lambda: not (both.a.connected() or both.b.connected()), "both notice")
        await until(lambda: given_up() > before, "it gives up")
        target.server.thaw()
        await both.talk(3)


async def test_a_silent_server_that_lives_is_kept(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "QUIET_SECONDS", 0.05)
    signs = 0

    def alive(_: backend.ReconnectingBackend) -> None:
        nonlocal signs
        signs += 1

    monkeypatch.setattr(backend.ReconnectingBackend, "alive", alive)
    async with member(target.build) as quiet:
        await until(lambda: signs > 3, "it was asked for signs of life, and gave them")
        assert (quiet.gaps, quiet.telemetry.value("broker_failures")) == (1, 0)


@pytest.mark.parametrize("fault", ["cut", "half_close", "hold", "refuse"])
async def test_a_network_that_fails(target: Target, fault: str, impatient: None) -> None:
    with FaultProxy(target.server.port) as proxy:
        async with pair(lambda telemetry: target.at(proxy.port, telemetry)) as both:
            await both.talk(1)
            gaps = both.b.gaps
            getattr(proxy, fault)()
            if fault == "refuse":
                proxy.cut()
            await until(lambda: both.b.gaps > gaps or not both.b.connected(), "the fault is noticed")
            proxy.heal()
            await until(lambda: both.b.gaps > gaps, "the gap is told")
            await both.talk(2)


async def test_an_idle_connection_for_publishing_that_has_died_is_replaced(target: Target) -> None:
    """Nothing notices that it has died but the next publish, and that one has to get through."""
    async with pair(target.build) as both:
        await both.talk(1)
        target.expel_sender()
        await both.talk(2)
        assert both.a.telemetry.value("broker_dropped", reason="failed") == 0


async def test_a_start_does_not_wait_for_a_server_that_is_away(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    target.server.kill()
    async with member(target.build) as early:
        await early.say(1)
        await until(lambda: early.ids() == [1], "this process hears itself")
        assert not early.connected() and early.gaps == 0
        assert len(warnings(caplog)) == 1
        target.server.start()
        await until(early.connected, "it has connected")
        assert early.gaps == 1


# ---- refused


async def refused(made: Member, caplog: pytest.LogCaptureFixture) -> str:
    """Start a broker that is refused; the one sentence that it logs."""
    await made.start()
    await until(lambda: warnings(caplog), "it says why")
    assert not made.connected()
    await made.broker.stop()
    assert made.telemetry.value("broker_failures") == 1, "only a person can help, so it is not tried at once"
    (sentence,) = warnings(caplog)
    return sentence


class LockedRedis(RedisServer):
    """One that asks for a password."""

    def answers(self) -> bool:
        return self.ask("PING").startswith(b"-NOAUTH")


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:wrong@"])
async def test_a_wrong_password(tmp_path: Path, caplog: pytest.LogCaptureFixture, login: str) -> None:
    server = LockedRedis(tmp_path, "--requirepass", "right")
    server.start()
    url = f"redis://{login}127.0.0.1:{server.port}"
    sentence = await refused(
        Member(lambda telemetry: BroadcastBroker(RedisBackend(url, telemetry), REDIS_LIMITS, telemetry)),
        caplog,
    )
    server.kill()
    assert "refuses the name and password" in sentence and "wrong" not in sentence


async def test_a_database_that_is_not_there(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.url("nowhere")
    sentence = await refused(
        Member(
            lambda telemetry: BroadcastBroker(
                PostgresBackend(url, "off", telemetry), POSTGRES_LIMITS, telemetry
            )
        ),
        caplog,
    )
    assert "lacks the database of DATABASE_URL" in sentence


async def test_a_certificate_that_nobody_vouches_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path, tls=self_signed(tmp_path))
    server.start()

    def build(verify: bool) -> Callable[[Telemetry], BroadcastBroker]:
        return lambda telemetry: BroadcastBroker(
            RedisBackend(server.url, telemetry, verify_tls=verify), REDIS_LIMITS, telemetry
        )

    assert "set REDIS_TLS_VERIFY=none" in await refused(Member(build(True)), caplog)
    async with pair(build(False)) as both:
        await both.talk(1)
    server.kill()
