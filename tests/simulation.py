"""A simulated process: a log that is told what to do, clients that read when told to.

No sockets, no threads, no waiting: `VirtualLoop` jumps to the next timer. What is real is everything between the
log and the socket: Hub, Follower, Connections, SseConnection, CableSession.
"""

from __future__ import annotations

import asyncio
import json
import selectors
from typing import Any

from dashboard_rt.errors import LogUnavailable
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.hub.connections import Connections
from dashboard_rt.hub.follower import Follower
from dashboard_rt.hub.hub import Hub
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.transports.cable.frames import Wires
from dashboard_rt.transports.cable.session import CableSession
from dashboard_rt.transports.sse import IDENTITY, SseConnection, SseRequest
from dashboard_rt.types import Bounds, Kind, LogState, Notification, Position, Update

HIGH_WATER = 400  # bytes: small, so that a few updates fill a buffer


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__(_Impatient(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _Impatient(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout > 0:
            self._loop.now += timeout
        return super().select(0)


class FakeLog(EventLog):
    """A log in memory. `broken`: every question raises LogUnavailable."""

    def __init__(self, kinds: dict[str, Kind]) -> None:
        self.kinds = kinds
        self.epochs = 0
        self.broken = False
        self.slowness = 1  # turns of the loop that an answer takes
        self.seconds = 1  # the server's clock, which the plan moves
        self.clear()

    def clear(self) -> None:
        """Another life of the database, empty."""
        self.epochs += 1
        self.epoch = f"e{self.epochs}"
        self.texts: dict[str, list[str]] = {name: [] for name in self.kinds}
        self.created: dict[str, list[int]] = {name: [] for name in self.kinds}
        self.oldest = dict.fromkeys(self.kinds, 1)
        self.missing: dict[str, set[int]] = {name: set() for name in self.kinds}

    def remove(self, stream: str, *ids: int) -> None:
        """Delete updates by hand, wherever they are, and tell nobody."""
        self.missing[stream].update(ids)

    def roll_back(self, stream: str, count: int) -> None:
        """Restore an older database: the newest ids are given back, and nobody is told."""
        keep = max(self.oldest[stream] - 1, len(self.texts[stream]) - count)
        del self.texts[stream][keep:], self.created[stream][keep:]
        self.missing[stream] = {n for n in self.missing[stream] if n <= keep}

    def append(self, stream: str, count: int) -> Notification:  # type: ignore[override]  # shorter for tests
        """Commit, and return the notification of it."""
        first = len(self.texts[stream]) + 1
        texts = [json.dumps({"n": n, "pad": "x" * (n % 50)}) for n in range(first, first + count)]
        self.texts[stream] += texts
        self.created[stream] += [self.seconds] * count
        return Notification(self.epoch, stream, first + count - 1, texts)

    def trim(self, stream: str, keep: int) -> None:  # type: ignore[override]  # as above
        """Give up all but the newest `keep`."""
        self.oldest[stream] = max(self.oldest[stream], len(self.texts[stream]) - keep + 1)

    def _check(self) -> None:
        if self.broken:
            raise LogUnavailable("the log is away")

    async def _think(self) -> None:
        for _ in range(self.slowness):
            await asyncio.sleep(0)

    async def state(self) -> LogState:
        self._check()
        await self._think()
        return LogState(
            self.epoch,
            {n: Bounds(self.kinds[n], self.oldest[n], len(self.texts[n])) for n in self.kinds},
        )

    async def after(self, stream: str, id: int, limit: int) -> list[Update]:
        self._check()
        missing, last = self.missing[stream], len(self.texts[stream])
        first = max(id + 1, self.oldest[stream])
        while first in missing:
            first += 1
        stop = min([last + 1, first + limit, *(n for n in missing if n > first)])
        found = [Update(stream, n, self.texts[stream][n - 1]) for n in range(first, stop)]
        await self._think()
        return found

    async def behind_hole(self, stream: str, id: int) -> int | None:
        self._check()
        await self._think()
        kept = [n for n in range(id + 1, len(self.texts[stream]) + 1) if n not in self.missing[stream]]
        return max((n for before, n in zip([id, *kept], kept, strict=False) if n > before + 1), default=None)

    def before(self, stream: str, seconds: int) -> int:
        """The id of the newest update created before a second; 0 for none."""
        return sum(created < seconds for created in self.created[stream])

    async def since(self, stream: str, ms: int, limit: int) -> int | None:
        self._check()
        await self._think()
        cursor = self.before(stream, ms // 1000)
        last = len(self.texts[stream])
        return cursor if cursor >= self.oldest[stream] - 1 and last - cursor <= limit else None

    def may_have_changed(self) -> bool:
        return True

    async def changed(self) -> bool:
        self._check()
        return False

    async def new_epoch(self, expected: str | None = None) -> str:
        self._check()
        if expected in (None, self.epoch):
            self.epochs += 1
            self.epoch = f"e{self.epochs}"
        return self.epoch


class FakeTransport:
    """Bytes wait here until the client reads; above HIGH_WATER the server's side is told to pause."""

    def __init__(self) -> None:
        self.client: Any = None
        self.buffer = b""
        self.closed = False
        self.aborted = False
        self.reading = True

    def write(self, data: bytes) -> None:
        if self.closed:
            return
        self.buffer += data
        if len(self.buffer) > HIGH_WATER and not self.client.paused:
            self.client.pause_writing()

    def close(self, code: int | None = None) -> None:
        """As a transport, and with a code as a cable client's link."""
        self.closed = True
        if code is not None:
            self.client.on_closing()

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def read(self, most: int | None = None) -> bytes:
        """The client reads; the server is told when there is room again."""
        most = len(self.buffer) if most is None else most
        data, self.buffer = self.buffer[:most], self.buffer[most:]
        if self.client.paused and len(self.buffer) <= HIGH_WATER // 4 and not self.closed:
            self.client.resume_writing()
        return data


class Process:
    """One web process on the shared log."""

    def __init__(self, log: FakeLog, settings: Settings) -> None:
        self.telemetry = Telemetry(("sse", "cable"))
        self.follower = Follower(log, settings, self.telemetry)
        self.hub = Hub(log, self.follower.refresh, settings, self.telemetry)
        heartbeats = {"sse": settings.sse_heartbeat, "cable": settings.cable_ping}
        self.connections = Connections(self.hub, heartbeats, settings, self.telemetry)
        self.wires = Wires()

    async def start(self) -> None:
        """Load the Tails; the follower's own loop stays off, `refresh` is called by the test."""
        await self.follower.load(self.hub)


class Reader:
    """A client that keeps its position, reconnects anywhere on either transport, and holds the server to its word.

    The word: along an unbroken chain of positions each id at most once, in order, and none missed without `gap`.
    """

    def __init__(self, stream: str, kind: Kind) -> None:
        self.stream = stream
        self.kind = kind
        self.position: Position | None = None
        self.expected: int | None = None  # the id before the next update
        self.transport: FakeTransport | None = None
        self.client: SseConnection | CableSession | None = None
        self.rest = b""
        self.verdicts: list[str] = []
        self.seen: list[int] = []
        self.told_to_go = False
        self.asked: Position | None = None

    @property
    def connected(self) -> bool:
        return self.transport is not None

    def connect(self, process: Process, wire: str, resume: bool, number: int | None = None) -> None:
        """Come (back). With a `number`, a cable client has an identifier of its own."""
        self.asked = self.position if resume else None
        self.transport = FakeTransport()
        self.rest, self.told_to_go, self.expected = b"", False, None
        if wire == "sse":
            sse = SseConnection(process.connections, IDENTITY)
            self.client = self.transport.client = sse
            sse.sink = self.transport
            sse.open(b"", SseRequest(self.stream, self.asked), None)
        else:
            cable = CableSession(
                process.connections, process.wires, process.telemetry, ext=wire == "ext", raw=False
            )
            self.client = self.transport.client = cable
            cable.sink = cable.socket = self.transport
            cable.open(b"", None)
            own = {} if number is None else {"number": number}
            identifier = json.dumps({"channel": "DashboardUpdatesChannel", "stream": self.stream, **own})
            command = {"command": "subscribe", "identifier": identifier}
            if self.asked is not None:
                command["last_event_id"] = str(self.asked)
            cable.on_text(json.dumps(command))

    def drop(self) -> None:
        """The connection breaks; what was not read is lost."""
        if self.client is not None:
            self.client.lost("lost")
        self.transport = self.client = None

    def read(self, most: int | None = None) -> None:
        """Take what has come, or a part of it."""
        if self.transport is None:
            return
        self.rest += self.transport.read(most)
        separator = b"\n\n" if isinstance(self.client, SseConnection) else b"\n"
        *events, self.rest = self.rest.split(separator)
        for event in events:
            if isinstance(self.client, SseConnection):
                self._take_sse(event.decode())
            else:
                self._take_cable(json.loads(event))
        if self.transport.closed and not self.transport.buffer:
            self.drop()

    def _take_sse(self, event: str) -> None:
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        if "data" not in fields:
            return
        data = json.loads(fields["data"])
        match fields.get("event"):
            case "verdict":
                self._verdict(data["verdict"], data["position"], data["missed"])
            case None:
                self._update(data["n"], Position.parse(fields["id"]))
            case "goodbye":
                self.told_to_go = True

    def _take_cable(self, frame: dict[str, Any]) -> None:
        match frame.get("type"):
            case "confirm_subscription":
                self._verdict(frame["verdict"], frame["position"], None)
            case "disconnect":
                self.told_to_go = True
            case None:
                extended = Position(frame["epoch"], frame["offset"]) if "offset" in frame else None
                self._update(frame["message"]["n"], extended)

    def _verdict(self, verdict: str, position: str, missed: int | None) -> None:
        self.verdicts.append(verdict)
        at = Position.parse(position)
        assert at is not None
        if verdict == "recovered":
            assert at == self.asked, f"recovered at {at}, asked for {self.asked}"
        elif verdict == "fresh":
            assert self.asked is None
        elif self.expected is not None and self.position is not None and self.position.epoch == at.epoch:
            assert at.id > self.expected, f"sent back from {self.expected} to {at.id}"
            assert missed == at.id - self.expected
        elif self.asked is not None and self.asked.epoch == at.epoch:
            assert at.id > self.asked.id, f"sent back from {self.asked.id} to {at.id}"
            assert missed == at.id - self.asked.id
        self.position, self.expected = at, at.id

    def _update(self, n: int, position: Position | None) -> None:
        assert self.expected is not None, "an update before the verdict"
        assert n == self.expected + 1, f"{n} after {self.expected}"
        assert self.position is not None
        assert position in (None, Position(self.position.epoch, n)), "another epoch without a verdict"
        self.expected = n
        self.position = Position(self.position.epoch, n)
        self.seen.append(n)
