"""The endpoints that change something: POST /streams/{stream} and POST /dashboard/trigger-* (docs/protocol.md §5).

They know the publisher and the collectors, not the log: a 201 means that the publisher gave a receipt.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from ..dashboard.collectors import Collectors
from ..errors import InvalidUpdate, Refused, TooLarge, UnknownStream, UnsupportedBody
from ..eventlog.publisher import Publisher, clean_json
from ..settings import DASHBOARD_STREAM, Settings
from .api import whole_parameter
from .responses import Json, send_json
from .security import TokenBucket, header_map, request_host, require_same_origin, require_token

MAX_UPDATE_BYTES = 65536
MAX_BATCH_BYTES = 1024 * 1024
MAX_KEY_BYTES = 64
BATCH_TYPE = b"application/x-ndjson"
CHARSET = re.compile(rb';\s*charset\s*=\s*"?([^\s;"]*)', re.IGNORECASE)
UTF_8 = (b"utf-8", b"utf8", b"us-ascii", b"ascii")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TRIGGERS_PER_SECOND = 2.0
TRIGGERS_AT_ONCE = 10
BURST_UPDATES = 100
MAX_BURST_UPDATES = 1000


def routes(publisher: Publisher, collectors: Collectors, settings: Settings) -> list[BaseRoute]:
    """Return the routes of this module. All are POST: a GET never changes anything."""
    bucket = TokenBucket(TRIGGERS_PER_SECOND, TRIGGERS_AT_ONCE, time.monotonic)
    triggers = TriggerEndpoints(collectors, settings, bucket)
    return [
        Route("/streams/{stream}", PublishEndpoint(publisher, settings.publish_token), methods=["POST"]),
        *triggers.routes(),
    ]


# ---- POST /streams/{stream}


class PublishEndpoint:
    """The ASGI app of the route. The name of the stream is a path parameter.

    Bare ASGI, because what a request costs here is what a publish costs.
    """

    def __init__(self, publisher: Publisher, token: str | None) -> None:
        self._publisher = publisher
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Publish the body and answer 201 with its position. Raises Refused."""
        try:
            body = await self._publish(scope, receive)
        except ClientDisconnect:
            return  # nobody waits for an answer, and a part of a body is not published
        await send_json(send, 201, body)

    async def _publish(self, scope: Scope, receive: Receive) -> bytes:
        headers = header_map(scope["headers"])
        # Before everything else: a client without the token learns nothing, not even which streams there are.
        require_token(headers, self._token)
        key = _idempotency_key(headers.get(b"idempotency-key"))
        is_batch = _media_type(headers) == BATCH_TYPE
        limit = MAX_BATCH_BYTES if is_batch else MAX_UPDATE_BYTES
        raw = await _read_body(receive, headers.get(b"content-length"), limit)
        raw = plain_utf8(raw)
        texts = split_lines(raw) if is_batch else [clean_json(raw)]
        receipt = await self._publisher.publish(scope["path_params"]["stream"], texts, key)
        if is_batch:
            return orjson.dumps({"position": str(receipt.position), "count": receipt.count})
        return b'{"position":"%b"}' % str(receipt.position).encode()


