"""How a PostgreSQL is reached, by the log and by the broker: DATABASE_URL and DATABASE_SSL as asyncpg takes them."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

# What asyncpg and the network below it raise. (Its InterfaceError is also raised for values that do not fit.)
FAILURES = (OSError, EOFError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def without_options(url: str) -> str:
    """Return the URL without what stands behind `?`: asyncpg would take it for settings of the server."""
    return url.partition("?")[0]


def network_options(url: str, ssl_word: str) -> dict[str, Any]:
    """Return `ssl`, and for a Unix socket its folder as `host`. `ssl_word` is one of DATABASE_SSL."""
    options: dict[str, Any] = {"ssl": {"off": "disable"}.get(ssl_word, ssl_word)}
    if ssl_word == "verify-full":
        options["ssl"] = ssl.create_default_context()  # by the CAs of this machine, or SSL_CERT_FILE
    if folder := parse_qs(urlsplit(url).query).get("host"):
        options["host"] = folder[0]
    return options


def terminate(connection: Any) -> None:
    """End a connection without a word to the server. Does nothing when it has been lost already."""
    with suppress(*FAILURES):  # what asyncpg has noticed itself it does not let us end once more
        connection.terminate()
