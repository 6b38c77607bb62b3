"""handover_cycle: an answer of known length leaves in one write, and HTTP/1.0 is answered without chunks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from dashboard_rt.server.handover import HttpProtocol
from tests.handovers import get, until
from tests.patience import HANG_LIMIT

App = Callable[[Any, Any, Any], Awaitable[None]]


class Wire(asyncio.Transport):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def resume_reading(self) -> None: ...


def answered(app: App, request: bytes, done: Callable[[Wire], bool] | None = None) -> list[bytes]:
    """What is written for one request."""

    async def work() -> list[bytes]:
        config = Config(app, http=HttpProtocol, log_config=None, access_log=False, lifespan="off")
        config.load()
        state, wire = ServerState(), Wire()
        protocol = HttpProtocol(config, state, {})
        protocol.connection_made(wire)
        protocol.data_received(request)
        async with asyncio.timeout(HANG_LIMIT):
            await until(lambda: not state.tasks if done is None else done(wire))
        writes = list(wire.writes)
        for task in state.tasks:
            task.cancel()
        protocol._unset_keepalive_if_required()
        return writes

    return asyncio.run(work())


def body_of(*parts: bytes, length: int | None = None, status: int = 200) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, part in enumerate(parts, 1):
            more = number < len(parts)
            await send({"type": "http.response.body", "body": part, "more_body": more})

    return app


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_head_and_body_leave_in_one_write(version: str) -> None:
    (whole,) = answered(body_of(b"four", length=4), get("/", version))
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n") and whole.endswith(b"\r\n\r\nfour")


def test_the_head_waits_for_the_first_part_only() -> None:
    first, second = answered(body_of(b"fo", b"ur", length=4), get("/"))
    assert first.endswith(b"\r\n\r\nfo") and second == b"ur"


def test_a_head_without_a_length_is_written_at_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    (head,) = answered(app, get("/"), lambda wire: bool(wire.writes))
    assert head.endswith(b"transfer-encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "length"),
    [(get("/").replace(b"GET", b"HEAD"), 4), (get("/"), 0)],
    ids=["HEAD", "empty"],
)
def test_a_head_that_no_body_follows_is_written_at_once(request_: bytes, length: int) -> None:
    writes = answered(body_of(b"x" * length, length=length), request_)
    assert writes[0].endswith(b"\r\n\r\n") and b"".join(writes) == writes[0]


def test_a_head_whose_body_fails_to_come_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        raise ZeroDivisionError

    with caplog.at_level(logging.CRITICAL):
        (head,) = answered(app, get("/"))
    assert head.endswith(b"content-length: 4\r\n\r\n")


def test_http_1_0_is_answered_without_chunks() -> None:
    writes = answered(body_of(b"some", b"thing"), get("/", "1.0"))
    head, body = b"".join(writes).split(b"\r\n\r\n")
    assert b"chunked" not in head and b"connection: close" in head and body == b"something"
