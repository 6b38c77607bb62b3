"""A talkative client of the simulated world: one extended cable connection, several subscriptions, every command.

It keeps a record of each subscription and holds the server to protocol §2: ids in order, none doubled that was not
asked for, a verdict for every subscribe, an answer for every `history`.
"""

from __future__ import annotations

import json
from typing import Any

from dashboard_rt.transports.cable.session import CableSession
from dashboard_rt.types import Kind, Position
from tests.simulation import FakeLog, FakeTransport, Process

HOW = ("fresh", "position", "history", "since")


class Record:
    """What the client knows of one subscription."""

    def __init__(self, stream: str, kind: Kind) -> None:
        self.stream = stream
        self.kind = kind
        self.state = "off"  # off, pending, on
        self.position: Position | None = None
        self.asked: Position | None = None
        self.asked_since: int | None = None  # the cursor that a `since` stands for
        self.rewinds: list[range] = []  # cursors that `history` commands may send it back to
        self.repeats = 0  # how often the newest state may come once more
        self.owed = 0  # answers to `history` that are due: at least one, at most so many
        self.answered = False
        self.again = 0  # how often it subscribed once more before it had heard the confirm

    @property
    def identifier(self) -> str:
        return json.dumps({"channel": "$pubsub", "stream_name": self.stream, "for": id(self)})


class Talker:
    """The client."""

    def __init__(self, kinds: dict[str, Kind]) -> None:
        self.records = [Record(name, kind) for name, kind in kinds.items() for _ in range(2)]
        self.transport: FakeTransport | None = None
        self.session: CableSession | None = None
        self.rest = b""
        self.log: FakeLog

    def connect(self, process: Process, log: FakeLog) -> None:
        """Come (back); nothing is subscribed yet."""
        self.drop()
        self.log, self.transport, self.rest = log, FakeTransport(), b""
        self.session = CableSession(
            process.connections, process.wires, process.telemetry, ext=True, raw=False
        )
        self.session.sink = self.session.socket = self.transport
        self.transport.client = self.session
        self.session.open(b"", None)
        for record in self.records:
            record.state, record.rewinds, record.repeats, record.owed = "off", [], 0, 0

    def drop(self) -> None:
        if self.session is not None:
            self.session.lost("lost")
        self.session = self.transport = None

    def _say(self, **command: Any) -> None:
        # A real link holds back what comes while the buffer is full, and drops what comes behind a close frame.
        if self.session is not None and not self.session.paused and not self.session.closing:
            self.session.on_text(json.dumps(command))

    @property
    def may_speak(self) -> bool:
        return self.session is not None and not self.session.paused and not self.session.closing

    # ---- what it says

    def subscribe(self, number: int, how: str) -> None:
        record = self.records[number]
        if not self.may_speak or record.state != "off":
            return
        record.state, record.asked, record.asked_since = "pending", None, None
        record.rewinds, record.repeats, record.owed, record.answered = [], 0, 0, False
        more: dict[str, object] = {}
        if how == "since":
            more["history"] = {"since": self.log.seconds, "streams": {}}
            record.asked_since = self.log.before(record.stream, self.log.seconds)
            record.repeats, record.owed = 1, 1
        elif record.position is not None and how == "position":
            record.asked, more["last_event_id"] = record.position, str(record.position)
        elif record.position is not None and how == "history":
            record.asked, record.owed = record.position, 1
            entry = {"epoch": record.position.epoch, "offset": record.position.id}
            more["history"] = {"streams": {record.stream: entry}}
        self._say(command="subscribe", identifier=record.identifier, **more)

    def subscribe_again(self, number: int) -> None:
        """As the stock client's guarantor does while it waits."""
        if self.may_speak and self.records[number].state == "pending":
            self.records[number].again += 1
            self._say(command="subscribe", identifier=self.records[number].identifier)

    def unsubscribe(self, number: int) -> None:
        record = self.records[number]
        if self.may_speak and record.state == "on":
            record.state = "off"
            self._say(command="unsubscribe", identifier=record.identifier)

    def history(self, number: int, back: int, since: bool) -> None:
        record = self.records[number]
        if not self.may_speak or record.state != "on" or record.position is None:
            return
        record.owed += 1
        record.repeats += 1  # a state stream repeats its newest behind a refusal
        asked: dict[str, object]
        if since:
            # Fewer when ids were given back before the answer.
            record.rewinds.append(range(self.log.before(record.stream, self.log.seconds) + 1))
            asked = {"since": self.log.seconds, "streams": {}}
        else:
            offset = max(0, record.position.id - back)
            record.rewinds.append(range(offset, offset + 1))
            asked = {"streams": {record.stream: {"epoch": record.position.epoch, "offset": offset}}}
        self._say(command="history", identifier=record.identifier, history=asked)

    def refresh(self, number: int) -> None:
        record = self.records[number]
        if self.may_speak and record.state == "on":
            self._say(command="message", identifier=record.identifier, data='{"action":"refresh"}')

    # ---- what it hears

    def read(self, most: int | None = None) -> None:
        if self.transport is None:
            return
        self.rest += self.transport.read(most)
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if self.transport is not None and self.transport.closed and not self.transport.buffer:
            self.drop()

    def _take(self, frame: dict[str, Any]) -> None:
        record = next((r for r in self.records if r.identifier == frame.get("identifier")), None)
        if record is None or record.state == "off":
            return  # welcome, disconnect, and what was under way when it unsubscribed
        kind = frame.get("type")
        if record.state == "pending":
            if kind == "confirm_subscription" and "verdict" in frame:
                self._confirmed(record, frame["verdict"], Position.parse(frame["position"]))
            return  # anything else belongs to the subscription before
        match kind:
            case "confirm_history" | "reject_history":
                self._answered(record, kind)
            case "confirm_subscription":
                assert "verdict" not in frame and record.again > 0, "a second confirm that nobody asked for"
                record.again -= 1
            case None if "offset" in frame:
                self._update(record, Position(frame["epoch"], frame["offset"]), frame["message"]["n"])
            case None:
                assert record.kind is Kind.STATE, "a refresh of a log"
                assert record.position is not None and frame["message"]["n"] == record.position.id

    def _confirmed(self, record: Record, verdict: str, at: Position | None) -> None:
        assert at is not None
        match verdict:
            case "recovered" if record.asked_since is not None:
                assert at.id <= record.asked_since  # fewer when ids were given back before the answer
            case "recovered":
                assert at == record.asked
            case "fresh":
                assert record.asked is None
            case "gap":
                assert record.asked is not None
        record.state, record.position = "on", at

    def _answered(self, record: Record, kind: str) -> None:
        assert record.owed > 0, f"{kind} that nobody asked for"
        record.answered = True
        if kind == "reject_history":
            record.owed -= 1

    def _update(self, record: Record, position: Position, n: int) -> None:
        assert record.position is not None and position.id == n
        assert position.epoch == record.position.epoch, "another epoch without a verdict"
        rewind = next((r for r in record.rewinds if n - 1 in r), None)
        if n == record.position.id + 1:
            pass
        elif rewind is not None and n <= record.position.id:
            record.rewinds.remove(rewind)
        else:
            assert n == record.position.id and record.repeats > 0, f"{n} after {record.position.id}"
            assert record.kind is Kind.STATE
            record.repeats -= 1
        record.position = position

    def all_is_said(self) -> bool:
        """Whether everything that was asked has its answer."""
        return all(r.answered or not r.owed for r in self.records if r.state == "on") and not any(
            r.state == "pending" for r in self.records
        )
