"""security: the gate, which every request passes before it is routed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from dashboard_rt.errors import UnknownStream
from dashboard_rt.http.responses import counting_handlers
from dashboard_rt.http.security import (
    FORWARDED_HOST,
    MAX_HOST_CHARS,
    PREFIX,
    Gate,
    LifespanState,
    is_allowed_host,
)
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry

FRIEND = "https://friend.example"
HTTP_PATHS = (
    "/",
    "/up",
    "/dashboard/stream",
    "/dashboard/debug",
    "/streams/events",
    "/static/page.js",
    "/none",
)
RawHeaders = Sequence[tuple[str, str]]


# ---- hosts


@pytest.mark.parametrize(
    "authority",
    [
        "localhost",
        "localhost:3000",
        "LocalHost:3000",
        "localhost.",
        "localhost.:3000",
        "dash.localhost",
        "127.0.0.1",
        "127.0.0.1:3000",
        "127.8.9.10",
        "[::1]",
        "[::1]:3000",
    ],
)
def test_this_machine_has_no_other_name(authority: str) -> None:
    assert is_allowed_host(authority, ())
    assert is_allowed_host(authority, ("dash.example",))


@pytest.mark.parametrize(
    "authority",
    [
        "rebind.example",
        "rebind.example:3000",
        "localhost.rebind.example",
        "127.0.0.1.rebind.example",
        "rebind-localhost",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[2001:db8::1]:80",
        "user@localhost",
        "localhost, rebind.example",
        "localhost/x",
        "local host",
        ":3000",
        ".",
        "loc\xe4lhost",
    ],
)
def test_any_other_is_a_stranger_until_it_is_listed(authority: str) -> None:
    assert not is_allowed_host(authority, ())
    assert is_allowed_host(authority, ("*",))


@pytest.mark.parametrize(
    ("authority", "allowed"),
    [
        ("Dash.Example:8443", True),
        ("dash.example.", True),
        ("a.wild.example", True),
        ("a.b.wild.example", True),
        ("[2001:db8::1]:80", True),
        ("wild.example", False),
        ("evilwild.example", False),
        ("x.dash.example", False),
        ("dash.example.evil", False),
    ],
)
def test_listed_hosts(authority: str, allowed: bool) -> None:
    listed = Settings.read({"ALLOWED_HOSTS": "dash.example, *.wild.example, [2001:DB8:0::1]"}).allowed_hosts
    assert is_allowed_host(authority, listed) is allowed


# ---- the gate


async def shown(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the gate made of the scope."""
    about = {"path": scope["path"], "root_path": scope["root_path"], "prefix": scope.get(PREFIX, "")}
    await JSONResponse(about)(scope, receive, send)


