"""Tickets: signed tokens that say which streams a client may read, and for how long (docs/protocol.md §6).

A ticket is a JWT (RFC 7519) signed with STREAM_AUTH_SECRET, issued here (issue.py) or by any other program that knows
the secret. Nothing here knows an endpoint; without the secret none of this runs.
"""

from __future__ import annotations

import hashlib
import math
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import jwt
from starlette.types import Scope

from ..errors import BadTicket, Forbidden
from ..telemetry import Telemetry
from .security import bearer, header_map
from .used_tickets import UsedTickets

ALGORITHM = "HS256"  # the only one, whatever a token says of itself (RFC 8725 §3.1)
MAX_TOKEN_CHARS = 8192
LEEWAY = 2.0  # seconds by which the clocks of two machines may differ
MAX_QUERY_FIELDS = 20
LATEST = 1 << 40  # Unix seconds: what lies behind is no time
SUBPROTOCOL = "anycable-token."  # in front of the token, among the subprotocols that a page offers
REASONS = (
    "missing",
    "too_large",
    "malformed",
    "signature",
    "expired",
    "not_yet",
    "used",
    "foreign_stream",
)
# What else a JWT may say is the business of whoever issued it.
UNREAD = ("verify_aud", "verify_iss", "verify_iat", "verify_sub", "verify_jti", "verify_exp", "verify_nbf")
HOW_TO_SEND = "in the header Authorization: Bearer, or as ?ticket= in the address"


class Ticket(NamedTuple):
    """What a token allows. Times are Unix seconds; `streams` is None for all.

    `opens_until`: it opens no connection later. `ends_at`: a connection that it opened ends then. `use`: what stands
    for it among the used ones, if it opens a single connection.
    """

    streams: frozenset[str] | None
    opens_until: float
    ends_at: float
    use: str | None = None

    @property
    def closes_at(self) -> float:
        """When to end a connection that it opened: with the leeway with which it was let in."""
        return self.ends_at + LEEWAY

    def names(self, stream: str) -> bool:
        """Tell whether it opens a stream."""
        return self.streams is None or stream in self.streams


