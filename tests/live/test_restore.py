"""The database file is deleted, replaced or edited, under a running server or while none runs."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, Goodbye, Jumped, Position, follow
from tests.live.publishing import publish
from tests.live.server import Server
from tests.live.wire import until


def database(server: Server) -> Path:
    return server.directory / "live.db"


def backup(server: Server) -> Path:
    """A copy in a file of its own, made while the server runs."""
    source = sqlite3.connect(database(server))
    source.execute("VACUUM INTO ?", (str(server.directory / "backup.db"),))
    source.close()
    return server.directory / "backup.db"


def acknowledged(server: Server, n: int) -> str:
    """Publish until it is acknowledged; the position."""

    def attempt() -> str:
        response = publish(server, "log0", f'{{"n":{n}}}')
        assert response.status in (201, 503), response
        return str(response.json()["position"]) if response.status == 201 else ""

    return until(attempt, "a publish is acknowledged again")


def delete(server: Server) -> None:
    database(server).unlink()


def restore(server: Server) -> None:
    (server.directory / "backup.db").rename(database(server))


@pytest.mark.parametrize(("replace", "kept"), [(delete, 0), pytest.param(restore, 2, marks=pytest.mark.slow)])
def test_a_file_replaced_under_a_server(
    servers: Servers, handover: str, replace: Callable[[Server], None], kept: int
) -> None:
    with servers.new(HANDOVER=handover) as server:
        server.count("log0", 0, 2)
        backup(server)
        before = server.count("log0", 2, 3)
        connected = [follow(transport, server.address, "log0") for transport in TRANSPORTS]
        replace(server)
        assert publish(server, "log0", '{"n":5}').status == 503
        assert server.ask("GET", "/ready").status == 503
        after = Position.of(acknowledged(server, 6))
        assert (after.epoch != Position.of(before).epoch, after.id) == (True, kept + 1)
        for client in connected:
            with pytest.raises((Jumped, Goodbye)) as told, client:
                client.next()
            assert isinstance(told.value, Jumped) or "server_restart" in str(told.value)
        until(lambda: server.ask("GET", "/ready").status == 200, "the server is ready again")
        for transport in TRANSPORTS:
            with follow(transport, server.address, "log0", before) as client:
                assert client.verdict == "gap"
        server.end()
        assert server.wait() == 0
        server.start()
        with follow("sse", server.address, "log0", f"{after.epoch}-{kept}") as client:
            assert (client.verdict, client.numbers(1)) == ("recovered", [6])


@pytest.mark.slow
def test_two_servers_on_a_file_that_is_replaced_go_on_in_one_epoch(servers: Servers) -> None:
    with servers.new() as one:
        one.count("log0", 0, 2)
        backup(one)
        with servers.new(DATABASE_URL=f"sqlite:///{database(one)}") as other:
            one.count("log0", 2, 3)
            restore(one)
            positions = [acknowledged(server, n) for n, server in enumerate((other, one, other, one))]
            assert len({Position.of(position).epoch for position in positions}) == 1
            assert [Position.of(position).id for position in positions] == [3, 4, 5, 6]
            for server in (one, other):
                server.seen("log0", positions[-1])


@pytest.mark.parametrize("suffix", [pytest.param("-shm", marks=pytest.mark.slow), "-wal"])
def test_two_servers_on_a_file_without_its_companions_agree_on_new_ones(
    servers: Servers, suffix: str
) -> None:
    with servers.new() as one:
        one.count("log0", 0, 2)
        with servers.new(DATABASE_URL=f"sqlite:///{database(one)}") as other:
            other.count("log0", 2, 3)
            (one.directory / f"live.db{suffix}").unlink()
            positions = [acknowledged(server, 3 + n) for n, server in enumerate([one, other] * 20)]
            other.end()
            assert other.wait() == 0
        one.kill()
        one.start()
        first = Position.of(positions[0])
        with follow("sse", one.address, "log0", f"{first.epoch}-{first.id - 1}") as client:
            assert (client.verdict, client.numbers(40)) == ("recovered", list(range(3, 43)))


def test_a_file_that_is_moved_behind_a_link_keeps_what_is_acknowledged_then(servers: Servers) -> None:
    with servers.new() as server:
        server.count("log0", 0, 2)
        database(server).rename(server.directory / "moved.db")
        database(server).symlink_to("moved.db")
        after = Position.of(acknowledged(server, 2))
        server.kill()
        server.start()
        with follow("sse", server.address, "log0", f"{after.epoch}-{after.id - 1}") as client:
            assert (client.verdict, client.numbers(1)) == ("recovered", [2])


@pytest.mark.parametrize("missing", [pytest.param((3,), marks=pytest.mark.slow), (5, 6)])
def test_updates_deleted_by_hand_are_a_gap_and_no_obstacle(
    servers: Servers, handover: str, missing: tuple[int, ...]
) -> None:
    with servers.new(HANDOVER=handover) as server:
        last = Position.of(server.count("log0", 1, 6))
        server.end()
        assert server.wait() == 0
        edited = sqlite3.connect(database(server))
        with edited:
            edited.executemany(
                "DELETE FROM updates WHERE stream = 'log0' AND id = ?", [(id,) for id in missing]
            )
        edited.close()
        server.start()
        for transport in TRANSPORTS:
            for id in range(7):
                with follow(transport, server.address, "log0", f"{last.epoch}-{id}") as client:
                    assert client.verdict == ("gap" if id < max(missing) else "recovered"), id
                    assert client.cursor.id == (6 if id < max(missing) else id)
        assert Position.of(server.put("log0", {"n": 7})) == last.plus(1)


@pytest.mark.slow
def test_a_new_epoch_is_refused_beside_what_a_killed_server_left(servers: Servers) -> None:
    with servers.new() as server:
        server.count("log0", 0, 3)
        with follow("sse", server.address, "log0") as client:
            server.run("init", "--new-epoch")  # the server has the WAL open: it is not a stranger's
            with pytest.raises(Jumped):
                client.next()
        server.kill()
        with pytest.raises(
            AssertionError, match=r"live\.db-wal may belong to another database.*init` without"
        ):
            server.run("init", "--new-epoch")
        server.run("init")
        shutil.copyfile(database(server), server.directory / "copy.db")
        server.run("init", "--new-epoch")
        server.start()
        assert Position.of(server.put("log0", {"n": 3})).id == 4
