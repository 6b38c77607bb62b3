"""POST /tickets: issues tickets to whoever may publish, to holders of a ticket, and to the demo's page.

So a page that holds a long-lived ticket sends it in a header, here alone, and puts what it gets into the address of a
connection: what ends up in the logs of a proxy has been used by then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ..errors import BadTicket, Forbidden, NotFound, Refused, TooLarge, Unauthorized, UnknownStream
from ..settings import Settings
from .responses import Json
from .security import (
    TokenBucket,
    bearer,
    header_map,
    is_bearer,
    is_local,
    request_host,
    require_same_origin,
)
from .tickets import StreamAccess, Ticket, narrowed

OPENS_SECONDS = 60.0  # how long a single-use ticket may be on its way
DEFAULT_TTL, MAX_TTL = 3600.0, 86400.0
MAX_BODY_BYTES = 4096
MAX_STREAMS = 100
DEMOS_PER_SECOND, DEMOS_AT_ONCE = 5.0, 20
EVERYTHING = Ticket(None, math.inf, math.inf)
USAGE = 'The body may be a JSON object such as {"streams": ["dashboard_updates"], "ttl": 3600, "once": true}'
NO_AUTHORITY = (
    "Send Authorization: Bearer with the value of PUBLISH_TOKEN, or with a ticket that is not single-use."
)


def routes(access: StreamAccess | None, settings: Settings) -> list[BaseRoute]:
    """Return the route of this module. Without STREAM_AUTH_SECRET (no `access`) it says that it is off."""
    endpoint = TicketEndpoint(access, settings)
    return [Route("/tickets", endpoint.post, methods=["POST"])]


class Wish(NamedTuple):
    """What a client asks for: names of streams (None: all that it may), seconds, and whether it opens once."""

    streams: tuple[str, ...] | None = None
    ttl: float = DEFAULT_TTL
    once: bool = True


class TicketEndpoint:
    """Issues tickets that allow no more than whoever asks may."""

    def __init__(self, access: StreamAccess | None, settings: Settings) -> None:
        self._access = access
        self._settings = settings
        self._bucket = TokenBucket(DEMOS_PER_SECOND, DEMOS_AT_ONCE, time.monotonic)

    async def post(self, request: Request) -> Response:
        """Answer 201 with a ticket. Raises Refused."""
        if self._access is None:
            raise NotFound("Streams are open to all: set STREAM_AUTH_SECRET to have them opened by tickets.")
        signer = self._access.signer
        authority = self._authority(request, self._access)
        wish = read_wish(await _read_body(request))
        now = signer.clock()
        ticket = narrowed(authority, wish.streams, wish.ttl, now)
        for stream in (
            wish.streams or ()
        ):  # only now: who may not read a stream does not learn whether it exists
            if stream not in self._settings.streams:
                raise UnknownStream(f"There is no stream {stream!r}: STREAMS lists those there are.")
        if wish.once:
            ticket = ticket._replace(opens_until=min(ticket.opens_until, now + OPENS_SECONDS))
        times = {"opens_until": math.floor(ticket.opens_until), "ends_at": math.floor(ticket.ends_at)}
        return Json({"ticket": signer.issue(ticket, wish.once), **times}, 201)

    def _authority(self, request: Request, access: StreamAccess) -> Ticket:
        """Return what the client may hand on. Raises Unauthorized, Forbidden, TooManyRequests."""
        headers = header_map(request.scope["headers"])
        token = bearer(headers)
        if token is None:
            self._require_demo(request, headers)
            return EVERYTHING
        if self._settings.publish_token and is_bearer(headers, self._settings.publish_token):
            return EVERYTHING
        try:
            authority = access.signer.read(token.decode("latin-1"))
        except BadTicket as error:
            access.count(error.reason)
            raise Unauthorized(f"{error.detail} {NO_AUTHORITY}") from None
        if authority.use is not None:
            raise Forbidden("A single-use ticket opens one connection, and issues no ticket.")
        return authority

    def _require_demo(self, request: Request, headers: Mapping[bytes, bytes]) -> None:
        """Let the demo's page have a ticket for nothing, on this machine alone."""
        local = is_local(request.scope.get("client"), headers, self._settings.on_loopback)
        if not self._settings.demo or not local:
            raise Unauthorized(NO_AUTHORITY)
        require_same_origin(headers, request_host(request.scope))
        self._bucket.take()


async def _read_body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"{USAGE}, of at most {MAX_BODY_BYTES} bytes.")
    return body


def read_wish(body: bytes) -> Wish:
    """Read the body of a request; an empty one asks for nothing in particular. Raises Refused."""
    try:
        fields: Any = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError:
        raise Refused(f"{USAGE}.") from None
    if not isinstance(fields, dict) or not fields.keys() <= {"streams", "ttl", "once"}:
        raise Refused(f"{USAGE}; there are no other fields.")
    streams, ttl, once = fields.get("streams"), fields.get("ttl", DEFAULT_TTL), fields.get("once", True)
    # null is no list either: it may be meant as none, and must not be understood as all.
    if "streams" in fields and not (
        isinstance(streams, list)
        and 0 < len(streams) <= MAX_STREAMS
        and all(isinstance(n, str) for n in streams)
    ):
        raise Refused(f"streams must be a list of 1 to {MAX_STREAMS} names.")
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 1 <= ttl <= MAX_TTL:
        raise Refused(f"ttl must be a number of seconds from 1 to {MAX_TTL:.0f}.")
    if not isinstance(once, bool):
        raise Refused("once must be true or false.")
    return Wish(None if streams is None else tuple(streams), float(ttl), once)
