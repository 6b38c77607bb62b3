"""publish: every row of docs/protocol.md §5 on POST /streams/{stream}, and who may use the triggers."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message

from dashboard_rt.dashboard.collectors import Collectors, Job
from dashboard_rt.errors import LogUnavailable, UnknownStream
from dashboard_rt.eventlog.publisher import Publisher
from dashboard_rt.http.publish import (
    MAX_BATCH_BYTES,
    MAX_UPDATE_BYTES,
    PublishEndpoint,
    TriggerEndpoints,
    routes,
)
from dashboard_rt.http.responses import exception_handlers
from dashboard_rt.http.security import TokenBucket
from dashboard_rt.settings import Settings
from dashboard_rt.types import Fence, Position, Receipt

pytestmark = pytest.mark.anyio
TOKEN = "s3cret"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
NDJSON = {**AUTHORIZED, "content-type": "application/x-ndjson; charset=utf-8"}


class FakePublisher(Publisher):
    """Keeps what is published, in one stream called `events`."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.keys: list[str | None] = []
        self.away = False

    async def publish(
        self, stream: str, texts: Sequence[str], key: str | None = None, fence: Fence | None = None
    ) -> Receipt:
        if self.away:
            raise LogUnavailable("Try again.")
        if stream != "events":
            raise UnknownStream("No such stream.")
        self.texts += texts
        self.keys.append(key)
        return Receipt(Position("k3f9", len(self.texts)), len(texts))


class Answer:
    """What was sent in answer to a request."""

    def __init__(self, sent: list[Message]) -> None:
        start, body = sent
        self.status = start["status"]
        self.headers = dict(start["headers"])
        self.json: Any = orjson.loads(body["body"])

    @property
    def error(self) -> tuple[int, str]:
        assert self.json["detail"].endswith(".")
        return self.status, self.json["error"]


class Exchange:
    """One request to POST /streams/`stream` and what came of it. `unread`: messages that nobody received."""

    def __init__(self, publisher: Publisher, token: str | None, stream: str) -> None:
        endpoint = PublishEndpoint(publisher, token)
        self._app = Starlette(
            routes=[Route("/streams/{stream}", endpoint, methods=["POST"])],
            exception_handlers=dict(exception_handlers),
        )
        self._path = f"/streams/{stream}"
        self.unread: list[Message] = []
        self.sent: list[Message] = []

    async def run(self, messages: Sequence[Message], headers: dict[str, str]) -> None:
        self.unread = list(messages)
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": self._path, "query_string": b"", "headers": raw}
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        return self.unread.pop(0)

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


def body_in(*parts: bytes) -> list[Message]:
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    return messages


async def post(
    publisher: FakePublisher,
    *parts: bytes,
    headers: dict[str, str] = AUTHORIZED,
    stream: str = "events",
    token: str | None = TOKEN,
) -> Answer:
    """Publish a body that arrives in these parts."""
    exchange = Exchange(publisher, token, stream)
    await exchange.run(body_in(*parts), headers)
    return Answer(exchange.sent)


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


@pytest.mark.parametrize(
    "headers",
    [
        {"content-encoding": "gzip"},
        {"content-encoding": "br"},
        {"content-encoding": "deflate, identity"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": 'text/plain; Charset="ISO-8859-1"'},
        {"content-type": "application/x-ndjson;charset=latin1"},
    ],
    ids=str,
)
async def test_a_body_in_a_form_that_is_not_read(publisher: FakePublisher, headers: dict[str, str]) -> None:
    exchange = Exchange(publisher, TOKEN, "events")
    await exchange.run(body_in(b"1"), {**AUTHORIZED, **headers})
    answer = Answer(exchange.sent)
    assert answer.error == (415, "unsupported_media_type")
    assert answer.headers[b"accept-encoding"] == b"identity"
    assert exchange.unread, "the body was not read"


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"1", mtime=0),
        *('{"a":1}'.encode(code) for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")),
    ],
)
@pytest.mark.parametrize("headers", [AUTHORIZED, NDJSON])
async def test_a_body_whose_headers_do_not_say_its_form(
    publisher: FakePublisher, body: bytes, headers: dict[str, str]
) -> None:
    assert (await post(publisher, body, headers=headers)).error == (415, "unsupported_media_type")
    assert publisher.texts == []


