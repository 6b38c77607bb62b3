"""The tables, as the migrations that make them, and the transaction that brings a database up to date.

A migration that was released is never edited: append the next one. All that a start needs runs in one
transaction, so a start that is killed leaves the version before it.
"""

from __future__ import annotations

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

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIRST,)


def migrate(migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> Transaction[None]:
    """Run the migrations that the database has not seen. BadSetting when it was written by a newer version."""
    yield Query("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    rows = yield Query("SELECT value FROM meta WHERE key = 'schema_version'")
    version = int(rows[0][0]) if rows else 0
    if version > len(migrations):
        raise BadSetting(
            f"DATABASE_URL: the database was written by a newer dashboard-rt (schema {version}, this one knows "
            f"{len(migrations)}). Upgrade, or use another file."
        )
    if version == len(migrations):
        return
    for migration in migrations[version:]:
        for sql in migration:
            yield Query(sql)
    yield Query(
        "INSERT INTO meta (key, value) VALUES ('schema_version', :version) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        {"version": str(len(migrations))},
    )
