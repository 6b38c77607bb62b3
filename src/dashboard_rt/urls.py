"""The URLs of the services: how the text of DATABASE_URL, REDIS_URL and BROKER_URL is checked. Readers as in env.py."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

# Values of `sslmode` in a URL of PostgreSQL (libpq's), in words of DATABASE_SSL.
SSL_WORDS = {
    "disable": "off",
    "allow": "prefer",
    "prefer": "prefer",
    "require": "require",
    "verify-ca": "verify-full",
    "verify-full": "verify-full",
}
# What providers put into their URLs and what changes nothing for us.
UNUSED_OPTIONS = ("application_name", "channel_binding", "connect_timeout", "target_session_attrs")


def database_url(text: str) -> str:
    """Accept `sqlite:///<path>`, or `postgres://` or `postgresql://` with a host. ValueError for anything else.

    Also for a SQLite database in memory, because each of our connections would see a database of its own, and for
    options of PostgreSQL that would be ignored in silence.
    """
    if not _is_sqlite_file(text) and not _names_postgres_database(text):
        raise ValueError(
            "the URL of a SQLite file, such as sqlite:///./dashboard.db, or of PostgreSQL, such as "
            "postgres://user:password@host:5432/name, with no option but sslmode"
        )
    return text


def _is_sqlite_file(text: str) -> bool:
    return re.fullmatch(r"sqlite:///[^?#]+", text) is not None and text != "sqlite:///:memory:"


def is_postgres(url: str) -> bool:
    """Tell whether the URL of a database is one of PostgreSQL."""
    return url.startswith(("postgres://", "postgresql://"))


def _names_postgres_database(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        return False
    named = bool(parts.path.strip("/")) and bool(parts.hostname or options.get("host", "").startswith("/"))
    known = options.keys() <= {"host", "sslmode", *UNUSED_OPTIONS}
    known = known and options.get("sslmode", "prefer") in SSL_WORDS
    return is_postgres(text) and named and known and not parts.fragment


def sslmode(url: str) -> str:
    """Return what the `sslmode` in a URL of PostgreSQL is in words of DATABASE_SSL; without one `prefer`."""
    return SSL_WORDS[dict(parse_qsl(urlsplit(url).query)).get("sslmode", "prefer")]


def redis_url(text: str) -> str:
    """Accept `redis://` or `rediss://` (TLS), with a host and without options. ValueError for anything else.

    An option after a question mark could undo what the connections rely on.
    """
    complaint = ValueError(
        "the URL of a Redis, such as redis://user:password@host:6379/0, or rediss:// for TLS, without options behind "
        "it; a character other than letters, digits and ._~- in the password is written as %40"
    )
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise complaint from None
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.query or parts.fragment:
        raise complaint
    if not re.fullmatch(r"/?[0-9]{0,5}", parts.path) or not re.fullmatch(r"[!-~]+", text):
        raise complaint
    return text


def broker_url(text: str) -> str:
    """Accept `memory://`, `postgres` or the URL of a Redis. ValueError for anything else."""
    if text in ("memory://", "postgres"):
        return text
    try:
        return redis_url(text)
    except ValueError as error:
        raise ValueError(f"memory://, postgres or {error}") from None
