"""How many connections a PostgreSQL permits to this user, by each limit that it has, and how many it has now."""

from __future__ import annotations

from ..types import ConnectionLimit
from .database import Database

# What pg_stat_activity shows to every user: who connects to a database, and not what PostgreSQL itself runs there.
CLIENTS = "(SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL{})"
# Superusers have the reserved connections too, and no other limit. Others can be given connections of their own from
# PostgreSQL 16 on (reserved_connections), which we do not count on.
LIMITS = f"""
WITH me AS (SELECT * FROM pg_roles WHERE rolname = current_user),
here AS (SELECT * FROM pg_database WHERE datname = current_database())
SELECT 'max_connections, less what it reserves',
  CAST(current_setting('max_connections') AS integer) - CASE WHEN rolsuper THEN 0 ELSE
    CAST(current_setting('superuser_reserved_connections') AS integer)
    + COALESCE(CAST(current_setting('reserved_connections', true) AS integer), 0) END,
  {CLIENTS.format("")}
FROM me
UNION ALL
SELECT 'CONNECTION LIMIT of the role ' || rolname, rolconnlimit, {CLIENTS.format(" AND usesysid = me.oid")}
FROM me WHERE rolconnlimit >= 0 AND NOT rolsuper
UNION ALL
SELECT 'CONNECTION LIMIT of the database ' || datname, datconnlimit, {CLIENTS.format(" AND datid = here.oid")}
FROM here, me WHERE datconnlimit >= 0 AND NOT rolsuper
"""


async def connection_limits(db: Database, own: int) -> list[ConnectionLimit]:
    """Return every limit that concerns this user. Raises LogUnavailable.

    `own`: the connections that this process has, which are not counted.
    """
    rows = await db.rows(LIMITS)
    return [ConnectionLimit(str(name), int(most), max(0, int(taken) - own)) for name, most, taken in rows]