class Everything:
    """An endpoint in the shape that takes every method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await shown(scope, receive, send)


async def unknown(request: object) -> JSONResponse:
    raise UnknownStream("There is no such stream.")


class Guarded:
    """An app behind its gate; every path answers what the app saw of it."""

    def __init__(self, running: bool = True, **environ: str) -> None:
        self.telemetry = Telemetry()
        settings, lifespan = Settings.read(environ), LifespanState()
        if running:
            lifespan.begin()
        self.app = Starlette(
            routes=[
                Route("/dashboard/refresh", unknown, methods=["GET"]),
                WebSocketRoute("/cable", Everything()),
                Mount("/", Everything()),
            ],
            middleware=[Middleware(Gate, settings, self.telemetry, lifespan)],
            exception_handlers=counting_handlers(self.telemetry),
        )

    def ask(
        self, path: str = "/", headers: RawHeaders = (("host", "localhost"),), **scope: Any
    ) -> tuple[int, dict[str, str], Any]:
        """Status, head and JSON of the answer; for a WebSocket those of its denial."""
        full = {
            "type": "http",
            "method": "GET",
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            **scope,
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": f"{full['type']}.{'connect' if full['type'] == 'websocket' else 'request'}"}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.app(full, receive, send))
        if sent[0]["type"] == "websocket.close":
            return sent[0]["code"], {}, None
        head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message["body"] for message in sent[1:])
        return sent[0]["status"], head, json.loads(body) if body else None

    def handshake(self, headers: RawHeaders, denial: bool = True) -> tuple[int, dict[str, str], Any]:
        extensions: Mapping[str, Any] = {"websocket.http.response": {}} if denial else {}
        return self.ask("/cable", headers, type="websocket", extensions=extensions, subprotocols=[])

    def refused(self, reason: str) -> float:
        return self.telemetry.value("refused", reason=reason)


@pytest.mark.parametrize("path", HTTP_PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_a_strangers_host_is_misdirected_whatever_it_asks_for(path: str, method: str) -> None:
    guarded = Guarded()
    host = "rebind.example:3000"
    headers = [("host", host), ("origin", f"http://{host}"), ("authorization", "Bearer t")]
    status, head, answer = guarded.ask(path, headers, method=method)
    assert (status, answer["error"]) == (421, "misdirected_request")
    # The name without the port, as it would have to be listed.
    assert answer["detail"].startswith("This server is not 'rebind.example': list that host in ALLOWED_HOSTS")
    assert not [name for name in head if name.startswith("access-control")]
    assert guarded.refused("misdirected_request") == 1


def test_a_strangers_handshake_is_refused_without_an_upgrade() -> None:
    guarded, headers = Guarded(), [("host", "rebind.example"), ("origin", "http://rebind.example")]
    status, _, answer = guarded.handshake(headers)
    assert (status, answer["error"]) == (421, "misdirected_request")
    assert guarded.handshake(headers, denial=False)[0] == 1008
    assert guarded.refused("misdirected_request") == 2


@pytest.mark.parametrize("headers", [[], [("host", "")], [("host", " localhost\t")]])
def test_hosts_that_no_stranger_can_send(headers: RawHeaders) -> None:
    """Without a Host it is HTTP/1.0; white space around it is no part of it."""
    assert Guarded().ask("/", headers)[0] == 200


def test_two_hosts_are_one_too_many() -> None:
    assert Guarded().ask("/", [("host", "localhost"), ("host", "localhost")])[0] == 400


def test_a_host_longer_than_any_name_is_not_looked_at() -> None:
    status, _, answer = Guarded().ask("/", [("host", "x" * MAX_HOST_CHARS + ".localhost")])
    assert status == 421 and len(answer["detail"]) < 200


def test_without_a_list_a_server_in_public_answers_to_any_host() -> None:
    assert Guarded(HOST="0.0.0.0").ask("/", [("host", "dash.example")])[0] == 200
    listed = Guarded(HOST="0.0.0.0", ALLOWED_HOSTS="dash.example")
    assert listed.ask("/", [("host", "dash.example")])[0] == 200
    assert listed.ask("/", [("host", "other.example")])[0] == 421


@pytest.mark.parametrize(
    ("listed", "forwarded", "status"),
    [
        ("dash.example", "dash.example:443", 200),
        ("dash.example", "rebind.example", 421),
        ("*", "rebind.example", 200),
        ("", "dash.example", 200),  # HOST says nothing about the names that a proxy has
    ],
)
def test_the_host_that_a_proxy_was_asked_for_is_checked_where_hosts_are_listed(
    listed: str, forwarded: str, status: int
) -> None:
    guarded = Guarded(ALLOWED_HOSTS=listed)
    seen: dict[str, Any] = {FORWARDED_HOST: forwarded}
    assert guarded.ask("/", **seen)[0] == status
    forged: dict[str, Any] = {FORWARDED_HOST: "localhost"}
    assert guarded.ask("/", [("host", "rebind.example")], **forged)[0] == (200 if listed == "*" else 421), (
        "a page can forge the header: the true one is checked in any case"
    )


def test_an_app_that_is_not_started_says_so() -> None:
    guarded = Guarded(running=False)
    status, head, answer = guarded.ask("/dashboard/stream")
    assert (status, answer["error"]) == (503, "not_started") and "retry-after" in head
    assert "embedding.md" in answer["detail"]
    status, _, answer = guarded.handshake([("host", "localhost")])
    assert (status, answer["error"]) == (503, "not_started")
    assert guarded.refused("not_started") == 2


# ---- paths


@pytest.mark.parametrize(
    ("root_path", "mounted_at", "asked", "path", "prefix"),
    [
        ("", "", "/dashboard", "/dashboard", ""),
        ("", "", "/", "/", ""),
        ("", "", "/dashboard/", "/dashboard", ""),
        ("", "", "/dashboard//", "/dashboard/", ""),
        ("", "", "//", "/", ""),
        # a proxy that leaves the prefix, and one that removes it
        ("/dash", "", "/dash/dashboard", "/dashboard", "/dash"),
        ("/dash", "", "/dashboard", "/dashboard", "/dash"),
        ("/dash", "", "/dash", "/", "/dash"),
        ("/dash", "", "/dash/", "/", "/dash"),
        ("/dash", "", "/dash/cable/", "/cable", "/dash"),
        ("/a/b", "", "/a/b/up", "/up", "/a/b"),
        ("/dashboard", "", "/dashboard/dashboard/stream", "/dashboard/stream", "/dashboard"),
        # an app that this one is mounted in, with and without a proxy before it
        ("", "/in", "/in/dashboard", "/dashboard", "/in"),
        ("", "/in", "/dashboard", "/dashboard", "/in"),
        ("", "/in/", "/in/dashboard", "/dashboard", "/in"),
        ("/out/in", "/in", "/in/dashboard", "/dashboard", "/out/in"),
        ("/dash", "/dash", "/dash/dash/up", "/up", "/dash"),
    ],
)
def test_paths_are_brought_into_one_form(
    root_path: str, mounted_at: str, asked: str, path: str, prefix: str
) -> None:
    status, _, seen = Guarded(ROOT_PATH=root_path).ask(asked, root_path=mounted_at)
    assert (status, seen) == (200, {"path": path, "root_path": "", "prefix": prefix})


# ---- pages of allowed origins


def preflight(origin: str, method: str = "GET") -> RawHeaders:
    return [
        ("host", "localhost"),
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "last-event-id,cache-control"),
    ]


@pytest.mark.parametrize(
    "path", ["/dashboard/stream", "/dashboard/refresh", "/dashboard/metrics", "/dashboard/stream/"]
)
def test_a_preflight_of_an_allowed_origin_is_answered(path: str) -> None:
    status, head, _ = Guarded(ALLOWED_ORIGINS=FRIEND).ask(path, preflight(FRIEND), method="OPTIONS")
    assert status == 204 and "content-length" not in head
    assert head["access-control-allow-origin"] == FRIEND and head["vary"] == "Origin"
    assert head["access-control-allow-credentials"] == "true"
    assert head["access-control-allow-methods"] == "GET, HEAD"
    assert {"last-event-id", "cache-control"} <= set(head["access-control-allow-headers"].split(", "))
    assert int(head["access-control-max-age"]) > 0


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://friend.example.evil", ""])
def test_a_preflight_of_any_other_is_refused(origin: str) -> None:
    guarded = Guarded(ALLOWED_ORIGINS=FRIEND)
    status, head, answer = guarded.ask("/dashboard/stream", preflight(origin), method="OPTIONS")
    assert (status, answer["error"]) == (403, "forbidden")
    assert not [name for name in head if name.startswith("access-control")]
    assert guarded.refused("forbidden") == 1


@pytest.mark.parametrize("path", ["/streams/events", "/dashboard/debug", "/metrics", "/"])
def test_nothing_else_is_for_pages_of_other_origins(path: str) -> None:
    guarded = Guarded(ALLOWED_ORIGINS=FRIEND)
    for method in ("OPTIONS", "GET"):
        _, head, _ = guarded.ask(path, preflight(FRIEND), method=method)
        assert not [name for name in head if name.startswith("access-control")]


def test_answers_and_errors_can_be_read_by_pages_of_allowed_origins_alone() -> None:
    guarded = Guarded(ALLOWED_ORIGINS=FRIEND)
    shared = (("/dashboard/metrics", 200), ("/dashboard/refresh", 404), ("/static/client/index.js", 200))
    for path, expected in shared:
        status, head, _ = guarded.ask(path, [("host", "localhost"), ("origin", FRIEND)])
        assert (status, head["access-control-allow-origin"]) == (expected, FRIEND)
        assert head["access-control-expose-headers"] == "x-stream-position"
        for other in ([], [("origin", "https://evil.example")]):
            status, head, _ = guarded.ask(path, [("host", "localhost"), *other])
            assert status == expected and "access-control-allow-origin" not in head
    _, head, _ = guarded.ask("/static/page.js", [("host", "localhost"), ("origin", FRIEND)])
    assert "access-control-allow-origin" not in head


def test_a_handshake_for_a_path_that_pages_may_read_is_routed_like_any_other() -> None:
    guarded = Guarded(ALLOWED_ORIGINS=FRIEND)
    scope: dict[str, Any] = {"type": "websocket", "subprotocols": []}
    status, _, _ = guarded.ask("/dashboard/refresh", [("host", "localhost"), ("origin", FRIEND)], **scope)
    assert status == 200, "the app was asked"
