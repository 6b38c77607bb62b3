"""Load client processes against real servers: every transport, drops, restarts, storms, several processes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.errors import Environment
from bench.load import clients as load
from bench.load.clients import LoadClients
from bench.load.wire import TRANSPORTS
from bench.serving import target
from bench.serving.server import Server
from bench.serving.target import Target
from tests.bench.load.peer import publish

CLIENTS = 12
SLOW = pytest.mark.slow

pytestmark = pytest.mark.live


@contextmanager
def served(
    one: Target, transport: str, kind: str = "log", clients: int = CLIENTS, **more: str
) -> Iterator[tuple[Server, LoadClients]]:
    """A server and its load clients, not opened yet."""
    with Server(one.speaking(transport), kind) as server:
        wire = one.wire(transport, server.host, server.port)
        with LoadClients(wire, clients, None, **more) as made:  # type: ignore[arg-type]
            yield server, made


@pytest.mark.parametrize(
    "transport", ["sse", "cable", *(pytest.param(one, marks=SLOW) for one in TRANSPORTS[2:])]
)
def test_every_transport_of_the_app(transport: str) -> None:
    with served(target.app(), transport) as (server, made):
        opened = made.open(CLIENTS)
        assert (opened["clients"], opened["alive"], opened["connect"]["count"]) == (CLIENTS, CLIENTS, CLIENTS)
        made.measure(6)
        publish(server.port, 1, 25)
        books = made.finish(25, 10)
    assert books["account"] == {"expected": 300, "received": 300, "lost": 0, "doubled": 0, "disordered": 0}
    assert (books["measured"], books["latency"]["count"], books["latency"]["negative"]) == (240, 240, 0)
    assert books["reads"] > books["memo_hits"] > 0
    per_delivery = books["bytes"] / books["measured"]
    if transport == "cable+deflate":
        assert books["extensions"].startswith("permessage-deflate")
        assert per_delivery < 250
    else:
        assert books["extensions"] == opened["extensions"] == "none"
        assert 350 < per_delivery < 600, "a ping may share a read with an update"


@pytest.mark.parametrize(
    ("transport", "resume", "verdict"),
    [
        ("sse", True, "recovered"),
        pytest.param("cable+ext", True, "recovered", marks=SLOW),
        pytest.param("cable+deflate", True, "fresh", marks=SLOW),
        pytest.param("sse", False, "fresh", marks=SLOW),
    ],
)
def test_who_resumes_gets_what_came_meanwhile(transport: str, resume: bool, verdict: str) -> None:
    with served(target.app(), transport) as (server, made):
        made.open(CLIENTS)
        publish(server.port, 1, 5)
        made.finish(5, 5)
        assert made.drop() == CLIENTS
        publish(server.port, 6, 10)
        made.begin_come_back(spread_s=0.1, resume=resume, timeout=10)
        back = made.came_back()
        publish(server.port, 11, 12)
        books = made.finish(12, 10 if verdict == "recovered" else 1)
    assert (back["clients"], back["returned"], back["verdicts"][verdict]) == (CLIENTS, CLIENTS, CLIENTS)
    assert (back["ready"]["count"], back["caught_up"]["count"], back["curve"][-1][1]) == (
        CLIENTS,
        CLIENTS,
        1.0,
    )
    missed = 0 if verdict == "recovered" else 5
    assert books["account"]["lost"] == missed * CLIENTS
    assert (books["account"]["doubled"], books["closed"], books["alive"]) == (0, 0, CLIENTS)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["sse", "cable+ext"])
def test_a_restart_is_survived_by_who_comes_back_when_told(transport: str) -> None:
    quick = target.with_settings(target.app(), "quick", RETRY_MIN="300", RETRY_MAX="600")
    with served(quick, transport) as (server, made):
        made.keep(told=True, min_ms=100, max_ms=300)
        made.open(CLIENTS)
        publish(server.port, 1, 5)
        made.finish(5, 5)
        server.restart()
        publish(server.port, 6, 10)
        books = made.finish(10, 10)
    kept = books["kept"]
    assert (kept["goodbyes"], kept["unannounced"], kept["returns"]) == (CLIENTS, 0, CLIENTS)
    assert (kept["verdicts"], kept["away"]["count"]) == ({"recovered": CLIENTS}, CLIENTS)
    assert (len(kept["goodbye_s"]), len(kept["end_s"]), min(kept["goodbye_s"])) == (CLIENTS, CLIENTS, 0.0)
    assert (books["account"]["lost"], books["closed"], books["alive"]) == (0, 0, CLIENTS)


def test_several_processes_are_one_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "CLIENTS_PER_PROCESS", 5)
    with served(target.floor(), "sse") as (server, made):
        assert len(made.pids) == 3
        made.open(CLIENTS)
        stuck = made.stick(5)
        assert [one["client"] for one in stuck] == [0, 1, 2, 3, 0]
        publish(server.port, 1, 10)
        books = made.finish(10, 5)
        peek = made.peek()
        assert made.drop() == CLIENTS
        back = made.come_back(spread_s=0.1, timeout=10)
    assert books["account"]["received"] == books["latency"]["count"] == 70
    assert (peek["alive"], peek["received"]) == (CLIENTS, 70)
    assert (back["clients"], back["returned"], back["verdicts"]["fresh"]) == (CLIENTS, CLIENTS, CLIENTS)


@pytest.mark.parametrize(
    ("name", "transport"),
    [("floor", "sse"), ("floor", "cable"), *(pytest.param("app", one, marks=SLOW) for one in TRANSPORTS)],
)
def test_a_storm_of_all_at_once(name: str, transport: str) -> None:
    with served(target.by_name(name), transport, "state", clients=300) as (server, made):
        publish(server.port, 1, 1)
        storm = made.storm(300, in_flight=300)
    assert storm["seconds"] > 0
    assert {storm[time]["count"] for time in ("accepted", "first_byte", "ready", "first_update")} == {300}
    for earlier, later in (("accepted", "first_byte"), ("first_byte", "ready"), ("ready", "first_update")):
        assert storm[earlier]["p50"] <= storm[later]["p50"]
    assert storm["extensions"].startswith("permessage-deflate" if transport == "cable+deflate" else "none")


def test_a_storm_on_a_stream_without_state_ends_when_all_are_ready() -> None:
    with served(target.floor(), "sse") as (_, made):
        storm = made.storm(50, in_flight=50, until="ready")
        assert (storm["ready"]["count"], storm["first_update"]["count"]) == (50, 0)
        with pytest.raises(Environment, match='until "update" or "ready"'):
            made.storm(5, in_flight=5, until="sunset")


def test_a_storm_at_a_closed_door_says_so() -> None:
    with served(target.floor(), "sse") as (server, made):
        server.stop()
        with pytest.raises(Environment, match=r"connect storm: .*refused"):
            made.storm(5, in_flight=5)


def test_clients_that_cannot_connect_are_counted_with_the_reason() -> None:
    with served(target.floor(), "sse") as (server, made):
        made.open(4)
        server.stop()
        with pytest.raises(Environment, match=r"4 of 8 clients could not connect: \[.*refused"):
            made.open(8)


def test_status_datagrams_come_by_themselves(tmp_path: Path) -> None:
    path = str(tmp_path / "status")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as view:
        view.bind(path)
        view.settimeout(10)
        with served(target.floor(), "sse", status=path) as (_, made):
            made.open(CLIENTS)
            while (heard := json.loads(view.recv(65536)))["alive"] < CLIENTS:
                continue  # one from before they had connected
            assert heard["pid"] in made.pids
    assert heard["from"] == "client"
    assert 0 <= heard["cpu_share"] <= 1
