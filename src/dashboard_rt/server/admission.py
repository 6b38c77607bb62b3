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
        self._cut: set[Watched] = set()  # those that were, until they are gone
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
        self._cut &= self._connections
        return len(self._connections) - len(self._cut) + self.inbound.open + self.streams

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
        excess = self.count - self.limits.connections
        if excess <= 0 or self._evict(excess, newcomer):
            return True
        excess -= HEALTH_MARGIN
        if excess > 0 and not self._evict(excess, newcomer):
            self.limits.count("full")
            self._abort(newcomer)
        return False

    def _evict(self, number: int, newcomer: Watched) -> bool:
        """Cut those whose peers have kept us waiting longest: they are idle, or send a request slowly.

        Nobody, where there are not so many: newcomers would cut each other, and who still reads that it was refused.
        """
        if not self._waiting and self._loop.time() >= self._next_list:
            self._next_list = self._loop.time() + LIST_SECONDS * len(self._connections)
            self._waiting = [it for it in self._connections if it.deadline < NEVER and it is not newcomer]
            self._waiting.sort(key=lambda connection: -connection.deadline)
        evicted: list[Watched] = []
        while self._waiting and len(evicted) < number:
            connection = self._waiting.pop()
            if connection.deadline < NEVER:
                evicted.append(connection)
        if len(evicted) < number:
            self._waiting = evicted[::-1]
            return False
        for connection in evicted:
            self.limits.count(EVICTED)
            self._abort(connection)
        return True

    def _abort(self, connection: Watched) -> None:
        connection.deadline = NEVER  # so that it is not taken for another one, until it is gone
        self._cut.add(connection)
        connection.transport.abort()

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
