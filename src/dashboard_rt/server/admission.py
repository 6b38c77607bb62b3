"""All connections of one server: how many there are, who may still come in, and who has kept us waiting too long.

One object for each uvicorn `ServerState`, one timer for all of its connections: a timer each would cost more than the
connection. Knows connections as `Watched`, and nothing of what they say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from uvicorn.server import ServerState

from ..hub.timer import Timer
from .limits import EVICTED, HEALTH_MARGIN, UNREAD, ServerLimits
from .websocket import InboundQueue

NEVER = float("inf")
LOOK_SECONDS = 1.0  # between two looks at all connections
# For each connection, between two lists of whom to evict: making one walks through all of them.
LIST_SECONDS = 5e-6


class Watched(Protocol):
    """A connection that uvicorn still holds. `deadline` is when its peer has to have done something."""

    transport: asyncio.Transport
    deadline: float

    @property
    def streams(self) -> bool:
        """Whether its answer has no end of its own: then the hub looks after those who do not take it."""

    def expire(self, now: float) -> None:
        """Act on a deadline that has passed."""


class Admission:
    """Counts, admits and cuts the connections of one server.

    Those that uvicorn holds are in its own set, WebSockets that were handed over are counted by `inbound`; of HTTP
    responses that were, the app knows how many are open, by the label of their transport.
    """

    def __init__(self, connections: set[Any], limits: ServerLimits) -> None:
        self.limits = limits
        self.inbound = InboundQueue(limits.count)
        self.labels: set[str] = set()  # of transports whose responses were handed over
        self.streams = 0  # how many of them are open, at most: who hands one over adds it
        self.sets_user_timeout = True  # until one has it from its listener, as under `serve`
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._unsent: dict[Watched, tuple[float, int]] = {}  # since when how many bytes wait to be taken
        self._waiting: list[Watched] = []  # whom to evict, the last one first
        self._next_list = 0.0
        Timer(min(LOOK_SECONDS, limits.timeout / 4), self._look)  # as long as the loop runs

    @classmethod
    def of(cls, server_state: ServerState, app_state: Mapping[str, Any]) -> Admission:
        """Return that of a server; the first of its connections makes it."""
        found: Admission | None = getattr(server_state, "admission", None)
        if found is None:
            found = cls(server_state.connections, ServerLimits.of(app_state))
            server_state.admission = found  # type: ignore[attr-defined]
        return found

    # ---- how many

    @property
    def count(self) -> int:
        """Return how many connections there are. None is counted twice: what is handed over leaves uvicorn's set."""
        self.streams = int(sum(map(self.limits.open_streams, self.labels)))
        return len(self._connections) + self.inbound.open + self.streams

    @property
    def full(self) -> bool:
        return self.count > self.limits.connections

    def admit(self, newcomer: Watched) -> bool:
        """Return whether there is room for a connection that is counted already, and make some if there is not.

        Cuts it when it is too much even for health checks.
        """
        # A count that is cheap and at most too high: streams that have ended since the last one are still in it.
        if len(self._connections) + self.inbound.open + self.streams <= self.limits.connections:
            return True
        if not self.full or self._make_room(newcomer):
            return True
        if self.count > self.limits.connections + HEALTH_MARGIN:
            self.limits.count("full")
            newcomer.transport.abort()
        return False

    def _make_room(self, newcomer: Watched) -> bool:
        """Cut the connection whose peer has kept us waiting longest: one that is idle, or sends a request slowly."""
        if not self._waiting and self._loop.time() >= self._next_list:
            self._next_list = self._loop.time() + LIST_SECONDS * len(self._connections)
            self._waiting = [it for it in self._connections if it.deadline < NEVER and it is not newcomer]
            self._waiting.sort(key=lambda connection: -connection.deadline)
        while self._waiting:
            connection = self._waiting.pop()
            if connection.deadline < NEVER:
                connection.deadline = NEVER  # so that it is not taken for another one, until it is gone
                self.limits.count(EVICTED)
                connection.transport.abort()
                return True
        return False

    # ---- how long

    def _look(self, late: float) -> None:
        now = self._loop.time()
        _ = self.count  # brings `streams` up to date
        self._waiting.clear()  # it would keep connections alive that are gone
        self._next_list = 0.0
        unsent: dict[Watched, tuple[float, int]] = {}
        for connection in tuple(self._connections):
            size = connection.transport.get_write_buffer_size()
            if size and not connection.streams:
                since, before = self._unsent.get(connection, (now, size))
                unsent[connection] = (since if size >= before else now, size)
            if connection.deadline <= now:
                connection.expire(now)
        self._unsent = unsent
        for connection, (since, _) in unsent.items():
            if now - since >= self.limits.timeout:
                self.limits.count(UNREAD)
                connection.transport.abort()
