"""JSON responses, and errors as `{"error": code, "detail": what to do}` (docs/protocol.md §5).

Endpoints raise `Refused`; Starlette's exception handlers at the end turn it into a response. Knows no endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Receive, Scope, Send

from ..errors import Refused
from ..telemetry import Telemetry

# Every response is of this moment and of this type: caches do not store it, browsers do not guess.
COMMON_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
RAW_COMMON_HEADERS = [
    (b"content-type", b"application/json"),
    *((name.encode(), value.encode()) for name, value in COMMON_HEADERS.items()),
]
DETAILS = {
    404: "There is nothing here: see docs/protocol.md for what there is.",
    405: "Not with this method: see the header Allow.",
}


class Json(Response):
    """A response from a JSON-ready value, or from a `str` that is a JSON text already."""

    media_type = "application/json"

    def __init__(
        self, content: object, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status_code, {**COMMON_HEADERS, **(headers or {})})

    def render(self, content: Any) -> bytes:
        if isinstance(content, str):
            return content.encode()
        # OPT_NON_STR_KEYS: members of our string enums are keys too.
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


async def send_json(send: Send, status: int, body: bytes) -> None:
    """Send what `Json` would, without building a Response: for endpoints whose cost per request counts."""
    length = (b"content-length", str(len(body)).encode())
    raw_headers = [*RAW_COMMON_HEADERS, length]
    await send({"type": "http.response.start", "status": status, "headers": raw_headers})
    await send({"type": "http.response.body", "body": body})


# ---- errors


def error_headers(status: int) -> dict[str, str]:
    """Return the headers that belong to the status of an error (RFC 9110 §11.6.1, §10.2.3; RFC 9112 §9.6)."""
    match status:
        case 401:
            return {"www-authenticate": "Bearer"}
        case 413:
            return {"connection": "close"}  # or the server would read the rest of the body, to throw it away
        case 415:
            return {"connection": "close", "accept-encoding": "identity"}  # RFC 9110 §15.5.16
        case 429 | 503:
            return {"retry-after": "1"}
        case _:
            return {}


def refusal_response(error: Refused) -> Json:
    return Json({"error": error.code, "detail": error.detail}, error.status, error_headers(error.status))


async def send_refusal(error: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request before it is routed; a WebSocket handshake without an upgrade (ASGI: Websocket Denial Response).

    A server that cannot send such a response is told to close, and answers 403 by itself.
    """
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008})
            return
    await refusal_response(error)(scope, receive, send)


async def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal_response(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    detail = DETAILS.get(error.status_code, error.detail)
    return Json({"error": code, "detail": detail}, error.status_code, error.headers)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(
        status_code=400
    )  # which nobody reads: a client that leaves within its body is no fault of ours


async def _on_unexpected(request: Request, error: Exception) -> Response:
    detail = "This is a fault of ours; it is in the log."
    return Json({"error": "internal_server_error", "detail": detail}, 500)


# For Starlette(exception_handlers=...). After the one for `Exception`, Starlette raises the error again, so that the
# server still logs its traceback. When a WebSocket handshake raises, the response is sent as its denial.
exception_handlers: Mapping[Any, ExceptionHandler] = {
    Refused: _on_refused,
    HTTPException: _on_http_exception,
    ClientDisconnect: _on_disconnect,
    Exception: _on_unexpected,
}


def counting_handlers(telemetry: Telemetry) -> Mapping[Any, ExceptionHandler]:
    """Return `exception_handlers`, with refusals counted by their code."""

    async def on_refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        telemetry.refused.labels(error.code).inc()
        return refusal_response(error)

    return {**exception_handlers, Refused: on_refused}
