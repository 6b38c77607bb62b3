"""What answers look like."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message

from dashboard_rt.errors import LogUnavailable, Refused, TooLarge, TooManyRequests, Unauthorized
from dashboard_rt.replies import Json, exception_handlers, send_refusal


async def fail(request: Request) -> Response:
    match request.path_params["how"]:
        case "refused":
            raise LogUnavailable("Try again.")
        case _:
            raise ZeroDivisionError


def client() -> TestClient:
    app = Starlette(
        routes=[Route("/fail/{how}", fail), Route("/only", Json([1]), methods=["POST"])],
        exception_handlers=dict(exception_handlers),
    )
    return TestClient(app, raise_server_exceptions=False)


def test_refused() -> None:
    answer = client().get("/fail/refused")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert answer.json() == {"error": "log_unavailable", "detail": "Try again."}


def test_a_fault_of_ours_says_nothing_of_its_cause() -> None:
    answer = client().get("/fail/other")
    assert answer.status_code == 500 and answer.json()["error"] == "internal_server_error"
    assert "Zero" not in answer.text


def test_not_found_and_wrong_method() -> None:
    missing, wrong = client().get("/nothing"), client().get("/only")
    assert (missing.status_code, missing.json()["error"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


def test_json_is_not_stored_and_not_guessed() -> None:
    answer = client().post("/only")
    assert answer.json() == [1]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (Unauthorized("x"), 401, (b"www-authenticate", b"Bearer")),
        (TooLarge("x"), 413, (b"connection", b"close")),
        (TooManyRequests("x"), 429, (b"retry-after", b"1")),
        (LogUnavailable("x"), 503, (b"retry-after", b"1")),
    ],
)
async def test_headers_of_a_status(error: Refused, status: int, header: tuple[bytes, bytes]) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await send_refusal(send, error)
    start, body = sent
    assert start["status"] == status and header in start["headers"]
    assert (b"content-length", str(len(body["body"])).encode()) in start["headers"]
