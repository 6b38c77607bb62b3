"""The SSE connection of a client: its response head, and streams that are none or break."""

from __future__ import annotations

import json
import zlib

import pytest
from httpx_sse import ServerSentEvent

from dashboard_rt.client import failures, sse
from dashboard_rt.client.connection import Event
from dashboard_rt.client.failures import FailureReason
from dashboard_rt.client.sse import open_sse, read_event
from dashboard_rt.client.target import read_target
from tests.client.connecting import OPTIONS, collect_events, connect_and_fail, raw_server
from tests.fakes import Behaviour, serving

pytestmark = pytest.mark.anyio


async def test_the_head_has_status_version_and_headers() -> None:
    with serving() as fake:
        async with open_sse(read_target(fake.url), OPTIONS) as connection:
            assert (connection.head.status, connection.head.http_version) == (200, "HTTP/1.1")
            assert connection.head.headers["x-accel-buffering"] == "no"


async def test_an_html_page_is_no_stream() -> None:
    with serving(Behaviour(content_type="text/html")) as fake:
        failure = await connect_and_fail(open_sse, fake.url)
    assert (failure.reason, failure.permanent) == (FailureReason.CONTENT_TYPE, True)
    assert "text/html" in str(failure)


@pytest.mark.parametrize("reset", [False, True])
async def test_a_stream_that_breaks_was_dropped(reset: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    async with raw_server(head + b"5\r\n: hi\n\r\n", reset) as url:
        failure = await connect_and_fail(open_sse, url)
    assert (failure.reason, failure.permanent) == (FailureReason.DROPPED, False)


async def test_a_port_of_another_protocol() -> None:
    async with raw_server(b"SSH-2.0-OpenSSH\r\n") as url:
        assert (await connect_and_fail(open_sse, url)).reason is FailureReason.DROPPED


# ---- what strangers send

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


async def receive(body: bytes) -> list[Event]:
    async with raw_server(HEAD + b"\r\n" + body) as url, open_sse(read_target(url), OPTIONS) as connection:
        return await collect_events(connection)


@pytest.mark.parametrize("text", [json.dumps("a" * 1_500_000), "[" * 1024 + "]" * 1024, "[" * 100_000])
async def test_a_large_or_deep_update_is_an_update(text: str) -> None:
    (event,) = await receive(b"id: e-5\ndata: %b\n\n" % text.encode())
    assert (event.kind, event.text, str(event.position)) == ("update", text, "e-5")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"", b"data: " + b"a" * 200_000),
        (b"", b"data: a\n" * 30_000),
        (b"", b"id: e-1\ndata: 1\n\n" + b"a" * 200_000),
        (b"content-encoding: gzip\r\n", zlib.compress(b"a" * 5_000_000, wbits=31)),
    ],
    ids=["line", "lines", "after an event", "compressed"],
)
async def test_an_update_without_an_end_is_given_up(
    headers: bytes, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100_000)
    async with raw_server(HEAD + headers + b"\r\n" + body) as url:
        failure = await connect_and_fail(open_sse, url)
    assert (failure.reason, failure.permanent) == (FailureReason.TOO_LARGE, True)
    assert "more than 16 MiB" in str(failure)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_a_long_stream_of_small_blocks_is_no_large_update(
    end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100_000)
    events = await receive((b": ping" + 2 * end) * 60_000 + b"data: 1" + 2 * end)
    assert [event.text for event in events] == ["1"]


@pytest.mark.parametrize(
    ("encoding", "reason"), [(b"br", FailureReason.CONTENT_TYPE), (b"gzip", FailureReason.BROKEN)]
)
async def test_a_body_that_cannot_be_unpacked(encoding: bytes, reason: FailureReason) -> None:
    async with raw_server(HEAD + b"content-encoding: %b\r\n\r\ndata: 1\n\n" % encoding) as url:
        failure = await connect_and_fail(open_sse, url)
    assert failure.reason is reason


@pytest.mark.parametrize(
    "raw",
    [
        ServerSentEvent("heartbeat", '{"time":"0001-01-01T00:00:00"}'),
        ServerSentEvent("heartbeat", '{"time":"9999-12-31T23:59:59.999999-23:59"}'),
        ServerSentEvent("heartbeat", "[" * 5000),
        ServerSentEvent("", "1", retry=10**400),
        ServerSentEvent("goodbye", f'{{"retry_ms":{10**18}}}'),
    ],
)
async def test_values_beyond_all_bounds_are_no_error(raw: ServerSentEvent) -> None:
    assert (read_event(raw).retry or 0.0) <= 86_400


async def test_a_redirect_shows_no_more_than_the_beginning_of_a_long_address() -> None:
    async with raw_server(b"HTTP/1.1 301 Moved\r\nlocation: http://u:pw@h/%b\r\n\r\n" % (b"a" * 9000)) as url:
        failure = await connect_and_fail(open_sse, url)
    assert len(str(failure)) < 400 and "http://u:***@h/aaa" in str(failure)
    assert failures.shorten("a" * 201) == "a" * 197 + "..."
