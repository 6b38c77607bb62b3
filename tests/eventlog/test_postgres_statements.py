"""postgres_statements: numbered parameters, inserts of any number of rows, pages that read little behind their end."""

from __future__ import annotations

import pytest

from dashboard_rt.eventlog.database import Insert, Query, Transaction
from dashboard_rt.eventlog.postgres_statements import numbered
from tests.logkit import connected
from tests.services.postgres import PostgresServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(postgres.cleared_database())


@pytest.mark.parametrize(
    ("sql", "statement", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("VALUES (:b, :a, :b)", "VALUES ($1, $2, $1)", ("b", "a")),
        ("SELECT :id1::text || :id", "SELECT $1::text || $2", ("id1", "id")),
    ],
)
def test_names_become_numbers(sql: str, statement: str, names: tuple[str, ...]) -> None:
    assert numbered(sql) == (statement, names)


def inserting(rows: list[tuple[object, ...]]) -> Transaction[None]:
    yield Query("CREATE TEMP TABLE things (a SMALLINT, b TEXT, c DOUBLE PRECISION)")
    yield Insert("things", ("a", "b", "c"), rows)
    found = yield Query("SELECT * FROM things ORDER BY a")
    assert found == rows
    yield Query("DROP TABLE things")


@pytest.mark.parametrize("number", [0, 1, 2, 3000])
async def test_any_number_of_rows_goes_in(url: str, number: int) -> None:
    async with connected(url) as db:
        await db.transact(inserting([(n, '"\\{},' * (n % 3), n / 2) for n in range(number)]))


def making_a_counter() -> Transaction[None]:
    yield Query("DROP SEQUENCE IF EXISTS read")
    yield Query("CREATE SEQUENCE read")


@pytest.mark.parametrize(
    ("chars", "returned", "most_read"),
    [(30_000, 3, 4), (65_536, 1, 4), (300, 219, 300), (1, 2000, 2000)],
)
async def test_a_page_reads_little_behind_its_end(
    url: str, chars: int, returned: int, most_read: int
) -> None:
    async with connected(url) as db:
        await db.transact(making_a_counter())
        sql = "SELECT nextval('read'), repeat('x', :chars) FROM generate_series(1, 2000)"
        rows = await db.page(sql, {"chars": chars}, 65_536)
        assert [number for number, _ in rows] == [*range(1, returned + 1)]
        ((read,),) = await db.rows("SELECT last_value FROM read")
        assert returned <= read <= most_read