def _media_type(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the media type of the body, without parameters. Raises UnsupportedBody for what cannot be JSON in UTF-8.

    Other types are not looked at: `curl -d` calls every body a form.
    """
    coding = headers.get(b"content-encoding", b"identity").lower()
    if coding not in (b"", b"identity"):
        raise UnsupportedBody("Send the body as it is, without Content-Encoding: it is not decompressed.")
    content_type = headers.get(b"content-type", b"").lower()
    charset = CHARSET.search(content_type)
    if charset and charset[1] not in UTF_8:
        raise UnsupportedBody("Send the body in UTF-8, the encoding of JSON (RFC 8259 §8.1).")
    if content_type.startswith(b"multipart/"):
        raise UnsupportedBody("Send the JSON itself as the body, not a form in parts: with curl -d, not -F.")
    return content_type.partition(b";")[0].strip()


def plain_utf8(raw: bytes) -> bytes:
    """Return a body without the byte order mark that some editors write (RFC 8259 §8.1 lets a parser ignore it).

    Raises UnsupportedBody for one that is compressed or not UTF-8, whatever its headers say of it.
    """
    if raw.startswith(b"\x1f\x8b"):
        raise UnsupportedBody("Send the body as it is: this one is compressed with gzip.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:4]:
        raise UnsupportedBody("Send the body in UTF-8: this one looks like UTF-16 or UTF-32.")
    return raw.removeprefix(BYTE_ORDER_MARK)


def _idempotency_key(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    if not 0 < len(raw) <= MAX_KEY_BYTES or not raw.isascii():
        raise Refused(f"Idempotency-Key must be 1 to {MAX_KEY_BYTES} ASCII characters.")
    return raw.decode()


async def _read_body(receive: Receive, content_length: bytes | None, limit: int) -> bytes:
    """Read a body of at most `limit` bytes. `content_length` is what the client announced.

    Raises TooLarge as soon as the body turns out to be longer, ClientDisconnect when the client leaves within it.
    """
    if content_length is not None and content_length.isdigit() and int(content_length) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)  # no copy of a single part, which it nearly always is
    raise ClientDisconnect


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"At most {limit} bytes: send less, or one update a line as {BATCH_TYPE.decode()}.")


def split_lines(raw: bytes) -> list[str]:
    """Return the updates of an NDJSON body; blank lines are skipped. Raises InvalidUpdate, TooLarge."""
    texts = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        if len(line) > MAX_UPDATE_BYTES:
            raise TooLarge(f"Line {number} has more than {MAX_UPDATE_BYTES} bytes; nothing was published.")
        try:
            texts.append(clean_json(line))
        except InvalidUpdate as error:
            raise InvalidUpdate(f"Line {number}: {error.detail} Nothing was published.") from None
    if not texts:
        raise InvalidUpdate("The body holds no update: send one JSON text a line.")
    return texts


# ---- POST /dashboard/trigger-*


class TriggerEndpoints:
    """Run the collectors now; publish one test update, or many.

    The token opens them. Without it they are open only when DEMO is on, to pages of this host, at the rate of `bucket`.
    """

    def __init__(self, collectors: Collectors, settings: Settings, bucket: TokenBucket) -> None:
        self._collectors = collectors
        self._settings = settings
        self._bucket = bucket

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/dashboard/trigger-jobs", self.run_jobs, methods=["POST"]),
            Route("/dashboard/trigger-test-pubsub", self.publish_one, methods=["POST"]),
            Route("/dashboard/trigger-burst", self.publish_burst, methods=["POST"]),
        ]

    async def run_jobs(self, request: Request) -> Response:
        self._authorize(request)
        await self._collectors.run_now()
        return Json({"ran": [job.name for job in self._collectors.jobs]})

    async def publish_one(self, request: Request) -> Response:
        self._authorize(request)
        return await self._publish(1)

    async def publish_burst(self, request: Request) -> Response:
        """Publish `?count=` test updates at once (default 100)."""
        self._authorize(request)
        return await self._publish(whole_parameter(request, "count", BURST_UPDATES, MAX_BURST_UPDATES))

    def _authorize(self, request: Request) -> None:
        """Raise Refused unless the request may use a trigger."""
        if DASHBOARD_STREAM not in self._settings.streams:
            raise UnknownStream(f"STREAMS does not list {DASHBOARD_STREAM}.")
        headers = header_map(request.scope["headers"])
        # A token that is sent is checked in the demo too: its owner wants to know whether it is right.
        if b"authorization" in headers or not self._settings.demo:
            require_token(headers, self._settings.publish_token)
            return
        require_same_origin(headers, request_host(request.scope))
        self._bucket.take()

    async def _publish(self, count: int) -> Response:
        receipt = await self._collectors.publish_test(count)
        return Json({"position": str(receipt.position), "count": receipt.count}, 201)