class TicketSigner:
    """Reads and writes tokens with one secret. `clock` returns Unix seconds."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self.clock = clock

    def issue(self, ticket: Ticket, once: bool) -> str:
        """Return the token of a ticket, which opens one connection or any number. The id of its use is drawn here."""
        claims: dict[str, Any] = {
            "exp": math.floor(ticket.opens_until),
            "session_exp": math.floor(ticket.ends_at),
        }
        if ticket.streams is not None:
            claims["streams"] = sorted(ticket.streams)
        if once:
            claims |= {"once": True, "jti": uuid.uuid4().hex}
        return jwt.encode(claims, self._secret, ALGORITHM)

    def read(self, token: str) -> Ticket:
        """Return what a token allows now. Raises BadTicket."""
        if len(token) > MAX_TOKEN_CHARS:
            raise BadTicket(
                "too_large", f"The ticket has more than {MAX_TOKEN_CHARS} characters: ask for a shorter one."
            )
        ticket, not_before = _read_claims(token, self._claims(token))
        now = self.clock()
        if now < not_before - LEEWAY:
            raise BadTicket(
                "not_yet", "The ticket is not valid yet (nbf): compare the clocks of the two machines."
            )
        if now >= min(ticket.opens_until, ticket.ends_at) + LEEWAY:
            raise BadTicket("expired", "The ticket has expired: fetch a new one for each attempt.")
        return ticket

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            options: Any = dict.fromkeys(UNREAD, False)
            return jwt.decode(token, self._secret, algorithms=[ALGORITHM], options=options)
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            detail = (
                "The ticket is not signed with this server's STREAM_AUTH_SECRET and HS256: fetch one that is."
            )
            raise BadTicket("signature", detail) from None
        except (jwt.PyJWTError, ValueError):  # the latter for what is no text that can be encoded
            raise _malformed("it is no JWT") from None


def _malformed(why: str) -> BadTicket:
    return BadTicket("malformed", f"The ticket cannot be read ({why}): see docs/protocol.md §6.")


def _read_claims(token: str, claims: dict[str, Any]) -> tuple[Ticket, float]:
    """Return the ticket, and the time before which it is not valid. Raises BadTicket.

    A claim of ours that is there and cannot be read is never passed over: it would be a restriction.
    """
    expires = _time_claim(claims, "exp", None)
    streams = _streams_claim(claims)
    once = claims.get("once", False)
    if not isinstance(once, bool):
        raise _malformed("`once` is neither true nor false")
    use = _use_of(token, claims.get("jti", "")) if once else None
    ticket = Ticket(streams, expires, _time_claim(claims, "session_exp", expires), use)
    return ticket, _time_claim(claims, "nbf", 0.0)


def _streams_claim(claims: dict[str, Any]) -> frozenset[str] | None:
    """Return the streams that a token names; None, for all, only when it has no such claim. Raises BadTicket."""
    if "streams" not in claims:
        return None
    streams = claims["streams"]
    # Not null either: a program that knows of no stream for a reader may sign it, and would give him all.
    if not isinstance(streams, list) or not all(isinstance(name, str) for name in streams):
        raise _malformed("`streams` is no list of names")
    return frozenset(streams)


def _time_claim(claims: dict[str, Any], name: str, default: float | None) -> float:
    """Return a time (RFC 7519 §2, NumericDate). Raises BadTicket, also when it is missing and there is no default."""
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise _malformed(f"`{name}` is no time in Unix seconds")
    return float(value)


def _use_of(token: str, jti: object) -> str:
    """Return what stands for a single-use token: of its own id, else of what is signed. Never of the whole text.

    The signature of one token may be written in several ways. Raises BadTicket for an id that is no text (RFC 7519
    §4.1.7): passed over, two tokens with one id would be two uses.
    """
    if not isinstance(jti, str):
        raise _malformed("`jti` is no text")
    own = jti or token.rpartition(".")[0]
    return hashlib.sha256(own.encode("utf-8", "surrogatepass")).hexdigest()


# ---- in requests


def find_token(scope: Scope) -> str | None:
    """Return the token of a request; None when there is none.

    From `Authorization: Bearer`, `?ticket=`, and for a WebSocket as AnyCable's clients send it: `x-jid`, `?jid=`, or a
    subprotocol.
    """
    return next((token for token in _tokens(scope) if token), None)


def _tokens(scope: Scope) -> Iterator[str | None]:
    headers = header_map(scope["headers"])
    given = bearer(headers)
    yield given.decode("latin-1") if given else None
    query = _query(scope["query_string"])
    yield query.get("ticket")
    if scope["type"] == "websocket":
        yield headers.get(b"x-jid", b"").decode("latin-1")
        yield query.get("jid")
        offers = (offer.strip() for offer in scope["subprotocols"])
        yield next((o.removeprefix(SUBPROTOCOL) for o in offers if o.startswith(SUBPROTOCOL)), None)


def _query(raw: bytes) -> dict[str, str]:
    if not raw:
        return {}
    try:
        return dict(parse_qsl(raw.decode("latin-1"), max_num_fields=MAX_QUERY_FIELDS))
    except ValueError:  # too many fields: the endpoint says so
        return {}


class StreamAccess:
    """Who may read which stream. Checking costs no await; only what opens once is written down.

    An endpoint checks before it tells anything, and uses the ticket up when all else is well.
    """

    def __init__(self, signer: TicketSigner, used: UsedTickets, telemetry: Telemetry) -> None:
        self.signer = signer
        self._used = used
        self._telemetry = telemetry
        for reason in REASONS:
            telemetry.ticket_refusals.labels(reason)

    def check(self, scope: Scope) -> Ticket:
        """Return the ticket of a request. Raises BadTicket, which is counted."""
        try:
            token = find_token(scope)
            if token is None:
                raise BadTicket("missing", f"This server wants a ticket: send it {HOW_TO_SEND}.")
            return self.signer.read(token)
        except BadTicket as error:
            self.count(error.reason)
            raise

    def require_stream(self, ticket: Ticket, stream: str) -> None:
        """Raise Forbidden for a stream that the ticket does not name; counted."""
        if not ticket.names(stream):
            self.count("foreign_stream")
            raise Forbidden(
                f"The ticket does not open the stream {stream[:64]!r}: ask for one that names it."
            )

    async def use(self, ticket: Ticket) -> None:
        """Use a single-use ticket up; any other stays as it is. Raises BadTicket when it was used, LogUnavailable."""
        if ticket.use is None:
            return
        if not await self._used.add(ticket.use, ticket.opens_until):
            self.count("used")
            raise BadTicket("used", "The ticket was used already: fetch a new one for each attempt.")

    async def admit(self, scope: Scope, stream: str) -> Ticket:
        """Do all three, for a request that has nothing else to check."""
        ticket = self.check(scope)
        self.require_stream(ticket, stream)
        await self.use(ticket)
        return ticket

    def count(self, reason: str) -> None:
        """Count a refusal; `reason` is one of REASONS."""
        self._telemetry.ticket_refusals.labels(reason).inc()


def narrowed(ticket: Ticket, streams: Collection[str] | None, seconds: float, now: float) -> Ticket:
    """Return a ticket for `streams` (None: all that `ticket` names) that ends in `seconds`, within `ticket`.

    Raises Forbidden for a stream that `ticket` does not name.
    """
    for stream in streams or ():
        if not ticket.names(stream):
            raise Forbidden(f"Your own ticket does not open the stream {stream[:64]!r}: leave it out.")
    names = ticket.streams if streams is None else frozenset(streams)
    ends_at = min(now + seconds, ticket.ends_at)
    return Ticket(names, min(ends_at, ticket.opens_until), ends_at)
