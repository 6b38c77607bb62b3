"""POST /streams/{stream}: publishing over HTTP. A bare ASGI endpoint, for its cost is that of a publish.

Knows the publisher, not the log: an answer of 201 means that the publisher has a receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import orjson
from starlette.types import Receive, Scope, Send

from .access import require_token
from .errors import InvalidUpdate, Refused, TooLarge
from .publisher import clean_json
from .replies import send_json, send_refusal
from .types import Receipt

MAX_UPDATE_BYTES = 65536
MAX_BATCH_BYTES = 1024 * 1024
MAX_KEY_BYTES = 64
BATCH_TYPE = b"application/x-ndjson"


class Publishes(Protocol):
    """The one thing that is asked of the publisher."""

    async def publish(self, stream: str, texts: Sequence[str], key: str | None = None) -> Receipt:
        """Write the updates; raises UnknownStream or LogUnavailable."""


class ClientLeft(Exception):
    """The client went away before its body was complete: nothing is published, nobody waits."""


class PublishEndpoint:
    """The ASGI app of the route; the stream's name is a path parameter."""

    def __init__(self, publisher: Publishes, token: str | None) -> None:
        self._publisher = publisher
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Publish, and answer 201 with the position."""
        try:
            body = await self._publish(scope, receive)
        except Refused as error:
            await send_refusal(send, error)
        except ClientLeft:
            return
        else:
            await send_json(send, 201, body)

    async def _publish(self, scope: Scope, receive: Receive) -> bytes:
        headers = dict(scope["headers"])
        require_token(headers, self._token)
        key = _idempotency_key(headers.get(b"idempotency-key"))
        batch = headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == BATCH_TYPE
        raw = await _body(
            receive, headers.get(b"content-length"), MAX_BATCH_BYTES if batch else MAX_UPDATE_BYTES
        )
        texts = _lines(raw) if batch else [clean_json(raw)]
        receipt = await self._publisher.publish(scope["path_params"]["stream"], texts, key)
        if batch:
            return orjson.dumps({"position": str(receipt.position), "count": receipt.count})
        return b'{"position":"%b"}' % str(receipt.position).encode()


def _idempotency_key(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    if not 0 < len(raw) <= MAX_KEY_BYTES or not raw.isascii():
        raise Refused(f"Idempotency-Key must be 1 to {MAX_KEY_BYTES} ASCII characters.")
    return raw.decode()


async def _body(receive: Receive, length: bytes | None, limit: int) -> bytes:
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")  # nearly always all of it
        return _within(body, limit)
    parts: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()
    raise ClientLeft


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"At most {limit} bytes: send less, or one update a line as {BATCH_TYPE.decode()}.")


def _lines(raw: bytes) -> list[str]:
    """The updates of an NDJSON body; blank lines between them say nothing."""
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
