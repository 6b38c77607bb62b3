"""responses: JSON, errors and their headers, and the check of a query parameter."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message, Receive, Scope, Send

from dashboard_rt.errors import (
    Forbidden,
    InvalidUpdate,
    LogUnavailable,
    Misdirected,
    NotFound,
    NotStarted,
    Refused,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UnsupportedBody,
)
from dashboard_rt.http.responses import Json, counting_handlers, exception_handlers, send_json
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.types import Kind


def client(error: Exception) -> TestClient:
    """A client of an app whose routes raise `error`, each in another shape of endpoint."""

    async def function(request: Request) -> Response:
        raise error

    class Bare:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            raise error

    app = Starlette(
        routes=[
            Route("/function", function),
            Route("/bare", Bare(), methods=["GET", "POST"]),
            WebSocketRoute("/websocket", Bare()),
            Route("/post-only", Json([1]), methods=["POST"]),
            Route("/enum", Json({Kind.LOG: Kind.STATE})),
            Route("/text", Json('{"ready": true}')),
        ],
        exception_handlers=dict(exception_handlers),
    )
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def plain() -> TestClient:
    return client(Refused("Unused."))


# ---- errors


@pytest.mark.parametrize("path", ["/function", "/bare"])
@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (Refused("x"), 400, "bad_request", {}),
        (Unauthorized("x"), 401, "unauthorized", {"www-authenticate": "Bearer"}),
        (Forbidden("x"), 403, "forbidden", {}),
        (NotFound("x"), 404, "not_found", {}),
        (TooLarge("x"), 413, "too_large", {"connection": "close"}),
        (UnsupportedBody("x"), 415, "unsupported_media_type", {"connection": "close"}),
        (Misdirected("x"), 421, "misdirected_request", {}),
        (InvalidUpdate("x"), 422, "invalid_json", {}),
        (TooManyRequests("x"), 429, "too_many_requests", {"retry-after": "1"}),
        (LogUnavailable("x"), 503, "log_unavailable", {"retry-after": "1"}),
        (NotStarted("x"), 503, "not_started", {"retry-after": "1"}),
    ],
)
def test_refusals(path: str, error: Refused, status: int, code: str, headers: dict[str, str]) -> None:
    answer = client(error).get(path)
    assert (answer.status_code, answer.json()) == (status, {"error": code, "detail": "x"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    special = {"www-authenticate", "connection", "retry-after"}
    assert {name: value for name, value in answer.headers.items() if name in special} == headers


def test_a_refused_handshake_is_denied_with_the_same_answer() -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client(NotFound("Not from here.")).websocket_connect("/websocket"),
    ):
        pass
    assert denied.value.status_code == 404
    assert denied.value.json() == {"error": "not_found", "detail": "Not from here."}


def test_refusals_are_counted_by_their_code() -> None:
    async def refuse(request: Request) -> Response:
        raise Forbidden("x")

    telemetry = Telemetry()
    app = Starlette(routes=[Route("/", refuse)], exception_handlers=counting_handlers(telemetry))
    assert TestClient(app).get("/").json() == {"error": "forbidden", "detail": "x"}
    assert TestClient(app).get("/none").status_code == 404
    assert telemetry.value("refused", reason="forbidden") == 1
    assert telemetry.value("refused", reason="not_found") == 0


def test_a_fault_of_ours_does_not_reveal_its_cause() -> None:
    answer = client(ZeroDivisionError("secret")).get("/function")
    assert answer.status_code == 500 and answer.json()["error"] == "internal_server_error"
    assert "Zero" not in answer.text and "secret" not in answer.text


def test_unknown_path_and_wrong_method(plain: TestClient) -> None:
    unknown, wrong = plain.get("/nothing"), plain.get("/post-only")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


# ---- JSON


def test_json_is_not_stored_and_not_guessed(plain: TestClient) -> None:
    answer = plain.post("/post-only")
    assert answer.json() == [1]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_enums_are_keys_and_values(plain: TestClient) -> None:
    assert plain.get("/enum").json() == {"log": "state"}


def test_text_is_json_already(plain: TestClient) -> None:
    assert plain.get("/text").text == '{"ready": true}'


@pytest.mark.anyio
async def test_send_json_sends_what_a_response_would() -> None:
    async def sent_by(app: Json | None) -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("nothing is read")

        async def send(message: Message) -> None:
            sent.append(message)

        if app is None:
            await send_json(send, 201, b"[1]")
        else:
            await app({"type": "http"}, receive, send)
        return [{**message, "headers": sorted(message.get("headers", []))} for message in sent]

    bare, response = await sent_by(None), await sent_by(Json([1], 201))
    assert [{**message, "more_body": False} for message in bare] == [
        {**message, "more_body": False} for message in response
    ]


def test_a_client_that_leaves_within_its_body_is_no_fault_of_ours() -> None:
    """Nothing is raised again for the server, which would log a traceback, as often as anybody likes."""
    for path in ("/function", "/bare"):
        app = client(ClientDisconnect()).app
        assert TestClient(app).get(path).status_code == 400
