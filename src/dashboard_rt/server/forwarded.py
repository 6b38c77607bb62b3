"""Proxy headers: whose word counts, who the client is, and which host it asked for.

uvicorn's own middleware, with what it leaves out: a dual-stack listener sees IPv4 peers as IPv4-mapped IPv6 addresses
(RFC 4291 §2.5.5.2), a network may be written with host bits (10.0.0.1/8), and there is X-Forwarded-Host.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware, _TrustedHosts

from ..http.security import FORWARDED_HOST

MAPPED_PREFIX = "::ffff:"  # as the system writes it, with the IPv4 address in its own notation behind
MAPPED = IPv6Network("::ffff:0:0/96")
HOST = re.compile(r"(?P<name>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?")
PORT = re.compile(r"[0-9]{1,5}")


class ForwardedHeaders(ProxyHeadersMiddleware):
    """Rewrites `client` and `scheme` of the scope where a proxy in `proxies` speaks, and adds FORWARDED_HOST.

    The Host header itself stays: that a page chose the name by which it reaches us (DNS rebinding) shows there alone.
    """

    def __init__(self, app: Any, proxies: Iterable[str]) -> None:
        super().__init__(app)
        self.trusted_hosts = TrustedProxies(proxies)

    # Not `async`: that would be one frame more, for as long as a plain connection lasts. uvicorn's own is left out too
    # where it would change nothing: a connect pays for each.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        if scope["type"] == "lifespan":
            return self.app(scope, receive, send)  # type: ignore[arg-type]
        client = scope.get("client")
        if client and client[0].startswith(MAPPED_PREFIX):
            client = scope["client"] = (client[0].removeprefix(MAPPED_PREFIX), client[1])
        headers = scope["headers"]
        if (client[0] if client else None) not in self.trusted_hosts or not _forwards(headers):
            return self.app(scope, receive, send)  # type: ignore[arg-type]
        host = forwarded_host(headers)
        if host is not None:
            scope[FORWARDED_HOST] = host
        return super().__call__(scope, receive, send)  # type: ignore[arg-type]


def _forwards(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, _ in headers:  # noqa: SIM110  a generator costs twice as much
        if name[:12] == b"x-forwarded-":
            return True
    return False


class TrustedProxies(_TrustedHosts):
    """uvicorn's set of trusted addresses and networks, for which an IPv4-mapped address is the IPv4 one."""

    def __init__(self, proxies: Iterable[str]) -> None:
        proxies = list(proxies)
        super().__init__("*" if "*" in proxies else [canonical(proxy) for proxy in proxies])

    def _compute_trust(self, host: str) -> bool:
        return super()._compute_trust(unmapped(host))

    def get_trusted_client_address(self, x_forwarded_for: str) -> tuple[str, int]:
        host, port = super().get_trusted_client_address(x_forwarded_for)
        return unmapped(host), port


def canonical(proxy: str) -> str:
    """Return an entry of FORWARDED_ALLOW_IPS as uvicorn understands it."""
    if "/" not in proxy:
        return unmapped(proxy)
    network = ip_network(proxy, strict=False)
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        return f"{network.network_address.ipv4_mapped}/{network.prefixlen - MAPPED.prefixlen}"
    return str(network)


def unmapped(host: str) -> str:
    """Return the IPv4 address of an IPv4-mapped one, and anything else as it is."""
    if ":" not in host:
        return host
    try:
        address = ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return host if mapped is None else str(mapped)


def forwarded_host(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return host and port of X-Forwarded-Host; None without one, or when it holds no host.

    The first value counts: it is that of the proxy which the client has reached. A port of X-Forwarded-Port is added
    where the page's Origin has it too. Often it is wrong: a proxy behind another sends the port of its own listener.
    """
    values = [value for name, value in headers if name == b"x-forwarded-host"]
    if not values:
        return None
    host = values[0].partition(b",")[0].strip().decode("latin-1")
    match = HOST.fullmatch(host)
    if match is None:
        return None
    return host if match["port"] else host + _own_port(dict(headers))


def _own_port(headers: dict[bytes, bytes]) -> str:
    port = headers.get(b"x-forwarded-port", b"").partition(b",")[0].strip().decode("latin-1")
    origin = headers.get(b"origin", b"").decode("latin-1")
    return f":{port}" if PORT.fullmatch(port) and origin.endswith(f":{port}") else ""
