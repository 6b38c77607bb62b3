"""WS /cable: Action Cable, base and extended protocol (docs/protocol.md §2).

A CableSession turns commands into frames; it reads and writes text and knows no socket. The endpoint decides who
may come in, answers the handshake, and hands the connection over, or serves it over plain ASGI.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from starlette.types import Receive, Scope, Send

from . import frames
from .audience import Audience, Client
from .frames import BASE_PROTOCOL, EXT_PROTOCOL, BadCommand, CableWire, Command
from .handover import offered
from .hub import Hub
from .origins import header, may_connect
from .plain import run_cable
from .replies import error_body
from .settings import DASHBOARD_STREAM, Settings
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
            command = frames.parse_command(text)
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
        stream = frames.stream_of(command.identifier, DASHBOARD_STREAM)
        topic = self._hub.topics.get(stream) if stream is not None else None
        if topic is None or len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            reason = "too_many_subscriptions" if topic is not None else "unknown_channel"
            self._telemetry.rejected.labels(self.transport, reason).inc()
            self._say(frames.cable_reply("reject_subscription", command.identifier))
            return
        identifier = sys.intern(command.identifier)  # a thousand clients say the same one
        subscription = CableSubscription(self, topic, CableWire(identifier, self._ext, self._raw))
        self._subscriptions[identifier] = subscription
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
            history = frames.parse_history(asked, subscription.topic.name)
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
        if frames.parse_action(command.fields.get("data")) != "refresh":
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
        history = frames.parse_history(command.fields.get("history"), subscription.topic.name)
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

    def beat(self) -> None:
        """The ping; a client with a full buffer has enough to read."""
        if self.paused or self.going:
            return
        said = self.audience.said
        ping = said.get(self._raw)
        if ping is None:
            text = frames.cable_ping(self.audience.unix_seconds())
            ping = said[self._raw] = frames.cable_frame(text, self._raw)
        self.sink.write(ping)

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


def choose(offers: Iterable[str]) -> str | None:
    """The subprotocol to name: the extended one first; none when neither is offered, as Rails does."""
    offers = set(offers)
    return next((name for name in (EXT_PROTOCOL, BASE_PROTOCOL) if name in offers), None)


class CableEndpoint:
    """The ASGI app of the route."""

    def __init__(self, audience: Audience, settings: Settings, telemetry: Telemetry) -> None:
        self._audience = audience
        self._settings = settings
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one handshake; returns when the connection was handed over, or has ended."""
        origin, host = header(scope["headers"], b"origin"), header(scope["headers"], b"host")
        allowed, required = self._settings.allowed_origins, self._settings.cable_require_origin
        await receive()  # websocket.connect
        if not may_connect(origin, host, allowed, required):
            self._telemetry.rejected.labels("cable", "origin").inc()
            await self._deny(scope, send)
            return
        protocol = choose(scope["subprotocols"])
        await send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
        await self._serve(protocol == EXT_PROTOCOL, scope, receive, send)

    async def _deny(self, scope: Scope, send: Send) -> None:
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(NOT_FOUND)).encode())]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": NOT_FOUND})

    async def _serve(self, ext: bool, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope.get("client") else None
        offer = offered(scope) if self._settings.handover else None
        session = CableSession(self._audience, self._telemetry, ext, raw=offer is not None)
        if offer is None:
            try:
                await run_cable(session, receive, send, partial(self._begin, session, address))
            finally:
                session.lost("lost")
            return
        taken = offer.take(session)
        if taken is not None:
            head, early = taken
            self._begin(session, address, head)
            if early:
                session.link.data_received(early)

    def _begin(self, session: CableSession, address: str | None, head: bytes = b"") -> None:
        refusal = self._audience.refusal(address)
        if refusal is None:
            session.open(head, address)
        else:
            self._telemetry.rejected.labels("cable", refusal).inc()
            session.sink.write(head)
            session.goodbye(refusal, self._audience.retry_ms())


NOT_FOUND = error_body(
    "not_found", "This page's origin may not connect: see ALLOWED_ORIGINS in docs/settings.md."
)
