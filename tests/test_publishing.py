"""POST /streams/{stream}: every row of protocol §5, on the bare ASGI endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from starlette.types import Message

from dashboard_rt.errors import LogUnavailable, UnknownStream
from dashboard_rt.publishing import MAX_BATCH_BYTES, MAX_UPDATE_BYTES, PublishEndpoint
from dashboard_rt.types import Position, Receipt

pytestmark = pytest.mark.anyio
TOKEN = "s3cret"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
NDJSON = {**AUTHORIZED, "content-type": "application/x-ndjson; charset=utf-8"}


class FakePublisher:
    """Keeps what is published, in one stream called `events`."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.keys: list[str | None] = []
        self.away = False

    async def publish(self, stream: str, texts: Sequence[str], key: str | None = None) -> Receipt:
        if self.away:
            raise LogUnavailable("Try again.")
        if stream != "events":
            raise UnknownStream("No such stream.")
        self.texts += texts
        self.keys.append(key)
        return Receipt(Position("k3f9", len(self.texts)), len(texts))


class Answer:
    """What the endpoint sent."""

    def __init__(self, sent: list[Message]) -> None:
        start, body = sent
        self.status = start["status"]
        self.headers = dict(start["headers"])
        self.json: Any = orjson.loads(body["body"])

    @property
    def error(self) -> tuple[int, str]:
        assert self.json["detail"].endswith(".")
        return self.status, self.json["error"]


async def exchange(
    endpoint: PublishEndpoint, messages: list[Message], headers: dict[str, str], stream: str
) -> list[Message]:
    sent: list[Message] = []
    pending = iter(messages)

    async def receive() -> Message:
        return next(pending)

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "headers": raw, "path_params": {"stream": stream}}
    await endpoint(scope, receive, send)
    return sent


async def post(
    publisher: FakePublisher,
    *parts: bytes,
    headers: dict[str, str] = AUTHORIZED,
    stream: str = "events",
    token: str | None = TOKEN,
) -> Answer:
    """Publish a body that comes in these parts."""
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    return Answer(await exchange(PublishEndpoint(publisher, token), messages, headers, stream))


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


async def test_published(publisher: FakePublisher) -> None:
    answer = await post(publisher, b'{"a": 1}')
    assert (answer.status, answer.json) == (201, {"position": "k3f9-1"})
    assert answer.headers[b"content-type"] == b"application/json"
    assert publisher.texts == ['{"a": 1}'] and publisher.keys == [None]


async def test_a_body_in_parts(publisher: FakePublisher) -> None:
    assert (await post(publisher, b'{"a"', b"", b":1}")).status == 201
    assert publisher.texts == ['{"a":1}']


async def test_line_breaks_become_spaces(publisher: FakePublisher) -> None:
    await post(publisher, b'{\r\n"a":\n1}')
    assert publisher.texts == ['{  "a": 1}']


async def test_idempotency_key(publisher: FakePublisher) -> None:
    assert (await post(publisher, b"1", headers={**AUTHORIZED, "idempotency-key": "k" * 64})).status == 201
    assert publisher.keys == ["k" * 64]


@pytest.mark.parametrize("key", ["", "k" * 65, "schlüssel"])
async def test_bad_keys(publisher: FakePublisher, key: str) -> None:
    answer = await post(publisher, b"1", headers={**AUTHORIZED, "idempotency-key": key})
    assert answer.error == (400, "bad_request") and publisher.texts == []


async def test_many_at_once(publisher: FakePublisher) -> None:
    answer = await post(publisher, b'1\r\n\n{"a":\t2}\n', b'"drei"', headers=NDJSON)
    assert (answer.status, answer.json) == (201, {"position": "k3f9-3", "count": 3})
    assert publisher.texts == ["1 ", '{"a":\t2}', '"drei"']


async def test_all_or_none(publisher: FakePublisher) -> None:
    answer = await post(publisher, b"1\n2\n{", headers=NDJSON)
    assert answer.error == (422, "invalid_json")
    assert "Line 3" in answer.json["detail"] and publisher.texts == []


async def test_an_empty_batch(publisher: FakePublisher) -> None:
    assert (await post(publisher, b"\n \n", headers=NDJSON)).error == (422, "invalid_json")


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"1 2", b'"\\ud800"', b"\xff", b"[Infinity]"])
async def test_not_json(publisher: FakePublisher, body: bytes) -> None:
    assert (await post(publisher, body)).error == (422, "invalid_json")


async def test_the_token(publisher: FakePublisher) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = await post(publisher, b"1", headers=headers)
        assert answer.error == (401, "unauthorized")
        assert answer.headers[b"www-authenticate"] == b"Bearer"
    assert publisher.texts == []


async def test_no_token_configured(publisher: FakePublisher) -> None:
    assert (await post(publisher, b"1", token=None)).error == (404, "not_found")


async def test_unknown_stream_is_told_to_those_with_the_token_only(publisher: FakePublisher) -> None:
    assert (await post(publisher, b"1", stream="other")).error == (404, "unknown_stream")
    assert (await post(publisher, b"1", stream="other", headers={})).error == (401, "unauthorized")


async def test_the_log_is_away(publisher: FakePublisher) -> None:
    publisher.away = True
    answer = await post(publisher, b"1")
    assert answer.error == (503, "log_unavailable") and answer.headers[b"retry-after"] == b"1"


@pytest.mark.parametrize(("headers", "limit"), [(AUTHORIZED, MAX_UPDATE_BYTES), (NDJSON, MAX_BATCH_BYTES)])
async def test_too_large(publisher: FakePublisher, headers: dict[str, str], limit: int) -> None:
    whole = b"1" + b" " * limit
    announced = {**headers, "content-length": str(len(whole))}
    for answer in (
        await post(publisher, whole, headers=headers),
        await post(publisher, whole[:5], whole[5:], b"never read", headers=headers),
        await post(publisher, b"never read", headers=announced),
    ):
        assert answer.error == (413, "too_large")
        assert answer.headers[b"connection"] == b"close", "the rest of the body is not waited for"


async def test_the_largest_update(publisher: FakePublisher) -> None:
    body = b'"' + b"x" * (MAX_UPDATE_BYTES - 2) + b'"'
    assert (await post(publisher, body)).status == 201
    assert (await post(publisher, body + b"\n1", headers=NDJSON)).status == 201
    assert (await post(publisher, b"1\n" + body + b" ", headers=NDJSON)).error == (413, "too_large")


async def test_a_client_that_leaves_publishes_nothing(publisher: FakePublisher) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"1", "more_body": True},
        {"type": "http.disconnect"},
    ]
    endpoint = PublishEndpoint(publisher, TOKEN)
    assert await exchange(endpoint, messages, AUTHORIZED, "events") == []
    assert await exchange(endpoint, messages[1:], AUTHORIZED, "events") == []
    assert publisher.texts == []
