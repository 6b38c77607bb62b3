"""CableSession: one Action Cable connection, base or extended protocol (docs/protocol.md §2).

Turns commands into subscriptions, and what the hub reports into frames. Reads and writes text; knows no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...hub.connections import Connections
from ...hub.hub import Hub
from ...hub.subscription import WAITING, Resume, Subscription, Topic
from ...telemetry import Telemetry
from ...types import UNREADABLE_POSITION, Kind, Position, Verdict
from ..connection import MessageConnection
from . import commands, frames
from .commands import BadCommand, Command
from .frames import CableWire, Wires

MAX_SUBSCRIPTIONS = 32
# An update is encoded once for each identifier in use. Clients choose them, so that there may be as many as clients,
# and this many more; an identifier that only names its stream is never refused.
EXTRA_IDENTIFIERS = 4096
DO_NOT_RECONNECT = frozenset({"unauthorized", "invalid_request", "token_expired"})  # reasons of a disconnect
GOING_AWAY, NORMAL = 1001, 1000  # RFC 6455 §7.4.1


class CableSubscription(Subscription):
    """A subscription, and what its client is owed once it is current."""

    __slots__ = ("history", "newest", "refresh")
    wire: CableWire

    def __init__(self, session: CableSession, topic: Topic, wire: CableWire) -> None:
        super().__init__(session, topic, wire)
        self.history = False  # a confirm_history
        self.newest: int | None = None  # the newest state, if it still has this id: the replay held nothing
        self.refresh = False  # the answer to a refresh


class CableSession(MessageConnection):
    """One Action Cable connection."""

    __slots__ = ("_ext", "_raw", "_subscriptions", "_telemetry", "_wires")
    transport = frames.LABEL

    def __init__(
        self, connections: Connections, wires: Wires, telemetry: Telemetry, ext: bool, raw: bool
    ) -> None:
        """Share `wires` with all sessions of the app.

        `ext`: the extended protocol was agreed on. `raw`: frames go to a handed-over socket.
        """
        super().__init__(connections)
        self._wires = wires
        self._telemetry = telemetry
        self._ext = ext
        self._raw = raw
        self._subscriptions: dict[str, CableSubscription] = {}

    @property
    def _hub(self) -> Hub:
        return self.connections.hub

    def open(self, head: bytes, address: str | None) -> None:
        """Write the head of the handshake's response and the welcome, in one write."""
        self.connections.add(self, address)
        self.sink.write(head + frames.encode_control(frames.WELCOME, self._raw))

    def refuse(self, head: bytes, reason: str) -> None:
        """Accept the handshake, say why the client cannot stay, and close."""
        self.connections.add_refused(self)
        self.sink.write(head)
        self.goodbye(reason, self.connections.retry_ms())

    def _send(self, text: str) -> None:
        self.write(frames.encode_control(text, self._raw))

    def _reply(self, kind: str, subscription: CableSubscription, **more: object) -> None:
        self._send(frames.reply(kind, subscription.wire.identifier, **more))

    # ---- commands

    def on_text(self, text: str) -> None:
        """Run one command, or count it as ignored."""
        try:
            command = commands.parse_command(text)
            COMMANDS[command.name](self, command)
        except BadCommand as error:
            self._telemetry.ignored.labels(str(error)).inc()
        except Exception as error:  # noqa: BLE001  the client would wait for an answer that never comes
            self._telemetry.swallow("cable.command", error)
            self.sink.abort()
        else:
            self._telemetry.commands.labels(command.name).inc()

    def on_binary(self) -> None:
        self._telemetry.ignored.labels("binary").inc()

    def _subscribe(self, command: Command) -> None:
        known = self._subscriptions.get(command.identifier)
        if known is not None:
            if known.cursor != WAITING:  # while the first is pending, one confirm answers both
                self._reply("confirm_subscription", known)
            return
        stream = commands.stream_of(command.identifier)
        topic = self._hub.topics.get(stream) if stream is not None else None
        if topic is None:
            self._reject(command.identifier, "unknown_channel")
        elif len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            self._reject(command.identifier, "too_many_subscriptions")
        elif not self._may_read(topic.name):
            self._reject(command.identifier, "foreign_stream")
        elif not self._may_use(command.identifier, topic.name):
            self._reject(command.identifier, "too_many_identifiers")
        else:
            wire = self._wires.take(command.identifier, self._ext, self._raw)
            subscription = CableSubscription(self, topic, wire)
            self._subscriptions[wire.identifier] = subscription
            self.cork()
            self._join(subscription, command)
            self.uncork()

    def _may_read(self, stream: str) -> bool:
        return True

    def _may_use(self, identifier: str, stream: str) -> bool:
        return (
            len(self._wires) < self.connections.count + EXTRA_IDENTIFIERS
            or self._wires.find(identifier, self._ext, self._raw) is not None
            or identifier in commands.plain_identifiers(stream)
        )

    def _reject(self, identifier: str, reason: str) -> None:
        self._telemetry.rejected.labels(self.transport, reason).inc()
        # Not by way of `_send`, which keeps what it encoded: an identifier may be as large as a message.
        text = frames.format_reply("reject_subscription", identifier)
        self.write(frames.encode_frame(text, self._raw))

    def _join(self, subscription: CableSubscription, command: Command) -> None:
        text = commands.position_of(command.fields)
        history = command.fields.get("history") if self._ext else None
        if text is not None:
            position = Position.parse(text) if isinstance(text, str) else None
            self._hub.subscribe(subscription, position or UNREADABLE_POSITION)
        elif history is not None:
            self._join_with_history(subscription, history)
        else:
            self._hub.subscribe(subscription)

    def _join_with_history(self, subscription: CableSubscription, value: object) -> None:
        try:
            history = commands.parse_history(value, subscription.topic.name)
        except BadCommand as error:
            self._telemetry.ignored.labels(str(error)).inc()
            self._hub.subscribe(subscription)
            return
        subscription.history = True
        if history.since is not None:
            subscription.newest = WAITING
            self._hub.subscribe_since(subscription, history.since)
        else:
            self._hub.subscribe(subscription, history.position or UNREADABLE_POSITION)

    def _unsubscribe(self, command: Command) -> None:
        self._hub.unsubscribe(self._find(command))
        self._wires.release(self._subscriptions.pop(command.identifier).wire)

    def _message(self, command: Command) -> None:
        subscription = self._find(command)
        if commands.parse_action(command.fields.get("data")) != "refresh":
            raise BadCommand("unknown_action")
        subscription.refresh = True
        if subscription.group is not None:
            self._send_owed(subscription)

    def _history(self, command: Command) -> None:
        if not self._ext:
            raise BadCommand("unknown_command")
        subscription = self._find(command)
        if not subscription.confirmed:
            raise BadCommand("not_confirmed")
        history = commands.parse_history(command.fields.get("history"), subscription.topic.name)
        if history.since is not None:
            self._hub.replay_since(subscription, history.since)
        else:
            self._hub.replay_after(subscription, history.position or UNREADABLE_POSITION)

    def _pong(self, command: Command) -> None:
        """Ignore the answer to our ping."""

    def _ping(self, command: Command) -> None:
        self._send(frames.PONG)

    def _find(self, command: Command) -> CableSubscription:
        subscription = self._subscriptions.get(command.identifier)
        if subscription is None:
            raise BadCommand("unknown_identifier")
        return subscription

    # ---- from the hub

    def subscriptions(self) -> Iterable[Subscription]:
        return self._subscriptions.values()

    def on_verdict(self, subscription: Subscription, resume: Resume) -> None:
        """Confirm the subscription; a history that cannot be served is rejected right behind it."""
        assert isinstance(subscription, CableSubscription)
        position = str(subscription.topic.position(resume.cursor))
        self._reply("confirm_subscription", subscription, verdict=resume.verdict, position=position)
        if subscription.history and resume.verdict is not Verdict.RECOVERED:
            subscription.history = False
            self._reply("reject_history", subscription)
        if subscription.newest is not None:
            subscription.newest = None if resume.replaying else resume.cursor

    def on_fell_behind(self, subscription: Subscription, resume: Resume) -> bool:
        """Disconnect: the base protocol has no word for a hole, so the client comes back and is told `gap` then."""
        reason = "too_slow" if resume.missed is not None else "server_restart"
        self.goodbye(reason, self.connections.retry_ms())
        return False

    def on_history(self, subscription: Subscription, resume: Resume) -> None:
        """Answer a `history` command: with everything behind the position, or with nothing of it."""
        assert isinstance(subscription, CableSubscription)
        if resume.verdict is Verdict.RECOVERED:
            subscription.history = True
            self._hub.rewind(subscription, resume.cursor)
        else:
            self._reply("reject_history", subscription)
            self._send_newest(subscription)

    def on_current(self, subscription: Subscription) -> None:
        assert isinstance(subscription, CableSubscription)
        if subscription.history or subscription.refresh or subscription.newest is not None:
            self._send_owed(subscription)

    def _send_owed(self, subscription: CableSubscription) -> None:
        if subscription.history:
            subscription.history = False
            self._reply("confirm_history", subscription)
        # It is no longer current if the confirm has filled the buffer.
        if subscription.newest is not None and subscription.group is not None:
            if subscription.newest == subscription.group.sent:
                self._send_newest(subscription)
            subscription.newest = None
        if subscription.refresh and not self.paused:
            subscription.refresh = False
            newest = subscription.topic.tail.newest
            if newest is not None and subscription.topic.kind is Kind.STATE:
                self.write(subscription.wire.encode_answer(newest))

    def _send_newest(self, subscription: CableSubscription) -> None:
        topic = subscription.topic
        newest = topic.tail.newest
        if newest is not None and topic.kind is Kind.STATE and subscription.group is not None:
            self.write(subscription.wire.encode([newest], topic.epoch))

    # ---- from the connections

    def heartbeat(self) -> bytes:
        cache, key = self.connections.heartbeat_cache, (frames.LABEL, self._raw)
        data = cache.get(key)
        if data is None:
            text = frames.ping(int(self.connections.clock()))
            data = cache[key] = frames.encode_frame(text, self._raw)
        return data

    def goodbye(self, reason: str, retry_ms: int) -> None:
        """Send `disconnect`, then a close frame, behind which nothing may follow (RFC 6455 §5.5.1)."""
        if self.closing:
            return
        self._unsubscribe_all()
        reconnect = reason not in DO_NOT_RECONNECT
        self._send(frames.disconnect(reason, reconnect, retry_ms if reconnect else None))
        self.uncork()
        if self.socket is not None:
            self.socket.close(GOING_AWAY if reason == "server_restart" else NORMAL)

    def on_closing(self) -> None:
        self._unsubscribe_all()
        self.connections.closing(self)

    def _unsubscribe_all(self) -> None:
        for subscription in self._subscriptions.values():
            self._hub.unsubscribe(subscription)

    def release(self) -> None:
        for subscription in self._subscriptions.values():
            self._wires.release(subscription.wire)
        self._subscriptions.clear()
        self.socket = None


class TicketedSession(CableSession):
    """One whose ticket names the streams that it opens. The others have no room for what they do not need."""

    __slots__ = ("_streams",)

    def __init__(
        self,
        connections: Connections,
        wires: Wires,
        telemetry: Telemetry,
        ext: bool,
        raw: bool,
        *,
        streams: frozenset[str],
    ) -> None:
        super().__init__(connections, wires, telemetry, ext, raw)
        self._streams = streams

    def _may_read(self, stream: str) -> bool:
        return stream in self._streams


COMMANDS: dict[str, Callable[[CableSession, Command], None]] = {
    "subscribe": CableSession._subscribe,
    "unsubscribe": CableSession._unsubscribe,
    "message": CableSession._message,
    "history": CableSession._history,
    "pong": CableSession._pong,
    "ping": CableSession._ping,
}
