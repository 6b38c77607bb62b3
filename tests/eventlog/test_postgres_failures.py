"""postgres_failures: which errors end a connection, which need somebody to change a setting, and their words."""

from __future__ import annotations

import socket

import asyncpg
import pytest

from dashboard_rt.errors import BadSetting
from dashboard_rt.eventlog.postgres_failures import breaks, describe, needs_change


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(),
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.AdminShutdownError("terminating"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
        asyncpg.TooManyConnectionsError("too many clients"),
        asyncpg.IdleInTransactionSessionTimeoutError("idle"),
        asyncpg.InvalidCachedStatementError("plan"),
        asyncpg.exceptions.TargetServerAttributeNotMatched("standby"),
    ],
)
def test_what_ends_a_connection(error: Exception) -> None:
    assert breaks(error)
    assert not needs_change(error)


def test_a_missing_table_ends_it_and_needs_somebody() -> None:
    error = asyncpg.UndefinedTableError("no meta")
    assert breaks(error)
    assert needs_change(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.LockNotAvailableError("lock timeout"),
        asyncpg.QueryCanceledError("statement timeout"),
        asyncpg.UniqueViolationError("twice"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.exceptions.DataError("invalid input: expected str"),
        ValueError("a fault of ours"),
    ],
)
def test_what_leaves_it_of_use(error: Exception) -> None:
    assert not breaks(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            asyncpg.InvalidPasswordError('password authentication failed for user "u"'),
            "the password or the user",
        ),
        (asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry"), "DATABASE_SSL=require"),
        (asyncpg.InvalidCatalogNameError('database "d" does not exist'), "createdb"),
        (asyncpg.InsufficientPrivilegeError("permission denied for schema public"), "GRANT CREATE"),
        (ConnectionError("PostgreSQL server at ... rejected SSL upgrade"), "DATABASE_SSL=off"),
        (asyncpg.ProtocolViolationError("unsupported startup parameter: lock_timeout"), "see PgBouncer"),
        (asyncpg.InvalidSQLStatementNameError("no such statement"), "loses prepared statements"),
        (BadSetting("a newer schema"), "a newer schema"),
    ],
)
def test_what_somebody_has_to_change(error: Exception, words: str) -> None:
    assert needs_change(error)
    assert words in describe(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "it does not answer"),
        (
            asyncpg.InterfaceError("cannot call f(): connection has been released back to the pool"),
            "the connection was lost",
        ),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved (Name or service not known)"),
        (
            asyncpg.TooManyConnectionsError("sorry"),
            "each takes three, or five with BROKER_URL=postgres): sorry",
        ),
        (asyncpg.UniqueViolationError("twice"), "twice"),
        (EOFError(), "EOFError"),
        (asyncpg.UniqueViolationError("twice\nDETAIL:  more"), "twice"),
    ],
)
def test_words(error: Exception, words: str) -> None:
    assert describe(error).endswith(words)
