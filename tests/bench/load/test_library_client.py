"""bench/load/library_client.py: what the real client libraries see is what the raw client sees."""

from __future__ import annotations

from typing import Any

import pytest

from bench.errors import Environment
from bench.load.clients import LoadClients
from bench.load.wire import Wire
from bench.serving import target
from bench.serving.server import Server
from tests.bench.load.peer import publish
from tests.bench.small_targets import faulty

KINDS = ("raw", "library")
CLIENTS = 5
UPDATES = 20

pytestmark = pytest.mark.live


def books(server: Server, wire: Wire, kind: str, last: int, timeout: float) -> dict[str, Any]:
    """What one kind of client sees of the updates that both see."""
    with LoadClients(wire, CLIENTS, None, kind=kind) as load:
        assert load.open(CLIENTS)["alive"] == CLIENTS
        publish(server.port, 1, last)
        found = load.finish(last, timeout)
        load.close()
    return found


@pytest.mark.parametrize("transport", ["sse", "cable"])
def test_both_kinds_see_every_update_of_the_floor(transport: str) -> None:
    accounts, medians = [], []
    for kind in KINDS:
        with Server(target.floor()) as server:
            found = books(server, target.floor().wire(transport, server.host, server.port), kind, UPDATES, 30)
        accounts.append(found["account"])
        medians.append(found["latency"]["p50"])
        assert (found["measured"], found["closed"], found["errors"]) == (UPDATES * CLIENTS, 0, {})
    assert (
        accounts[0]
        == accounts[1]
        == {
            "expected": UPDATES * CLIENTS,
            "received": UPDATES * CLIENTS,
            "lost": 0,
            "doubled": 0,
            "disordered": 0,
        }
    )
    assert min(medians) > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transport", ["sse", "cable"])
@pytest.mark.parametrize(("fault", "name"), [("drop", "lost"), ("double", "doubled"), ("swap", "disordered")])
def test_both_kinds_name_each_fault(fault: str, name: str, transport: str, kind: str) -> None:
    one = faulty(fault)
    with Server(one) as server:
        account = books(server, one.wire(transport, server.host, server.port), kind, 10, 1)["account"]
    assert {other: account[other] for other in ("lost", "doubled", "disordered")} == {
        other: CLIENTS * (other == name) for other in ("lost", "doubled", "disordered")
    }


@pytest.mark.slow
def test_libraries_speak_the_extended_protocol_to_the_app() -> None:
    with Server(target.app()) as server:
        found = books(server, target.app().wire("cable+ext", server.host, server.port), "library", 5, 5)
    assert (found["account"]["received"], found["extensions"]) == (5 * CLIENTS, "none")


@pytest.mark.parametrize("transport", ["sse", pytest.param("cable", marks=pytest.mark.slow)])
def test_an_end_and_a_closed_door_are_named(transport: str) -> None:
    with Server(target.floor()) as server:
        wire = target.floor().wire(transport, server.host, server.port)
        with LoadClients(wire, CLIENTS, None, kind="library") as load:
            load.open(2)
            server.stop()
            found = load.finish(0, 0.1)
            assert (found["closed"], found["alive"]) == (2, 0)
            assert found["errors"]
            with pytest.raises(Environment, match="3 of 5 clients could not connect"):
                load.open(5)
            with pytest.raises(Environment, match="unknown command 'drop'"):
                load.drop()
