"""Kill -9 while publishing, with fifty resuming clients of each transport; a disk that hangs."""

from __future__ import annotations

import http.client
import subprocess
import threading
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.live.conftest import Servers
from tests.live.followers import ENDINGS, Follower, Position, follow
from tests.live.publishing import publish
from tests.live.server import SERVE, Server
from tests.live.wire import until
from tests.needs import program

pytestmark = pytest.mark.slow

CLIENTS = 50
KILLS = 3
PUBLISHERS = 4
ACKNOWLEDGED_BETWEEN_KILLS = 60
STREAM = "log0"
END = -1


class Resuming(threading.Thread):
    """A client that reconnects from its last position until it has seen the last update."""

    def __init__(self, server: Server, transport: str) -> None:
        super().__init__(daemon=True)
        self.transport = transport
        self.seen: list[tuple[int, int]] = []
        self.error: BaseException | None = None
        self._address = server.address
        self._first: Follower | None = follow(transport, server.address, STREAM)
        self.resumed = 0

    def run(self) -> None:
        assert self._first is not None
        cursor = self._first.cursor
        try:
            while not (self.seen and self.seen[-1][1] == END):
                cursor = self._connection(cursor)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def _connection(self, cursor: Position) -> Position:
        """One connection, from `cursor` until it ends; the cursor at its end."""
        try:
            follower = self._first or follow(self.transport, self._address, STREAM, cursor)
        except ENDINGS:
            threading.Event().wait(0.05)  # between two attempts, as the server is down
            return cursor
        if self._first is None:
            assert follower.verdict == "recovered", follower.verdict
            self.resumed += 1
        self._first = None
        with follower:
            try:
                while not (self.seen and self.seen[-1][1] == END):
                    n = follower.next()["n"]
                    self.seen.append((follower.cursor.id, n))
            except ENDINGS:
                pass
            return follower.cursor


class Publishing(threading.Thread):
    """Publishes one number after the other, each until it is acknowledged: a retry carries the same key."""

    def __init__(self, server: Server, numbers: count[int], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[int, str] = {}
        self.error: BaseException | None = None
        self._server, self._numbers, self._stop_asked = server, numbers, stop

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                self._publish(next(self._numbers))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def _publish(self, n: int) -> None:
        api = self._server.api()
        while n not in self.acknowledged:
            try:
                self.acknowledged[n] = api.publish(STREAM, {"n": n}, key=f"key-{n}")
            except (OSError, http.client.HTTPException):
                threading.Event().wait(0.02)


def test_kill_while_publishing(servers: Servers, handover: str) -> None:
    with servers.new(HANDOVER=handover, MAX_REPLAY="100000") as server:
        clients = [Resuming(server, transport) for _ in range(CLIENTS) for transport in ("sse", "cable-v1")]
        clients += [Resuming(server, "cable-ext") for _ in range(10)]
        stop = threading.Event()
        numbers = count()
        publishers = [Publishing(server, numbers, stop) for _ in range(PUBLISHERS)]
        for thread in (*clients, *publishers):
            thread.start()
        for kill in range(KILLS):
            wanted = (kill + 1) * ACKNOWLEDGED_BETWEEN_KILLS
            until(partial(enough, publishers, wanted), f"{wanted} are acknowledged")
            server.kill()
            server.start()
        stop.set()
        for publisher in publishers:
            publisher.join(30)
        end = server.publish(STREAM, {"n": END})
        check_log(server, clients, publishers, end)


def enough(publishers: list[Publishing], wanted: int) -> bool:
    return acknowledged(publishers) >= wanted


def acknowledged(publishers: list[Publishing]) -> int:
    for publisher in publishers:
        assert publisher.error is None, publisher.error
    return sum(len(publisher.acknowledged) for publisher in publishers)


def check_log(server: Server, clients: list[Resuming], publishers: list[Publishing], end: str) -> None:
    """The log is contiguous, holds each number once and where it was acknowledged, and every client saw all of it."""
    epoch, last = Position.of(end)
    with follow("sse", server.address, STREAM, Position(epoch, 0)) as reader:
        log = list(zip(range(1, last + 1), reader.numbers(last), strict=True))
    order = [n for _, n in log]
    assert len(set(order)) == len(order), "an update is there twice"
    positions = {n: str(Position(epoch, id_)) for id_, n in log}
    for publisher in publishers:
        assert publisher.error is None
        for n, position in publisher.acknowledged.items():
            assert positions[n] == position
    for client in clients:
        client.join(60)
        assert (client.error, client.is_alive()) == (None, False)
        assert client.seen == log
        assert client.resumed >= KILLS


def test_a_disk_that_hangs_keeps_nobody_waiting(servers: Servers, tmp_path: Path) -> None:
    library, hang = tmp_path / "hanging.so", tmp_path / "hang"
    source = Path(__file__).with_name("hanging_disk.c")
    subprocess.run([program("cc", "gcc"), "-shared", "-fPIC", "-o", library, source], check=True)
    server = servers.new_by(SERVE, LD_PRELOAD=str(library), HANG=str(hang))
    with server:
        position = server.put(STREAM, {"n": 1})
        hang.touch()
        answers: list[int] = []
        waiting = [
            threading.Thread(target=lambda: answers.append(publish(server, STREAM, '{"n":2}').status))
            for _ in range(3)
        ]
        for thread in waiting:
            thread.start()
        with follow("sse", server.address, STREAM, position) as client:
            for thread in waiting:
                thread.join(15)
                client.beat()
        assert answers == [503] * 3
        assert server.ask("GET", "/up").status == 200
        server.end()
        assert server.wait(25) == 1
        hang.unlink()
        server.start()
        server.put(STREAM, {"n": 3})
