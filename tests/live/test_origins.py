"""Origins on the wire: CORS of the stream, and cable handshakes refused with 404 and no upgrade (protocol §§1-2).

Which origins are allowed is held by tests/http/test_origins.py.
"""

from __future__ import annotations

import pytest

from tests import needs
from tests.live.cable import V1, upgrade
from tests.live.conftest import Servers
from tests.live.server import Server
from tests.live.sse import SseClient
from tests.live.wire import read_body

FRIEND = "https://dashboard.example"


@pytest.fixture
def guarded(servers: Servers, handover: str) -> Server:
    return servers.get(HANDOVER=handover, ALLOWED_ORIGINS=f"{FRIEND},https://other.example")


def test_cors_of_the_stream(guarded: Server) -> None:
    for origin in (FRIEND, "https://evil.example", "null", None):
        headers = [] if origin is None else [("origin", origin)]
        with SseClient(guarded.address, "/dashboard/stream", headers) as client:
            assert client.head.status == 200, "a browser refuses by itself where the header is missing"
            assert client.head.get("access-control-allow-origin") == (FRIEND if origin == FRIEND else None)
            assert "origin" in (client.head.get("vary") or "").lower()
            assert client.event().name == "verdict"


def test_a_fetch_of_an_allowed_origin_is_let_in_by_its_preflight_and_can_read_errors(guarded: Server) -> None:
    """What a replacement of EventSource asks that uses fetch: it sends headers that a page may not just send."""
    ask_first = [
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "last-event-id"),
    ]
    for origin, status in ((FRIEND, 204), ("https://evil.example", 403)):
        allowed = origin if origin == FRIEND else None
        for path in ("/dashboard/stream", "/dashboard/refresh", "/dashboard/metrics"):
            answer = guarded.ask("OPTIONS", path, [("origin", origin), *ask_first])
            assert (answer.status, answer.head.get("access-control-allow-origin")) == (status, allowed)
            assert guarded.ask("OPTIONS", path).status == 405, "no preflight"
        for path in ("/dashboard/refresh", "/dashboard/stream?stream=unknown"):
            answer = guarded.ask("GET", path, [("origin", f"{origin} ")])
            assert answer.head.get("access-control-allow-origin") == allowed
            assert answer.head.get("access-control-expose-headers") == (allowed and "x-stream-position")


def test_a_cable_of_an_allowed_origin(guarded: Server) -> None:
    for origin in (guarded.address.origin, FRIEND, "https://other.example"):
        wire, head = upgrade(guarded.address, (V1,), [("origin", origin)])
        assert head.status == 101
        wire.close()


def test_a_cable_of_another_origin_is_404_without_upgrade(guarded: Server) -> None:
    """As Rails answers; check_logs holds that it leaves no traceback."""
    own = guarded.address.origin
    for origin in (
        "https://evil.example",
        "null",
        f"{own}.evil.example",
        "http://127.0.0.1:1",
        "garbage",
        "",
    ):
        wire, head = upgrade(guarded.address, (V1,), [("origin", origin)])
        assert head.status == 404, origin
        assert head.get("upgrade") is None
        read_body(wire, head)
        wire.close()


# ---- behind a proxy, whose IPv4 address a listener of both families sees as an IPv6 one


@pytest.fixture
def proxied(servers: Servers, handover: str) -> Server:
    needs.ipv6()
    return servers.get(HANDOVER=handover, HOST="::", DEMO="on", MAX_CLIENTS_PER_ADDRESS="1")


def test_a_page_behind_a_proxy_is_one_of_ours(proxied: Server) -> None:
    forwarded = [("x-forwarded-host", "dashboard.example"), ("x-forwarded-proto", "https")]
    for origin, allowed in ((FRIEND, True), ("https://evil.example", False), (proxied.address.origin, False)):
        headers = [("origin", origin), *forwarded]
        wire, head = upgrade(proxied.address, (V1,), headers)
        assert head.status == (101 if allowed else 404), origin
        wire.close()
        triggered = proxied.ask("POST", "/dashboard/trigger-test-pubsub", headers)
        assert triggered.status == (201 if allowed else 403), origin


def test_one_address_counts_once_in_both_notations(proxied: Server) -> None:
    forms = ("::ffff:198.51.100.4", "198.51.100.4", "::ffff:198.51.100.4")
    told = []
    clients = [SseClient(proxied.address, "/dashboard/stream", [("x-forwarded-for", form)]) for form in forms]
    for client in clients:
        told.append(client.event().name)
        client.close()
    assert told == ["verdict", "goodbye", "goodbye"]
