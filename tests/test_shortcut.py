"""shortcut: the same answers as Starlette's router, on a shorter way."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dashboard_rt.shortcut import Shortcut


class Endpoint:
    """An ASGI app that says what it was asked for, and whether the router was asked first."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        way = "router" if "router" in scope else "shortcut"
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": way})
            await send({"type": "websocket.close"})
            return
        text = f"{scope['method']} {scope.get('path_params', {}).get('stream', '-')} by {way}"
        await PlainTextResponse(text)(scope, receive, send)


BUSY: list[Route | WebSocketRoute] = [
    Route("/stream", Endpoint()),
    WebSocketRoute("/cable", Endpoint()),
    Route("/streams/{stream}", Endpoint(), methods=["POST"]),
]


def app(**options: Any) -> Starlette:
    return Starlette(routes=BUSY, middleware=[Middleware(Shortcut, BUSY)], **options)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/stream", 200, "GET - by shortcut"),
        ("DELETE", "/stream", 200, "DELETE - by shortcut"),  # a route of an ASGI app takes every method
        ("POST", "/streams/events", 200, "POST events by shortcut"),
        ("POST", "/streams/a%20b", 200, "POST a b by shortcut"),
        ("GET", "/streams/events", 405, "Method Not Allowed"),
        ("POST", "/streams/", 404, "Not Found"),
        ("POST", "/streams/a/b", 404, "Not Found"),
        ("POST", "/streams", 404, "Not Found"),
        ("GET", "/cable", 404, "Not Found"),
        ("GET", "/", 404, "Not Found"),
    ],
)
def test_requests_end_where_the_router_sends_them(method: str, path: str, status: int, text: str) -> None:
    for given in (app(), Starlette(routes=BUSY)):
        answer = TestClient(given).request(method, path)
        assert answer.status_code == status
        assert answer.text.replace("router", "shortcut") == text
    assert TestClient(app()).request(method, path).text == text


def test_a_websocket() -> None:
    with TestClient(app()).websocket_connect("/cable") as cable:
        assert cable.receive_text() == "shortcut"
    with pytest.raises(WebSocketDisconnect), TestClient(app()).websocket_connect("/stream"):
        pass


def test_mounted_elsewhere_the_router_decides() -> None:
    outer = TestClient(Starlette(routes=[Mount("/inner", app())]))
    assert outer.get("/inner/stream").text == "GET - by router"
    assert outer.get("/stream").status_code == 404


def test_what_is_added_around_comes_first() -> None:
    class Closed:
        def __init__(self, app: Any) -> None: ...

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("closed", 403)(scope, receive, send)

    guarded = app()
    guarded.add_middleware(Closed)
    assert TestClient(guarded).get("/stream").status_code == 403


def test_a_failure_is_answered_as_ever() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    class Fails:
        __call__ = staticmethod(fails)

    def sorry(request: Any, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("sorry", 500)

    busy = [Route("/stream", Fails())]
    given = Starlette(
        routes=busy, middleware=[Middleware(Shortcut, busy)], exception_handlers={Exception: sorry}
    )
    assert TestClient(given, raise_server_exceptions=False).get("/stream").text == "sorry"
