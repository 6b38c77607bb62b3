"""What answers look like: JSON, and errors as `{"error": code, "detail": what to do}` (protocol §5)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Send

from .errors import Refused

COMMON = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
NAMES = orjson.OPT_NON_STR_KEYS  # members of our string enums are keys too
RAW_COMMON = [
    (b"content-type", b"application/json"),
    *((name.encode(), value.encode()) for name, value in COMMON.items()),
]
DETAILS = {
    404: "There is nothing here: see docs/protocol.md for what there is.",
    405: "Not with this method: see the header Allow.",
}


class Json(Response):
    """A value, or JSON text that is ready, with the headers of every answer of ours."""

    media_type = "application/json"

    def __init__(
        self, content: object, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status_code, {**COMMON, **(headers or {})})

    def render(self, content: Any) -> bytes:
        """Text is JSON already."""
        return content.encode() if isinstance(content, str) else orjson.dumps(content, option=NAMES)


async def send_json(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """The same without a Response object, where a request's cost counts."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*RAW_COMMON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


def error_headers(error: Refused) -> dict[str, str]:
    """The headers that belong to an error's status (RFC 9110 §11.6.1, §10.2.3)."""
    match error.status:
        case 401:
            return {"www-authenticate": "Bearer"}
        case 413:
            return {"connection": "close"}  # the rest of the body is not waited for
        case 429 | 503:
            return {"retry-after": "1"}
        case _:
            return {}


def error_body(code: str, detail: str) -> bytes:
    """The body of every error."""
    return orjson.dumps({"error": code, "detail": detail})


async def send_refusal(send: Send, error: Refused) -> None:
    """Answer with an error."""
    headers = [(name.encode(), value.encode()) for name, value in error_headers(error).items()]
    await send_json(send, error.status, error_body(error.code, error.detail), *headers)


async def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return Json({"error": error.code, "detail": error.detail}, error.status, error_headers(error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    detail = DETAILS.get(error.status_code, error.detail)
    return Json({"error": code, "detail": detail}, error.status_code, error.headers)


async def _on_failure(request: Request, error: Exception) -> Response:
    return Json(
        {"error": "internal_server_error", "detail": "This is a fault of ours; it is in the log."}, 500
    )


# For Starlette(exception_handlers=...); the last one answers, and the server still logs the traceback.
exception_handlers: Mapping[Any, ExceptionHandler] = {
    Refused: _on_refused,
    HTTPException: _on_http_exception,
    Exception: _on_failure,
}
