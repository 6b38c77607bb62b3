"""The behaviours of test_behaviours.py over a third transport, which only tests/transports/ndjson.py knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.live.conftest import Servers
from tests.live.followers import KINDS, Follower, Goodbye, Jumped, Position
from tests.live.server import Server
from tests.live.sse import Ended, SseClient
from tests.live.test_behaviours import (  # noqa: F401  run again here, with this module's fixtures
    test_a_known_position_is_recovered,
    test_a_position_that_cannot_be_served_is_a_gap,
    test_fresh_on_a_log_starts_with_the_next_update,
    test_fresh_on_a_state_starts_with_its_newest,
    test_more_than_max_replay_behind_is_a_gap,
)
from tests.live.wire import Address

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    *("uvicorn", "--factory", "tests.transports.ndjson:create", "--app-dir", str(ROOT), "--port", "{port}"),
    *("--http", "dashboard_rt.server.handover:HttpProtocol"),
    *("--ws", "dashboard_rt.server.handover:WebSocketProtocol", "--log-level", "warning"),
)


class NdjsonFollower(Follower):
    transport = "ndjson"

    def __init__(
        self, address: Address, stream: str, position: str | None = None, rcvbuf: int | None = None
    ) -> None:
        super().__init__()
        target = f"/ndjson?stream={quote(stream)}"
        if position is not None:
            target += f"&position={quote(position)}"
        self.client = SseClient(address, target, rcvbuf=rcvbuf)
        self._rest = b""
        self.take_verdict(self._line())

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            self._rest += self.client.piece()
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def next(self) -> Any:
        while True:
            line = self._line()
            if "update" in line:
                self.step(Position.of(line["position"]))
                return line["update"]
            if "verdict" in line:
                behind = self.cursor
                self.take_verdict(line)
                raise Jumped(behind, self.cursor, self.missed)
            if "goodbye" in line:
                raise Goodbye(line["goodbye"], line["retry_ms"])
            assert line == {"heartbeat": str(self.cursor)}
            self.beats += 1

    def goodbye(self) -> Goodbye:
        try:
            while True:
                self.next()
        except Goodbye as goodbye:
            with pytest.raises(Ended):
                self.client.piece()
            return goodbye

    def beat(self) -> None:
        assert self._line() == {"heartbeat": str(self.cursor)}


KINDS[NdjsonFollower.transport] = NdjsonFollower


@pytest.fixture
def transport() -> str:
    return NdjsonFollower.transport


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get_by(COMMAND)


def test_its_connections_are_counted_and_get_heartbeats(server: Server, state: str) -> None:
    with NdjsonFollower(server.address, state) as client:
        client.beat()
        figures = server.ask("GET", "/dashboard/stats").json()["transports"]
        assert figures["ndjson"]["connections"] == 1
        assert set(figures) == {"sse", "cable", "ndjson"}


def test_it_says_goodbye_when_the_server_stops(servers: Servers) -> None:
    with servers.new_by(COMMAND) as server, NdjsonFollower(server.address, "dashboard_updates") as client:
        server.end()
        assert client.goodbye().reason == "server_restart"
        assert server.wait() == 0
