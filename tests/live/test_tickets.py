"""Tickets on the wire (docs/protocol.md §6): who gets in on either transport, who is told what, and what is logged."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from dashboard_rt.client.cable import open_cable
from dashboard_rt.client.connection import ConnectOptions, EventKind
from dashboard_rt.client.failures import ConnectionFailed
from dashboard_rt.client.sse import open_sse
from dashboard_rt.client.target import read_target
from tests.client.connecting import Opener
from tests.live.cable import EXT, V1, CableClient, CableClosed, identifier, upgrade
from tests.live.conftest import Servers
from tests.live.server import TOKEN, Server
from tests.live.sse import Ended, SseClient
from tests.live.wire import Response, ask, read_body, request_bytes, until

SECRET = "a secret of the tests, 32 bytes+"
AUTH = {"STREAM_AUTH_SECRET": SECRET.replace(" ", "-")}
WEBSOCKET = [
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
UNAUTHORIZED = {"type": "disconnect", "reason": "unauthorized", "reconnect": False}


@pytest.fixture
def guarded(servers: Servers, handover: str) -> Server:
    return servers.get(HANDOVER=handover, **AUTH)


def ticket(server: Server, **wish: Any) -> str:
    answer = ask(
        server.address, "POST", "/tickets", [("authorization", f"Bearer {TOKEN}")], json.dumps(wish).encode()
    )
    assert answer.status == 201, answer
    token: str = answer.json()["ticket"]
    return token


def refused(server: Server, target: str) -> Response:
    with SseClient(server.address, target) as client:
        return Response(client.head, read_body(client.wire, client.head))


def leave(server: Server, target: str, headers: Sequence[tuple[str, str]] = ()) -> None:
    """Ask, and go at once."""
    with closing(server.address.connect()) as sock:
        sock.sendall(request_bytes("GET", target, [("host", server.address.netloc), *headers]))


def dismissed(client: CableClient) -> dict[str, Any]:
    """What the server says to a client that it does not let in, behind which it closes with 1000."""
    told = client.message(pings=True)
    with pytest.raises(CableClosed) as end:
        client.text()
    assert end.value.code == 1000
    client.echo(end.value)
    client.close()
    return told


def test_sse(guarded: Server) -> None:
    lasting = ticket(guarded, once=False, streams=["log0", "state0"])
    for target, headers in (
        (f"/dashboard/stream?stream=log0&ticket={lasting}", []),
        ("/dashboard/stream?stream=state0", [("authorization", f"Bearer {lasting}")]),
        (f"/dashboard/stream?ticket={lasting}&stream=log0&last_event_id=x-1", []),
    ):
        with SseClient(guarded.address, target, headers) as client:
            assert client.head.status == 200 and "ignored" not in client.until("verdict").json()
    for target, status, error in (
        ("/dashboard/stream?stream=log0", 401, "unauthorized"),
        ("/dashboard/stream?stream=nonsense", 401, "unauthorized"),
        ("/dashboard/stream?stream=log0&ticket=nonsense", 401, "unauthorized"),
        (f"/dashboard/stream?stream=log1&ticket={lasting}", 403, "forbidden"),
        (f"/dashboard/stream?stream=nonsense&ticket={lasting}", 403, "forbidden"),
        (f"/dashboard/stream?stream=nonsense&ticket={ticket(guarded)}", 404, "unknown_stream"),
    ):
        answer = refused(guarded, target)
        assert (answer.status, answer.json()["error"]) == (status, error), target
        assert answer.json()["detail"]


def test_a_single_use_ticket_opens_one_stream(guarded: Server) -> None:
    target = f"/dashboard/stream?stream=log0&ticket={ticket(guarded)}"
    assert ask(guarded.address, "HEAD", target).status == 200, "to look does not use it up"
    with SseClient(guarded.address, target) as client:
        assert client.until("verdict")
        assert refused(guarded, target).status == 401
        assert refused(guarded, target.replace("log0", "state0")).status == 401


@pytest.mark.parametrize("way", ["query", "header", "jid", "x-jid", "subprotocol"])
def test_cable(guarded: Server, way: str) -> None:
    token = ticket(guarded, once=False, streams=["log0"])
    targets = {"query": f"/cable?ticket={token}", "jid": f"/cable?jid={token}"}
    headers = {"header": ("authorization", f"Bearer {token}"), "x-jid": ("x-jid", token)}
    offers = (EXT, f"anycable-token.{token}") if way == "subprotocol" else (EXT,)
    with CableClient(
        guarded.address,
        offers,
        [headers[way]] if way in headers else [],
        target=targets.get(way, "/cable"),
    ) as client:
        assert client.protocol == EXT
        client.welcome()
        assert client.subscribe(identifier("log1")) == {
            "identifier": identifier("log1"),
            "type": "reject_subscription",
        }
        assert client.subscribe(identifier("log0"))["type"] == "confirm_subscription"


def test_a_cable_without_a_ticket_is_told_before_any_welcome(guarded: Server) -> None:
    used = ticket(guarded)
    CableClient(guarded.address, target=f"/cable?ticket={used}").close()
    for target in ("/cable", "/cable?ticket=nonsense", f"/cable?jid={used}"):
        client = CableClient(guarded.address, (V1,), target=target)
        assert dismissed(client) == UNAUTHORIZED, target


def test_a_page_of_another_origin_does_not_use_a_ticket_up(guarded: Server) -> None:
    target = f"/cable?ticket={ticket(guarded)}"
    wire, head = upgrade(guarded.address, (V1,), [("origin", "https://evil.example")], target=target)
    assert head.status == 404
    wire.close()
    with CableClient(guarded.address, target=target) as client:
        client.welcome()


@pytest.mark.slow  # it waits for that
def test_a_connection_ends_with_its_ticket(guarded: Server) -> None:
    token = ticket(guarded, once=False, ttl=1)
    forever = ticket(guarded, once=False)
    with (
        SseClient(guarded.address, f"/dashboard/stream?stream=log0&ticket={token}") as sse,
        SseClient(guarded.address, f"/dashboard/stream?stream=log0&ticket={forever}") as other,
        CableClient(guarded.address, target=f"/cable?ticket={token}") as cable,
    ):
        goodbye = sse.until("goodbye").json()
        assert goodbye["reason"] == "token_expired" and goodbye["retry_ms"] > 0
        with pytest.raises(Ended) as end:
            sse.event()
        assert end.value.clean
        while (told := cable.message()).get("type") != "disconnect":
            pass
        assert told == {"type": "disconnect", "reason": "token_expired", "reconnect": False}
        assert cable.closed().code == 1000
        assert other.until("heartbeat")
        assert refused(guarded, f"/dashboard/stream?stream=log0&ticket={token}").status == 401


@pytest.mark.slow  # SQLite waits for two seconds
def test_while_the_database_is_away_lasting_tickets_open_and_single_use_ones_may_come_back(
    servers: Servers, handover: str
) -> None:
    with servers.new(AUTH, HANDOVER=handover) as server:
        lasting, first, second, left = (ticket(server, once=once) for once in (False, True, True, True))
        with closing(sqlite3.connect(server.directory / "live.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            # Clients that leave while they wait for the database: nobody is to be told, and nothing logged.
            leave(server, f"/dashboard/stream?ticket={left}")
            leave(server, f"/cable?ticket={left}", WEBSOCKET)
            with SseClient(server.address, f"/dashboard/stream?stream=log0&ticket={lasting}") as client:
                assert client.head.status == 200
            answer = refused(server, f"/dashboard/stream?stream=log0&ticket={first}")
            assert (answer.status, answer.head.get("retry-after")) == (503, "1")
            told = dismissed(CableClient(server.address, target=f"/cable?ticket={second}"))
            assert (told["reason"], told["reconnect"]) == ("unavailable", True) and told["retry_in"] > 0
        fresh = ticket(server)
        with SseClient(server.address, f"/dashboard/stream?stream=log0&ticket={fresh}") as client:
            assert client.head.status == 200


@pytest.mark.slow
def test_no_ticket_is_in_the_log_of_uvicorn(servers: Servers) -> None:
    """Run by uvicorn itself, with its access log on."""
    command = (
        *("uvicorn", "--factory", "dashboard_rt.app:create_app", "--port", "{port}", "--log-level", "trace"),
        *("--http", "dashboard_rt.server.handover:HttpProtocol"),
        *("--ws", "dashboard_rt.server.handover:WebSocketProtocol"),
    )
    with servers.new_by(command, **AUTH) as server:
        token = ticket(server, once=False)
        with SseClient(server.address, f"/dashboard/stream?stream=log0&ticket={token}") as client:
            assert client.head.status == 200
        refused(server, f"/dashboard/stream?stream=log0&ticket={token}x")
        for name in ("ticket", "jid"):
            with CableClient(server.address, target=f"/cable?a=1&{name}={token}") as cable:
                cable.welcome()
        with CableClient(server.address, (EXT, f"anycable-token.{token}"), [("x-jid", token)]) as cable:
            cable.welcome()
        ask(server.address, "GET", f"/dashboard/refresh?ticket={token}")
        until(lambda: "refresh?ticket=***" in server.output(), "the access log shows the last request")
        assert token not in server.output()
        assert "/dashboard/stream?stream=log0&ticket=***" in server.output()


@pytest.mark.parametrize("opener", [open_sse, open_cable])
def test_our_own_client_shows_its_ticket(guarded: Server, opener: Opener) -> None:
    async def first_event(token: str | None) -> EventKind:
        target = read_target(guarded.address.origin, "log0", token)
        async with opener(target, ConnectOptions(5)) as connection:
            async for event in connection.events:
                if event.kind is not EventKind.OTHER:
                    return event.kind
        raise AssertionError("no event")

    assert asyncio.run(first_event(ticket(guarded))) is EventKind.VERDICT
    if opener is open_cable:
        assert asyncio.run(first_event(None)) is EventKind.GOODBYE
    else:
        with pytest.raises(ConnectionFailed, match="DASHBOARD_TICKET"):
            asyncio.run(first_event(None))


@pytest.mark.slow
def test_doctor_takes_a_ticket_from_the_environment_and_shows_none(servers: Servers) -> None:
    with servers.new(AUTH) as server:
        doctor = ("doctor", server.address.origin, "--stream", "log0", "--seconds", "1")
        with pytest.raises(AssertionError, match="unauthorized"):
            server.run(*doctor)
        server.env["DASHBOARD_TICKET"] = token = ticket(server, once=False)
        output = server.run(*doctor)
        assert "Both transports are healthy." in output and token not in output
        output = server.run(
            "listen", f"{server.address.origin}/dashboard/stream?ticket={token}", "--seconds", "0.5"
        )
        assert "ticket=***" in output and token not in output
