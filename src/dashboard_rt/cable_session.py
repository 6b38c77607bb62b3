"""CableSession: one Action Cable connection, base or extended protocol (docs/protocol.md §2).

Turns commands into subscriptions and what the hub says into frames. Reads and writes text; knows no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import commands, frames
from .audience import Audience
from .clients import Client
from .commands import BadCommand, Command
from .frames import CableWire
from .hub import Hub
from .settings import DASHBOARD_STREAM
from .standing import Standing
from .subscription import WAITING, Subscription, Topic
from .telemetry import Telemetry
from .types import Kind, Position, Transport, Verdict

MAX_SUBSCRIPTIONS = 32
RECONNECT = {
    "unauthorized": False,
    "invalid_request": False,
    "token_expired": False,
}  # all other reasons: come back
GOING_AWAY, NORMAL = 1001, 1000  # RFC 6455 §7.4.1
UNREADABLE = Position("", 0)  # of no epoch: answered with `gap`


class CableSubscription(Subscription):
    """A subscription, and what it still owes its client once it is current."""

    __slots__ = ("history", "newest", "refresh")

    def __init__(self, session: CableSession, topic: Topic, wire: CableWire) -> None:
        super().__init__(session, topic, wire)
        self.history = False  # an answer to `history`
        self.newest: int | None = None  # the state of this id, if still the newest: the replay held nothing
        self.refresh = False  # an answer to `refresh`


class CableSession(Client):
    """One Action Cable connection."""

    __slots__ = ("_ext", "_raw", "_subscriptions", "_telemetry", "link")
    transport = Transport.CABLE

    def __init__(self, audience: Audience, telemetry: Telemetry, ext: bool, raw: bool) -> None:
        super().__init__(audience)
        self._telemetry = telemetry
        self._ext = ext
        self._raw = raw
        self._subscriptions: dict[str, CableSubscription] = {}
        self.link: Any = None

    @property
    def _hub(self) -> Hub:
        return self.audience.hub

    def open(self, head: bytes, address: str | None) -> None:
        """Say the first word, behind the head of the handshake's response."""
        self.audience.admit(self, address)
        self.sink.write(head + frames.control_frame(frames.WELCOME, self._raw))

    def _say(self, text: str) -> None:
        self.write(frames.control_frame(text, self._raw))

    def _reply(self, kind: str, subscription: Subscription, **more: object) -> None:
        assert isinstance(subscription.wire, CableWire)
        self._say(frames.cable_reply(kind, subscription.wire.identifier, **more))

    # ---- what the client sends

    def received(self, text: str) -> None:
        """One text message: a command, or something to count and ignore."""
        try:
            command = commands.parse_command(text)
            COMMANDS[command.name](self, command)
        except BadCommand as error:
            self._telemetry.ignored.labels(str(error)).inc()
        else:
            self._telemetry.commands.labels(command.name).inc()

    def received_binary(self) -> None:
        """Commands are text."""
        self._telemetry.ignored.labels("binary").inc()

    def _subscribe(self, command: Command) -> None:
        known = self._subscriptions.get(command.identifier)
        if known is not None:
            if known.cursor != WAITING:  # while the first is pending, one confirm answers both
                self._reply("confirm_subscription", known)
            return
        stream = commands.stream_of(command.identifier, DASHBOARD_STREAM)
        topic = self._hub.topics.get(stream) if stream is not None else None
        if topic is None or len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            reason = "too_many_subscriptions" if topic is not None else "unknown_channel"
            self._telemetry.rejected.labels(self.transport, reason).inc()
            self._say(frames.cable_reply("reject_subscription", command.identifier))
            return
        wire = frames.cable_wire(command.identifier, self._ext, self._raw)
        subscription = CableSubscription(self, topic, wire)
        self._subscriptions[wire.identifier] = subscription
        self.hold()
        self._start(subscription, command)
        self.let_go()

    def _start(self, subscription: CableSubscription, command: Command) -> None:
        if command.fields.get("last_event_id") is not None:
            text = command.fields["last_event_id"]
            position = Position.parse(text) if isinstance(text, str) else None
            self._hub.subscribe(subscription, position or UNREADABLE)
        elif self._ext and command.fields.get("history") is not None:
            self._start_with_history(subscription, command.fields["history"])
        else:
            self._hub.subscribe(subscription)

    def _start_with_history(self, subscription: CableSubscription, asked: object) -> None:
        try:
            history = commands.parse_history(asked, subscription.topic.name)
        except BadCommand as error:
            self._telemetry.ignored.labels(str(error)).inc()
            self._hub.subscribe(subscription)
            return
        subscription.history = True
        if history.since is not None:
            subscription.newest = WAITING
            self._hub.subscribe_since(subscription, history.since)
        else:
            self._hub.subscribe(subscription, history.position or UNREADABLE)

    def _unsubscribe(self, command: Command) -> None:
        self._hub.unsubscribe(self._known(command))
        del self._subscriptions[command.identifier]

    def _message(self, command: Command) -> None:
        subscription = self._known(command)
        if commands.parse_action(command.fields.get("data")) != "refresh":
            raise BadCommand("unknown_action")
        subscription.refresh = True
        if subscription.group is not None:
            self._pay(subscription)

    def _history(self, command: Command) -> None:
        if not self._ext:
            raise BadCommand("unknown_command")
        subscription = self._known(command)
        if not subscription.standing:
            raise BadCommand("not_confirmed")
        history = commands.parse_history(command.fields.get("history"), subscription.topic.name)
        if history.since is not None:
            self._hub.replay_since(subscription, history.since)
        else:
            self._hub.replay_after(subscription, history.position or UNREADABLE)

    def replay(self, subscription: Subscription, standing: Standing) -> None:
        """Answer a `history` command: everything behind the position, or nothing of it."""
        assert isinstance(subscription, CableSubscription)
        if standing.verdict is Verdict.RECOVERED:
            subscription.history = True
            self._hub.rewind(subscription, standing.cursor)
        else:
            self._reply("reject_history", subscription)
            self._write_newest(subscription)

    def _pong(self, command: Command) -> None:
        """The answer to our ping; nothing to do."""

    def _ping(self, command: Command) -> None:
        self._say(frames.PONG)

    def _known(self, command: Command) -> CableSubscription:
        subscription = self._subscriptions.get(command.identifier)
        if subscription is None:
            raise BadCommand("unknown_identifier")
        return subscription

    # ---- what the hub calls

    def subscriptions(self) -> Iterable[Subscription]:
        """All it reads."""
        return self._subscriptions.values()

    def joined(self, subscription: Subscription, standing: Standing) -> None:
        """Confirm, with the verdict beside; a history that cannot be served is refused before anything follows."""
        assert isinstance(subscription, CableSubscription)
        position = str(Position(self._hub.epoch, standing.cursor))
        self.audience.opened(self, standing.verdict)
        self._reply("confirm_subscription", subscription, verdict=standing.verdict, position=position)
        if subscription.history and standing.verdict is not Verdict.RECOVERED:
            subscription.history = False
            self._reply("reject_history", subscription)
        if subscription.newest is not None:
            subscription.newest = None if standing.replaying else standing.cursor

    def jumped(self, subscription: Subscription, standing: Standing) -> bool:
        """The base protocol has no word for a hole: the client has to come back, and hears `gap` then."""
        self.goodbye(
            "too_slow" if standing.missed is not None else "server_restart", self.audience.retry_ms()
        )
        return False

    def caught_up(self, subscription: Subscription) -> None:
        """Pay what is owed."""
        assert isinstance(subscription, CableSubscription)
        if subscription.history or subscription.refresh or subscription.newest is not None:
            self._pay(subscription)

    def _pay(self, subscription: CableSubscription) -> None:
        if subscription.history:
            subscription.history = False
            self._reply("confirm_history", subscription)
        if (
            subscription.newest is not None and subscription.group is not None
        ):  # else the confirm filled the buffer
            if subscription.newest == subscription.group.sent:
                self._write_newest(subscription)
            subscription.newest = None
        if subscription.refresh and not self.paused:
            subscription.refresh = False
            newest = subscription.topic.tail.newest
            if newest is not None and subscription.topic.kind is Kind.STATE:
                assert isinstance(subscription.wire, CableWire)
                self.write(subscription.wire.answer(newest))

    def _write_newest(self, subscription: CableSubscription) -> None:
        newest = subscription.topic.tail.newest
        if newest is not None and subscription.topic.kind is Kind.STATE and subscription.group is not None:
            self.write(subscription.wire.encode([newest], self._hub.epoch))

    # ---- what the audience calls

    def heartbeat(self) -> bytes:
        """The ping."""
        said = self.audience.said
        ping = said.get(self._raw)
        if ping is None:
            text = frames.cable_ping(self.audience.unix_seconds())
            ping = said[self._raw] = frames.cable_frame(text, self._raw)
        return ping

    def goodbye(self, reason: str, retry_ms: int) -> None:
        """`disconnect`, then a close frame. Said once: nothing may follow a close frame (RFC 6455 §5.5.1)."""
        if self.going:
            return
        self._unsubscribe_all()
        reconnect = RECONNECT.get(reason, True)
        self._say(frames.cable_disconnect(reason, reconnect, retry_ms if reconnect else None))
        self.let_go()
        self.link.close(GOING_AWAY if reason == "server_restart" else NORMAL)

    def ending(self) -> None:
        """A close frame has been sent: nothing more is, and the peer has its time to answer."""
        self._unsubscribe_all()
        self.audience.leaving(self)

    def _unsubscribe_all(self) -> None:
        for subscription in self._subscriptions.values():
            self._hub.unsubscribe(subscription)

    def untie(self) -> None:
        """Its subscriptions and its link refer back to it."""
        self._subscriptions.clear()
        self.link = None


COMMANDS: dict[str, Callable[[CableSession, Command], None]] = {
    "subscribe": CableSession._subscribe,
    "unsubscribe": CableSession._unsubscribe,
    "message": CableSession._message,
    "history": CableSession._history,
    "pong": CableSession._pong,
    "ping": CableSession._ping,
}
