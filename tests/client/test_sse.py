"""The SSE connection of a client: its response head, and streams that are none or break."""

from __future__ import annotations

import pytest

from dashboard_rt.client.failures import FailureReason
from dashboard_rt.client.sse import open_sse
from dashboard_rt.client.target import read_target
from tests.client.connecting import OPTIONS, connect_and_fail, raw_server
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
