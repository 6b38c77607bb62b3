"""The tables, as the migrations that make them, and the transaction that brings a database up to date.

A migration that was released is never edited: append the next one. All that a start needs runs in one
transaction, so a start that is killed leaves the version before it. Both databases have the same versions: what
PostgreSQL calls otherwise is in its `Dialect`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import BadSetting
from .database import Query, Transaction

# WITHOUT ROWID keeps small rows in the tree of their primary key. Not `updates`: such a tree keeps a quarter of a
# page of a row and chains the rest, which makes a group of 2 KB updates three times as dear.
# AUTOINCREMENT: ids of records that were trimmed do not come back as other records.
FIRST = (
    "CREATE TABLE streams (name TEXT PRIMARY KEY, kind TEXT NOT NULL, oldest_id BIGINT NOT NULL,"
    " last_id BIGINT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE updates (stream TEXT NOT NULL, id BIGINT NOT NULL, text TEXT NOT NULL,"
    " created_at_ms BIGINT NOT NULL, PRIMARY KEY (stream, id))",
    "CREATE TABLE idempotency (stream TEXT NOT NULL, key TEXT NOT NULL, last_id BIGINT NOT NULL,"
    " count BIGINT NOT NULL, PRIMARY KEY (stream, key)) WITHOUT ROWID",
    "CREATE INDEX idempotency_by_age ON idempotency (stream, last_id)",
    "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, created_at_ms BIGINT NOT NULL,"
    " cpu REAL NOT NULL, memory REAL NOT NULL, disk REAL NOT NULL, network REAL NOT NULL, response_time REAL)",
    "CREATE TABLE statuses (id INTEGER PRIMARY KEY AUTOINCREMENT, created_at_ms BIGINT NOT NULL,"
    " status TEXT NOT NULL, message TEXT NOT NULL)",
    "CREATE TABLE activities (id INTEGER PRIMARY KEY AUTOINCREMENT, created_at_ms BIGINT NOT NULL,"
    " message TEXT NOT NULL, level TEXT NOT NULL)",
    "CREATE TABLE job_claims (job TEXT NOT NULL, slot BIGINT NOT NULL, PRIMARY KEY (job, slot)) WITHOUT ROWID",
)

# Times of creation that never fall, so that the updates since a time are one range of ids: `newest_ms` carries the
# last one from append to append. Before, an append that had waited for its turn could be older than the one before it.
# The index holds the last update of each group alone, because the others have its time and are never what is looked
# for: an entry for each of them would make a publish 6 % dearer. Updates from before are all marked as the last.
TIMES_THAT_RISE = (
    "ALTER TABLE streams ADD COLUMN newest_ms BIGINT NOT NULL DEFAULT 0",
    "UPDATE updates SET created_at_ms = risen.ms FROM (SELECT stream, id,"
    " max(created_at_ms) OVER (PARTITION BY stream ORDER BY id) AS ms FROM updates) AS risen"
    " WHERE risen.stream = updates.stream AND risen.id = updates.id AND risen.ms > updates.created_at_ms",
    "ALTER TABLE updates ADD COLUMN ends_group SMALLINT NOT NULL DEFAULT 1",
    "CREATE INDEX updates_by_age ON updates (stream, created_at_ms, id) WHERE ends_group = 1",
    "UPDATE streams SET newest_ms ="
    " COALESCE((SELECT max(created_at_ms) FROM updates WHERE stream = streams.name), 0)",
)

# Single-use tickets that were used, until they could not be used anyway: no second process may take one.
USED_TICKETS = (
    "CREATE TABLE used_tickets (id TEXT PRIMARY KEY, expires_at_ms BIGINT NOT NULL) WITHOUT ROWID",
)

# Who may do what only one process may do (eventlog/lease.py).
LEASES = ("CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, renewals BIGINT NOT NULL)",)

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIRST, TIMES_THAT_RISE, USED_TICKETS, LEASES)
TABLES = re.findall(r"CREATE TABLE (\w+)", " ".join(sql for migration in MIGRATIONS for sql in migration))
# Reads nothing, and fails when one of them is not there: somebody dropped it, or restored a part.
EVERY_TABLE = Query(f"SELECT 1 FROM {', '.join(TABLES)} LIMIT 0")


class Dialect(NamedTuple):
    """What a database has in the place of SQLite's words."""

    words: tuple[tuple[str, str], ...] = ()

    def translate(self, sql: str) -> str:
        """Return a statement of the migrations as this database understands it."""
        for ours, theirs in self.words:
            sql = sql.replace(ours, theirs)
        return sql


SQLITE = Dialect()
# REAL has 4 bytes in PostgreSQL. COLLATE "C": the order of an index must not change with the C library of the server.
POSTGRES = Dialect(
    (
        (" WITHOUT ROWID", ""),
        ("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
        (" REAL", " DOUBLE PRECISION"),
        (" TEXT", ' TEXT COLLATE "C"'),
    )
)


def migrate(migrations: Sequence[Sequence[str]] = MIGRATIONS, dialect: Dialect = SQLITE) -> Transaction[None]:
    """Run the migrations that the database has not seen. BadSetting when it was written by a newer version."""
    yield Query(
        dialect.translate("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    )
    rows = yield Query("SELECT value FROM meta WHERE key = 'schema_version'")
    version = int(rows[0][0]) if rows else 0
    if version > len(migrations):
        raise BadSetting(
            f"DATABASE_URL: the database was written by a newer dashboard-rt (schema {version}, this one knows "
            f"{len(migrations)}). Upgrade, or use another database."
        )
    if version == len(migrations):
        return
    for migration in migrations[version:]:
        for sql in migration:
            yield Query(dialect.translate(sql))
    yield Query(
        "INSERT INTO meta (key, value) VALUES ('schema_version', :version) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        {"version": str(len(migrations))},
    )
