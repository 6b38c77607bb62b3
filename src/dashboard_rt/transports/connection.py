"""Connection: what the connections of all transports share: a sink, flow control, one write for several messages.

What a connection says is decided by its transport: sse.py and cable/session.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, Protocol

from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import Scope

from ..http.tickets import StreamAccess
from ..hub.connections import Connections
from ..hub.subscription import Resume, Sink, Subscription
from ..settings import Settings
from ..telemetry import Telemetry

HANDOVER_EXTENSION = "dashboard_rt.handover"  # the key of the offer among a scope's ASGI extensions
ABORT_EXTENSION = "dashboard_rt.abort"  # that of a way to cut the socket, where there is no offer
CORK_BYTES = 16384  # more than this is not gathered: so large a write is worth its system call


class Transport(NamedTuple):
    """What app.py has to know of a transport.

    `label` is its name in counters and in /dashboard/stats; `heartbeat` returns its interval in seconds; `route`
    makes the route of its endpoint, which has to ask the StreamAccess, if there is one, who may read what.
    """

    label: str
    heartbeat: Callable[[Settings], float]
    route: Callable[[Connections, Settings, Telemetry, StreamAccess | None], BaseRoute]


class ExactRoute(Route):
    """A route without path parameters, compared first and only then matched as Starlette does it.

    Starlette's regular expression and dictionaries are a thirtieth of the cost of a connect.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and scope["path"] == self.path and not scope.get("root_path"):
            known = self.methods is None or scope["method"] in self.methods
            return Match.FULL if known else Match.PARTIAL, {"endpoint": self.endpoint, "path_params": {}}
        return super().matches(scope)


class ExactWebSocketRoute(WebSocketRoute):
    """The same for a WebSocket."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "websocket" and scope["path"] == self.path and not scope.get("root_path"):
            return Match.FULL, {"endpoint": self.endpoint, "path_params": {}}
        return super().matches(scope)


def names_position(name: str) -> bool:
    """Tell whether a name that a client chose means the position. Clients each spell it their own way.

    event-source-polyfill says `lastEventId`, its forerunner `evs_last_event_id`, others what the header is called.
    """
    return name.replace("_", "").replace("-", "").lower() in ("lasteventid", "evslasteventid")


def handover_offer(scope: Scope) -> Any:
    """Return the offer of our server (server/handover.py) to take the connection over; None under any other."""
    extensions = scope.get("extensions")
    return extensions.get(HANDOVER_EXTENSION) if extensions else None


def way_to_abort(scope: Scope) -> Callable[[], None] | None:
    """Return what cuts the socket of a connection over plain ASGI; None where the server has no way to."""
    offer = handover_offer(scope)
    abort: Callable[[], None] | None = (
        offer.abort if offer is not None else (scope.get("extensions") or {}).get(ABORT_EXTENSION)
    )
    return abort


def client_address(scope: Scope) -> str | None:
    """Return the address of the peer, without its port; None for a Unix socket."""
    client = scope.get("client")
    return client[0] if client else None


class _NoSink:
    """The sink of a connection before it is made and after it was lost."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


NO_SINK = _NoSink()


class Connection(ABC):
    """One client. It is the asyncio protocol of its transport after a handover, hence the names of its callbacks."""

    __slots__ = ("_corked", "_heartbeat_due", "connections", "paused", "sink", "slot")
    transport: ClassVar[str]

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.sink: Sink = NO_SINK
        self.paused = False
        self.slot = -1
        self._corked: bytes | None = None
        self._heartbeat_due = False  # one came due while the buffer was full

    def begin(self, work: Callable[..., None], *args: Any) -> None:
        """Run the first step of a connection that has just got its sink, by whoever gave it that.

        If it fails the connection is cut: the client would keep waiting for updates, and be sent heartbeats.
        """
        self.connections.hub.attempt(f"{self.transport}.begin", self, work, *args)

    def write(self, data: bytes) -> None:
        """Write to the sink, or gather while corked."""
        if self._corked is None:
            self.sink.write(data)
            return
        self._corked += data
        if len(self._corked) > CORK_BYTES:
            data, self._corked = self._corked, b""
            self.sink.write(data)

    def cork(self, data: bytes = b"") -> None:
        """Gather what is written until `uncork`: each write is a system call of its own."""
        self._corked = data

    def uncork(self) -> None:
        data, self._corked = self._corked, None
        if data:
            self.sink.write(data)

    def pause_writing(self) -> None:
        """Stop writing: the buffer is above its high-water mark (asyncio.BaseProtocol)."""
        if not self.paused:
            self.paused = True
            self.connections.hub.stall(self)

    def resume_writing(self) -> None:
        """Go on writing: the buffer is below its low-water mark (asyncio.BaseProtocol)."""
        if self.paused:
            self.paused = False
            if self._heartbeat_due:  # ahead of what comes next: that may fill the buffer again at once
                self.send_heartbeat()
            self.connections.hub.unstall(self)

    def send_heartbeat(self) -> None:
        """Write a heartbeat. While the buffer is full it would only wait behind updates: then it stays due."""
        self._heartbeat_due = self.paused
        if self.paused or self.closing:
            return
        if data := self.heartbeat():
            self.sink.write(data)

    @property
    def closing(self) -> bool:
        """Whether goodbye was said or the connection is lost: nothing may be written any more."""
        return self.sink is NO_SINK or self.connections.is_closing(self)

    def lost(self, reason: str) -> None:
        """Count the connection out. `reason` is a label of the `closed` counter. Does nothing the second time."""
        if self.sink is not NO_SINK:
            self.sink = NO_SINK
            self.connections.remove(self, reason)
            self.release()

    @abstractmethod
    def subscriptions(self) -> Iterable[Subscription]: ...

    @abstractmethod
    def on_verdict(self, subscription: Subscription, resume: Resume) -> None: ...

    @abstractmethod
    def on_fell_behind(self, subscription: Subscription, resume: Resume) -> bool: ...

    def on_history(self, subscription: Subscription, resume: Resume) -> None:
        raise AssertionError(f"{self.transport} asks for no history")

    def on_current(self, subscription: Subscription) -> None:  # noqa: B027  optional
        """Do nothing: most transports have nothing to say about it."""

    @abstractmethod
    def heartbeat(self) -> bytes:
        """Return the bytes of a heartbeat; none before a verdict was told."""

    @abstractmethod
    def goodbye(self, reason: str, retry_ms: int) -> None: ...

    @abstractmethod
    def release(self) -> None:
        """Drop all that refers back to this object, so that it is freed now: the garbage collector runs rarely."""


class MessageSocket(Protocol):
    """The WebSocket below a connection: the handed-over one (server/websocket.py) or a plain one (asgi.py)."""

    def close(self, code: int) -> None:
        """Send a close frame behind everything written (RFC 6455 §7.4); `MessageConnection.on_closing` follows."""


class MessageConnection(Connection):
    """A connection whose client sends messages too."""

    __slots__ = ("socket",)

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.socket: MessageSocket | None = None

    @abstractmethod
    def on_text(self, text: str) -> None: ...

    @abstractmethod
    def on_binary(self) -> None: ...

    @abstractmethod
    def on_closing(self) -> None:
        """Hear that a close frame was sent; the peer has SEND_TIMEOUT to answer it."""