@pytest.mark.parametrize(
    "headers",
    [
        {"content-encoding": "Identity"},
        {"content-encoding": ""},
        {"content-type": "application/x-www-form-urlencoded"},  # what curl -d says
        {"content-type": "application/json; charset=UTF-8"},
        {"content-type": 'text/plain; x="charset=utf-16"'},
        {"content-type": "application/json;charset=us-ascii"},
    ],
    ids=str,
)
async def test_other_types_are_not_looked_at(publisher: FakePublisher, headers: dict[str, str]) -> None:
    assert (await post(publisher, b"1", headers={**AUTHORIZED, **headers})).status == 201


async def test_a_byte_order_mark_is_no_part_of_the_update(publisher: FakePublisher) -> None:
    await post(publisher, b'\xef\xbb\xbf{"a":1}')
    await post(publisher, b"\xef\xbb\xbf1\n2", headers=NDJSON)
    assert publisher.texts == ['{"a":1}', "1", "2"]


async def test_white_space_behind_a_header_is_no_part_of_it(publisher: FakePublisher) -> None:
    headers = {
        "authorization": f"Bearer {TOKEN}\t ",
        "idempotency-key": " order-17 ",
        "content-type": "application/x-ndjson \t",
        "content-length": "3 ",
        "content-encoding": "identity ",
    }
    assert (await post(publisher, b"1\n2", headers=headers)).json["count"] == 2
    assert publisher.keys == ["order-17"]


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


async def test_the_rest_of_a_body_that_is_too_large_is_not_read(publisher: FakePublisher) -> None:
    exchange = Exchange(publisher, TOKEN, "events")
    await exchange.run(body_in(b" " * MAX_UPDATE_BYTES, b" ", b"more", b"still more"), AUTHORIZED)
    assert Answer(exchange.sent).error == (413, "too_large")
    assert [message["body"] for message in exchange.unread] == [b"more", b"still more"]


async def test_without_the_token_no_body_is_read(publisher: FakePublisher) -> None:
    exchange = Exchange(publisher, TOKEN, "events")
    await exchange.run(body_in(b"1", b"2"), {})
    assert Answer(exchange.sent).error == (401, "unauthorized")
    assert len(exchange.unread) == 2


async def test_a_client_that_leaves_publishes_nothing(publisher: FakePublisher) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"1", "more_body": True},
        {"type": "http.disconnect"},
    ]
    for received in (messages, messages[1:]):
        exchange = Exchange(publisher, TOKEN, "events")
        await exchange.run(received, AUTHORIZED)
        assert exchange.sent == []
    assert publisher.texts == []


# ---- the triggers

PATHS = ["/dashboard/trigger-jobs", "/dashboard/trigger-test-pubsub", "/dashboard/trigger-burst"]


async def no_work() -> None:
    raise AssertionError("only run_now() is called")


class FakeCollectors(Collectors):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.jobs = (Job("metrics", 5, no_work), Job("status", 15, no_work))
        self.runs = 0
        self.published: list[int] = []
        self.away = False

    async def run_now(self) -> None:
        if self.away:
            raise LogUnavailable("Try again.")
        self.runs += 1

    async def publish_test(self, count: int = 1) -> Receipt:
        self.published.append(count)
        return Receipt(Position("e", sum(self.published)), count)


@pytest.fixture
def collectors() -> FakeCollectors:
    return FakeCollectors()


