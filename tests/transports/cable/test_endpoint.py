"""cable: who may come in over a WebSocket, and under which protocol (docs/protocol.md §2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any, cast

import pytest
from starlette.applications import Starlette

from dashboard_rt.http.responses import exception_handlers
from dashboard_rt.http.tickets import StreamAccess, Ticket, TicketSigner
from dashboard_rt.http.used_tickets import UsedTickets
from dashboard_rt.transports.cable.endpoint import TRANSPORT, choose_protocol
from dashboard_rt.transports.cable.frames import BASE_PROTOCOL, EXT_PROTOCOL
from tests.cable_world import World, simulate

Message = MutableMapping[str, Any]


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ([EXT_PROTOCOL, BASE_PROTOCOL], EXT_PROTOCOL),
        ([BASE_PROTOCOL, EXT_PROTOCOL], EXT_PROTOCOL),
        ([BASE_PROTOCOL, "actioncable-unsupported"], BASE_PROTOCOL),
        ([f" {BASE_PROTOCOL}\t"], BASE_PROTOCOL),
        (["chat"], None),
        ([], None),
    ],
)
def test_the_extended_protocol_is_preferred(offers: list[str], chosen: str | None) -> None:
    assert choose_protocol(offers) == chosen


async def shake(
    world: World, headers: dict[str, str], denial: bool = True, access: StreamAccess | None = None
) -> list[Message]:
    """What an endpoint says to a handshake, and then to a client that leaves."""
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/cable",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "query_string": b"",
        "subprotocols": [EXT_PROTOCOL],
        "client": ("10.0.0.1", 4321),
        "extensions": {"websocket.http.response": {}} if denial else None,
    }
    says: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return says.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    route = TRANSPORT.route(world.process.connections, world.settings, world.telemetry, access)
    app = Starlette(routes=[route], exception_handlers=dict(exception_handlers))
    await app(scope, receive, send)
    return sent


def test_a_handshake_names_the_protocol_and_welcomes() -> None:
    async def work(world: World) -> None:
        accept, welcome = await shake(world, {"host": "a.example", "origin": "http://a.example"})
        assert (accept["type"], accept["subprotocol"]) == ("websocket.accept", EXT_PROTOCOL)
        assert welcome == {"type": "websocket.send", "text": '{"type":"welcome"}'}
        assert world.process.connections.count == 0

    simulate(work)


def test_white_space_around_an_origin_is_no_part_of_it() -> None:
    async def work(world: World) -> None:
        accept, _ = await shake(world, {"host": "a.example ", "origin": "http://a.example\t"})
        assert accept["type"] == "websocket.accept"

    simulate(work)


@pytest.mark.parametrize("denial", [True, False])
def test_another_origin_is_refused_before_the_upgrade(denial: bool) -> None:
    async def work(world: World) -> None:
        first, *rest = await shake(world, {"host": "a.example", "origin": "http://evil.example"}, denial)
        if denial:
            assert (first["type"], first["status"]) == ("websocket.http.response.start", 404)
            assert json.loads(rest[0]["body"])["error"] == "not_found"
        else:
            assert first == {"type": "websocket.close", "code": 1008}
        assert world.telemetry.value("rejected", transport="cable", reason="origin") == 1

    simulate(work)


def test_a_missing_origin_is_refused_only_where_one_is_required() -> None:
    async def work(world: World) -> None:
        assert (await shake(world, {"host": "a.example"}))[0]["type"] == "websocket.http.response.start"

    simulate(work, CABLE_REQUIRE_ORIGIN="on")


def test_a_full_house_says_so_and_closes() -> None:
    async def work(world: World) -> None:
        world.process.connections.count = world.settings.max_clients
        accept, told, close = await shake(world, {"host": "a.example"})
        assert accept["type"] == "websocket.accept"
        assert json.loads(told["text"])["reason"] == "full"
        assert close == {"type": "websocket.close", "code": 1000}

    simulate(work)


def test_of_a_ticket_for_many_streams_a_connection_keeps_those_that_there_are() -> None:
    """A ticket may name hundreds, as long as a client likes to stay."""

    async def work(world: World) -> None:
        kept: list[frozenset[str]] = []
        connections = world.process.connections
        add = connections.add

        def added(session: Any, address: str | None) -> None:
            kept.append(session._streams)
            add(session, address)

        connections.add = added  # type: ignore[method-assign, assignment]
        signer = TicketSigner("s" * 32, lambda: 0.0)
        access = StreamAccess(signer, cast(UsedTickets, None), world.telemetry)
        streams = frozenset({"events", *map(str, range(300))})
        token = signer.issue(Ticket(streams, 60.0, 60.0), once=False)
        await shake(world, {"host": "a.example", "authorization": f"Bearer {token}"}, access=access)
        assert kept == [{"events"}]

    simulate(work)
