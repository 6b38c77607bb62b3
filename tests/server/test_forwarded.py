"""forwarded: whose X-Forwarded-* headers count, and what becomes of them."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from dashboard_rt.http.security import request_host
from dashboard_rt.server.forwarded import ForwardedHeaders, canonical, forwarded_host, unmapped

PROXY = "10.0.0.7"
MAPPED_PROXY = "::ffff:10.0.0.7"


def seen(
    peer: str | None, headers: dict[str, str], proxies: tuple[str, ...] = (PROXY,), kind: str = "http"
) -> Scope:
    """The scope that the app is called with."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    scope: dict[str, Any] = {
        "type": kind,
        "scheme": "http",
        "client": None if peer is None else (peer, 1234),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    unused: Any = None
    asyncio.run(_await(ForwardedHeaders(app, proxies)(scope, unused, unused)))
    return scopes[0]


async def _await(awaitable: Any) -> None:
    await awaitable


# ---- whose word counts


@pytest.mark.parametrize(
    ("peer", "proxies"),
    [
        (PROXY, (PROXY,)),
        (MAPPED_PROXY, (PROXY,)),
        (MAPPED_PROXY, ("10.0.0.0/8",)),
        (MAPPED_PROXY, ("10.9.9.9/8",)),
        (MAPPED_PROXY, ("192.0.2.1", "::ffff:10.0.0.7")),
        (PROXY, ("::ffff:10.0.0.0/104",)),
        (PROXY, ("*",)),
        (PROXY, ("192.0.2.1", "*")),
        ("2001:db8::1", ("2001:db8::9/32",)),
        (None, ("*",)),
    ],
)
def test_a_proxy_is_known_in_every_notation(peer: str | None, proxies: tuple[str, ...]) -> None:
    headers = {
        "x-forwarded-for": "198.51.100.4",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "a.example",
    }
    scope = seen(peer, headers, proxies)
    assert (scope["client"][0], scope["scheme"]) == ("198.51.100.4", "https")
    assert request_host(scope) == "a.example"


@pytest.mark.parametrize("peer", ["10.0.0.8", "::ffff:10.0.0.8", "2001:db8::a00:7", None])
def test_a_stranger_is_not_believed(peer: str | None) -> None:
    headers = {"x-forwarded-for": "198.51.100.4", "x-forwarded-host": "a.example", "host": "real.example"}
    scope = seen(peer, headers)
    assert scope["client"] is None or scope["client"][0] == unmapped(str(peer))
    assert (scope["scheme"], request_host(scope)) == ("http", "real.example")


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("peer", ["::ffff:198.51.100.4", "198.51.100.4"])
def test_a_client_has_one_address_whatever_the_listener(kind: str, peer: str) -> None:
    assert seen(peer, {}, kind=kind)["client"] == ("198.51.100.4", 1234)


@pytest.mark.parametrize("client", ["::ffff:198.51.100.4", "0:0:0:0:0:FFFF:198.51.100.4", "198.51.100.4"])
def test_a_client_has_one_address_whatever_the_proxy_calls_it(client: str) -> None:
    scope = seen(PROXY, {"x-forwarded-for": f"203.0.113.1, {client}, ::ffff:10.0.0.7"})
    assert scope["client"][0] == "198.51.100.4"


def test_the_lifespan_has_no_client() -> None:
    assert seen(None, {}, kind="lifespan")["type"] == "lifespan"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::FFFF:7f00:1", "127.0.0.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("unknown:thing", "unknown:thing"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_unmapped(host: str, address: str) -> None:
    assert unmapped(host) == address


def test_networks_that_uvicorn_would_take_for_names() -> None:
    assert canonical("10.1.2.3/8") == "10.0.0.0/8"
    assert canonical("::ffff:10.1.2.3/120") == "10.1.2.0/24"
    assert canonical("2001:db8::5/64") == "2001:db8::/64"


# ---- the host


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ({}, None),
        ({"x-forwarded-host": "a.example"}, "a.example"),
        ({"x-forwarded-host": " a.example:8443 , inner.example"}, "a.example:8443"),
        ({"x-forwarded-host": "[2001:db8::1]:8443"}, "[2001:db8::1]:8443"),
        ({"x-forwarded-host": "[2001:db8::1]"}, "[2001:db8::1]"),
        ({"x-forwarded-host": ""}, None),
        ({"x-forwarded-host": "a.example/path"}, None),
        ({"x-forwarded-host": "u@a.example"}, None),
        ({"x-forwarded-host": "a.example:port"}, None),
        ({"x-forwarded-host": "\u00e4.example"}, None),
        ({"x-forwarded-port": "8443"}, None),
    ],
)
def test_forwarded_host(headers: dict[str, str], host: str | None) -> None:
    assert forwarded_host([(name.encode(), value.encode()) for name, value in headers.items()]) == host


def test_of_several_lines_the_first_counts() -> None:
    assert (
        forwarded_host([(b"x-forwarded-host", b"a.example"), (b"x-forwarded-host", b"b.example")])
        == "a.example"
    )


@pytest.mark.parametrize(
    ("port", "origin", "host"),
    [
        ("8443", "https://a.example:8443", "a.example:8443"),
        ("8443, 80", "https://a.example:8443", "a.example:8443"),
        ("8080", "https://a.example", "a.example"),  # of a proxy behind the one that the browser knows
        ("443", "https://a.example", "a.example"),
        ("", "https://a.example", "a.example"),
        ("x", "https://a.example:x", "a.example"),
    ],
)
def test_a_forwarded_port_counts_where_the_page_has_it(port: str, origin: str, host: str) -> None:
    headers = {"x-forwarded-host": "a.example", "x-forwarded-port": port, "origin": origin}
    assert request_host(seen(PROXY, headers)) == host


def test_the_true_host_header_stays() -> None:
    scope = seen(PROXY, {"x-forwarded-host": "a.example", "host": "127.0.0.1:3000"})
    assert dict(scope["headers"])[b"host"] == b"127.0.0.1:3000"


def test_no_frame_is_added_to_a_plain_connection() -> None:
    assert not inspect.iscoroutinefunction(ForwardedHeaders.__call__)
