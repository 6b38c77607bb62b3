"""What a failure of PostgreSQL means: whether its connection is still of use, whether waiting helps, what to say.

Pure. The words say what PostgreSQL said, which never holds the password.
"""

from __future__ import annotations

import socket
import ssl

import asyncpg

from ..errors import BadSetting
from ..postgres import FAILURES

SERVER_FAILURES = asyncpg.PostgresError  # of FAILURES, what the server itself says
# SQLSTATE of what leaves a connection of no use (https://www.postgresql.org/docs/current/errcodes-appendix.html).
BREAKING = (
    "08",  # the connection failed
    "57P",  # the server shuts down, or starts
    "25006",  # read-only: another server is the primary now
    "25P03",  # idle in a transaction for too long: this process stood still
    "26000",  # a prepared statement is gone: a pooler gave us another session
    "0A000",  # the plan of a prepared statement does not fit the tables any more
    "3F000",  # the schema is gone
    "42P01",  # a table is gone: the database was emptied, and is made anew as at the start
    "42703",  # a column is gone
    "53300",  # too many connections
    "XX",  # an internal error
)
# What a person has to change, by SQLSTATE: waiting does not help.
TO_CHANGE = {
    "28P01": "the password or the user is wrong",
    "28000": "this user may not connect (pg_hba.conf; DATABASE_SSL=require where the server wants TLS)",
    "3D000": "there is no such database: create it with createdb",
    "42501": "this user may not do that: GRANT CREATE ON SCHEMA public TO it, which since PostgreSQL 15 nobody has",
    "3F000": "there is no schema to create tables in",
    "42P01": "some of its tables are missing: restore them, or empty the database whole",
    "42P07": "some of its tables are missing: restore them, or empty the database whole",
    "08P01": "a pooler stands in front that refuses our time limits: see PgBouncer in docs/operations.md",
    "26000": "a pooler stands in front that loses prepared statements: see PgBouncer in docs/operations.md",
}
TO_WAIT = {
    "25006": "it is read-only: a standby, until it is promoted",
    "53300": "it has no connection to spare: raise max_connections, or run fewer processes (each takes three, "
    "or five with BROKER_URL=postgres)",
    "55P03": "another process has locked what this one needs",
    "57014": "a statement took too long",
}

# What asyncpg says to whoever uses a connection that it has given up meanwhile.
LOST = ("released back to the pool", "connection is closed", "underlying connection is closed")


def breaks(error: BaseException) -> bool:
    """Tell whether the connection on which this was raised has to be thrown away."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "08").startswith(BREAKING)
    # A value that does not fit is refused before it is sent (a ValueError too): nothing has happened to the connection.
    return isinstance(error, FAILURES) and not isinstance(error, ValueError)


def is_locked_out(error: BaseException) -> bool:
    """Tell whether another process has held a lock for longer than `lock_timeout`."""
    return isinstance(error, asyncpg.LockNotAvailableError)


def needs_change(error: BaseException) -> bool:
    """Tell whether a connection that failed so fails again until somebody changes a setting."""
    if isinstance(error, BadSetting):
        return True
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate in TO_CHANGE
    return isinstance(error, ssl.SSLCertVerificationError) or "rejected SSL" in str(error)


def describe(error: BaseException) -> str:
    """Return what happened, as a part of a sentence."""
    if isinstance(error, asyncpg.PostgresError):
        known = {**TO_CHANGE, **TO_WAIT}.get(error.sqlstate or "")
        said = str(error).partition("\n")[0]  # without hints and details
        return f"{known}: {said}" if known else said
    return _describe_network(error) or str(error) or type(error).__name__


def _describe_network(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be verified ({error.verify_message}): name its CA in SSL_CERT_FILE"
    if isinstance(error, ConnectionError) and "rejected SSL" in str(error):
        return "it speaks no TLS: set DATABASE_SSL=off, or it is no PostgreSQL"
    if isinstance(error, socket.gaierror):
        return f"its host name cannot be resolved ({error.strerror})"
    if isinstance(error, asyncpg.exceptions.TargetServerAttributeNotMatched):
        return TO_WAIT["25006"]
    if isinstance(error, asyncpg.InterfaceError) and any(words in str(error) for words in LOST):
        return "the connection was lost"
    return "it does not answer" if isinstance(error, TimeoutError) else None
