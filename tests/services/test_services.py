"""What the tests rely on: their services can be frozen, killed and started again, and come back with what they kept."""

from __future__ import annotations

from pathlib import Path

from tests.services.postgres import PostgresServer
from tests.services.process import service_directory
from tests.services.redis import RedisServer


def test_a_redis_comes_back_empty(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    server.ask("SET", "key", "value")
    assert server.ask("GET", "key") == b"$5\r\nvalue\r\n"
    server.kill()
    assert server.ask("PING") == b""
    server.start()
    assert server.ask("GET", "key") == b"$-1\r\n"
    server.kill()


def test_a_postgres_comes_back_with_what_was_committed() -> None:
    with service_directory() as directory:
        server = PostgresServer(directory)
        server.start()
        name = server.new_database()
        server.sql("CREATE TABLE kept AS SELECT 1 AS one", name)
        server.freeze()
        server.thaw()
        server.kill()
        assert not server.answers()
        server.start()
        assert server.sql("SELECT one FROM kept", name) == "1"
        server.kill()
