"""What the environment says about the way to a server: the proxy to use, and the certificates to trust.

Read here and not by httpx and websockets: they read different variables by different rules, and fail in different ways
on what they cannot use. Here every bad value is one sentence that names its variable. Opens no connection.
"""

from __future__ import annotations

import functools
import os
import ssl
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from .connection import TransportName
from .failures import certificates_failure, proxy_setting_failure
from .target import DEFAULT_PORTS, Target, mask_secrets

# ---- proxies

# Which variables count for the scheme of an endpoint, the first that is set: as httpx and as websockets have them.
PROXY_VARIABLES = {
    "http": ("http", "all"),
    "https": ("https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "wss": ("wss", "socks", "https", "all"),
}
PROXY_PORTS = {**DEFAULT_PORTS, "socks5": 1080, "socks5h": 1080}
SOCKS_PACKAGES = {TransportName.SSE: "socksio", TransportName.CABLE: "python_socks"}


class Proxy(NamedTuple):
    """A proxy: its URL, always with a port, and the variable that names it. Its text shows no password."""

    url: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {mask_secrets(self.url)} of {self.variable}"


def find_proxy(target: Target, transport: TransportName) -> Proxy | None:
    """Return the proxy for an endpoint, or None: as in browsers, a server on this machine has none.

    Raises `ConnectionFailed` for one that cannot be used.
    """
    endpoint = urlsplit(target.sse if transport is TransportName.SSE else target.cable)
    if target.loopback or proxy_bypass(endpoint.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    name = next((name for name in PROXY_VARIABLES[endpoint.scheme] if proxies.get(name, "").strip()), None)
    if name is None:
        return None
    variable, text = _spelled(f"{name}_proxy"), proxies[name].strip()
    problem, advice = "it is no URL of a proxy", "write it as http://host:port"
    parts = _read_proxy(text)
    package = SOCKS_PACKAGES[transport]
    if parts is not None and parts.scheme.startswith("socks") and find_spec(package) is None:
        problem = f"it is a SOCKS proxy, and the package {package} is not installed"
        advice = f"install it (`pip install {package.replace('_', '-')}`), name an HTTP proxy"
        parts = None
    if parts is None:
        raise proxy_setting_failure(variable, mask_secrets(text), problem, advice, endpoint.hostname)
    return Proxy(_normal(parts), variable)


def _spelled(name: str) -> str:
    """Return how a variable is spelled in this environment. The lower case wins, as in `getproxies`."""
    spelled = sorted((key for key in os.environ if key.lower() == name), reverse=True)
    return spelled[0] if spelled else "the proxy of this system"


def _read_proxy(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")  # without a scheme, as curl takes it
        usable = parts.scheme in PROXY_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match; a port out of range
        return None
    return parts if usable and text.isascii() and text.isprintable() and " " not in text else None


def _normal(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    if user and ":" not in user:
        user += ":"  # websockets refuses a user without a password
    if parts.port is None:
        host = f"{host.removesuffix(':')}:{PROXY_PORTS[parts.scheme]}"
    return f"{parts.scheme}://{user}{at}{host}"


# ---- certificates


def tls_context(url: str) -> ssl.SSLContext:
    """Return the TLS context for a URL. Where it is not encrypted no store of certificates is read, nor needed.

    Raises `ConnectionFailed` for a store that cannot be used.
    """
    return trusting_context() if urlsplit(url).scheme in ("https", "wss") else plain_context()


@functools.cache
def plain_context() -> ssl.SSLContext:
    """Return a context that trusts nobody."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def trusting_context() -> ssl.SSLContext:
    """Return the context of all encrypted connections: building one reads the store, some 20 ms each."""
    variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), "")
    path = os.environ.get(variable, "")
    try:
        _require_writable(os.environ.get("SSLKEYLOGFILE"))
        if variable == "SSL_CERT_DIR":
            os.listdir(path.partition(os.pathsep)[0])  # OpenSSL takes a missing folder for an empty one
        return httpx.create_ssl_context()
    except OSError as error:
        if error.filename is not None and error.filename == os.environ.get("SSLKEYLOGFILE"):
            variable, path = "SSLKEYLOGFILE", error.filename
        raise certificates_failure(variable or "The store of certificates", path, error) from None


def _require_writable(path: str | None) -> None:
    if path:
        with open(path, "ab"):
            pass