def client(collectors: FakeCollectors, at_once: int = 5, **environ: str) -> TestClient:
    bucket = TokenBucket(1, at_once, clock=lambda: 0.0)
    triggers = TriggerEndpoints(collectors, Settings.read(environ), bucket)
    app = Starlette(routes=triggers.routes(), exception_handlers=dict(exception_handlers))
    return TestClient(app, base_url="http://127.0.0.1:3000")


def test_triggers_in_the_demo(collectors: FakeCollectors) -> None:
    demo = client(collectors)
    assert demo.post(PATHS[0]).json() == {"ran": ["metrics", "status"]}
    one, many = demo.post(PATHS[1]), demo.post(PATHS[2])
    assert (one.status_code, one.json()) == (201, {"position": "e-1", "count": 1})
    assert (many.status_code, many.json()) == (201, {"position": "e-101", "count": 100})
    assert collectors.runs == 1 and collectors.published == [1, 100]


@pytest.mark.parametrize("path", PATHS)
def test_triggers_are_post_only(collectors: FakeCollectors, path: str) -> None:
    assert client(collectors).get(path).status_code == 405
    assert collectors.runs == 0 and collectors.published == []


@pytest.mark.parametrize("path", PATHS)
def test_triggers_outside_the_demo(collectors: FakeCollectors, path: str) -> None:
    assert client(collectors, DEMO="off").post(path).status_code == 404
    guarded = client(collectors, DEMO="off", PUBLISH_TOKEN="s3cret")
    assert guarded.post(path).status_code == 401
    assert guarded.post(path, headers=AUTHORIZED).status_code in (200, 201)


def test_a_wrong_token_is_wrong_in_the_demo_too(collectors: FakeCollectors) -> None:
    demo = client(collectors, PUBLISH_TOKEN="s3cret")
    assert demo.post(PATHS[0], headers={"authorization": "Bearer x"}).status_code == 401


def test_pages_of_other_hosts_need_the_token(collectors: FakeCollectors) -> None:
    demo = client(collectors, PUBLISH_TOKEN="s3cret")
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert demo.post(PATHS[1], headers=foreign).json()["error"] == "forbidden"
    own = {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-origin"}
    assert demo.post(PATHS[1], headers=own).status_code == 201
    assert demo.post(PATHS[1], headers={**foreign, **AUTHORIZED}).status_code == 201


def test_the_rate_limit_without_the_token(collectors: FakeCollectors) -> None:
    demo = client(collectors, at_once=2, PUBLISH_TOKEN="s3cret")
    assert [demo.post(PATHS[1]).status_code for _ in range(3)] == [201, 201, 429]
    assert demo.post(PATHS[1], headers=AUTHORIZED).status_code == 201


@pytest.mark.parametrize(
    ("count", "status"), [("1", 201), ("1000", 201), ("0", 400), ("1001", 400), ("x", 400)]
)
def test_size_of_a_burst(collectors: FakeCollectors, count: str, status: int) -> None:
    assert client(collectors).post(f"{PATHS[2]}?count={count}").status_code == status


def test_no_dashboard_stream(collectors: FakeCollectors) -> None:
    answer = client(collectors, STREAMS="events:log", JOBS="off").post(PATHS[0])
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_stream")


def test_a_trigger_while_the_log_is_away(collectors: FakeCollectors) -> None:
    collectors.away = True
    assert client(collectors).post(PATHS[0]).status_code == 503


# ---- routes


def test_routes(publisher: FakePublisher, collectors: FakeCollectors) -> None:
    app = Starlette(
        routes=routes(publisher, collectors, Settings.read({"PUBLISH_TOKEN": TOKEN})),
        exception_handlers=dict(exception_handlers),
    )
    client = TestClient(app, base_url="http://127.0.0.1:3000")
    assert client.post("/streams/events", content="1", headers=AUTHORIZED).json() == {"position": "k3f9-1"}
    assert client.get("/streams/events").status_code == 405
    assert [client.post(path).status_code for path in PATHS] == [200, 201, 201]
