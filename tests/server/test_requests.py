"""handover: heads, pipelines and upgrades within limits, however a peer cuts what it sends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dashboard_rt.server.limits import MAX_FIELDS, MAX_HEAD, MAX_PIPELINED, MAX_UNPARSED
from tests.dialogue import (
    H2C,
    UP,
    Dialogue,
    answer,
    answers,
    chunked,
    cut,
    echo,
    hear,
    held,
    post,
    settle,
    statuses,
)
from tests.handovers import World, get, handshake, run, until

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


def head_of(size: int, fields: int = 1) -> bytes:
    """A whole head of exactly so many bytes, with so many fields beside Host."""
    start = b"GET /up HTTP/1.1\r\nhost: a.example\r\n" + b"x: y\r\n" * (fields - 1)
    return start + b"x: " + b"y" * (size - len(start) - 7) + b"\r\n\r\n"


# ---- the size of a head

CUTS = [1, 7, 1000, 1024, 1025, 16384, 10**6]


@pytest.mark.parametrize("size", CUTS)
def test_a_head_of_the_greatest_size_passes_and_a_byte_more_is_431(size: int) -> None:
    async def work() -> None:
        _, wire = await hear(echo, *cut(head_of(MAX_HEAD), size))
        assert statuses(wire) == [200]
        dialogue, wire = await hear(echo, *cut(head_of(MAX_HEAD + 1), size))
        ((status, error),) = answers(wire.said)
        assert (status, error["error"]) == (431, "request_header_fields_too_large")
        assert wire.ended and dialogue.refusals == {"head_too_large": 1}

    held(work)


@pytest.mark.parametrize("size", CUTS)
def test_a_hundred_fields_pass_and_one_more_is_431(size: int) -> None:
    async def work() -> None:
        _, wire = await hear(echo, *cut(head_of(8000, MAX_FIELDS - 1), size))
        assert statuses(wire) == [200]
        _, wire = await hear(echo, *cut(head_of(8000, MAX_FIELDS), size))
        assert statuses(wire) == [431]

    held(work)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET / HTTP/1.1\r\nx: ", id="field"),
        pytest.param(b"GET /", id="target"),
        pytest.param(b"GET / HTTP/1.1\r\n", id="name"),
        pytest.param(UP + b"GET / HTTP/1.1\r\nx: ", id="second head"),
        pytest.param(handshake("/cable")[:-2] + b"x: ", id="handshake"),
        pytest.param(post("/", b"0\r\nx: ", "transfer-encoding: chunked"), id="trailer"),
        pytest.param(post("/", b"1;x=", "transfer-encoding: chunked"), id="chunk extension"),
    ],
)
@pytest.mark.parametrize("size", [100, 1024, 65536])
def test_what_does_not_end_is_431_and_holds_little(start: bytes, size: int) -> None:
    async def work() -> None:
        dialogue, wire = await hear(echo, start)
        await dialogue.say(wire, *[b"a" * size] * (2 * 65536 // size))
        assert statuses(wire)[-1] == 431
        assert wire.ended and len(wire.protocol.unparsed) == 0
        wire.lose()
        await settle()
        assert not dialogue.state.connections and not dialogue.state.tasks

    held(work)


def test_many_small_fields_and_trailers_are_431() -> None:
    async def work() -> None:
        for request in (
            b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 10_000,
            post("/", b"0\r\n" + b"a:\r\n" * (MAX_FIELDS + 1) + b"\r\n", "transfer-encoding: chunked"),
            handshake("/cable", *["a:"] * MAX_FIELDS),
        ):
            _, wire = await hear(echo, request)
            assert statuses(wire) == [431]

    held(work)


def test_trailers_are_no_fields_of_the_request() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        seen.extend(scope["headers"])

    async def work() -> None:
        body = b"1\r\nx\r\n0\r\nauthorization: Bearer late\r\n\r\n"
        _, wire = await hear(app, post("/", body, "transfer-encoding: chunked") + UP)
        assert answers(wire.said) == [(200, ["POST", "/", "x"]), (200, ["GET", "/up", ""])]
        assert b"authorization" not in dict(seen)

    held(work)


@pytest.mark.parametrize("size", [1, 200, 10**6])
def test_a_long_body_is_no_head(size: int) -> None:
    async def work() -> None:
        content = b"x" * 40_000
        pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(content, min(size, 1)))
        for request in (
            post("/", content, f"content-length: {len(content)}"),
            post("/", pieces + b"0\r\n\r\n", "transfer-encoding: chunked"),
        ):
            _, wire = await hear(echo, *(cut(request, 1000) if size == 200 else [request]))
            ((status, (*_, body)),) = answers(wire.said)
            assert (status, len(body)) == (200, len(content))

    held(work)


# ---- pipelines


def test_a_pipeline_is_answered_whole_and_in_order() -> None:
    async def work() -> None:
        requests = b"".join(get(f"/{n}") + post(f"/{n}", b"b", "content-length: 1") for n in range(100))
        for segments in ([requests], cut(requests, 5000)):
            dialogue = Dialogue(echo)
            wire = dialogue.connect()
            most = 0
            for segment in segments:
                wire.protocol.data_received(segment)
                most = max(most, len(wire.protocol.pipeline))
                while not wire.reading:
                    await settle()
                    most = max(most, len(wire.protocol.pipeline))
            while len(answers(wire.said)) < 200:
                await settle()
            told = [value for _, value in answers(wire.said)]
            assert told == [[m, f"/{n}", b] for n in range(100) for m, b in (("GET", ""), ("POST", "b"))]
            assert most <= MAX_PIPELINED + 1024 // len(get("/0"))
            assert wire.reading and not wire.closed

    held(work)


def test_more_than_is_kept_of_a_pipeline_is_dropped_with_the_connection() -> None:
    async def work() -> None:
        release = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await answer(send, "ok")

        _, wire = await hear(app, UP * (2 * MAX_UNPARSED // len(UP)))
        assert not wire.reading and len(wire.protocol.unparsed) <= MAX_UNPARSED
        release.set()
        while not wire.ended:
            await settle()
        assert MAX_PIPELINED <= len(statuses(wire)) <= MAX_PIPELINED + 1024 // len(UP) + 1

    held(work)


# ---- upgrades that are not ours


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "foo", "h2c, websocket", "TLS/1.0"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_the_body_behind_an_upgrade_belongs_to_its_request(upgrade: str, framing: str) -> None:
    inner = get("/up")  # a request of its own, if the body were taken for one
    body = inner if framing == "length" else chunked(inner)
    field = f"content-length: {len(inner)}" if framing == "length" else "transfer-encoding: chunked"
    request = post("/streams/x", body, "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", field)
    whole = request + get("/behind")
    told = [["POST", "/streams/x", inner.decode()], ["GET", "/behind", ""]]

    async def work() -> None:
        for at in range(1, len(whole)):
            _, wire = await hear(echo, whole[:at], whole[at:])
            assert [value for _, value in answers(wire.said)] == told, whole[:at]
        _, wire = await hear(echo, *cut(whole, 1))
        assert [value for _, value in answers(wire.said)] == told

    held(work)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(get("/a", "1.1", *H2C), 200, id="no body"),
        pytest.param(get("/a", "1.1", "connection: upgrade"), 200, id="nothing to upgrade to"),
        pytest.param(get("/a", "1.1", "upgrade: h2c"), 200, id="not for this hop"),
        pytest.param(
            get("/a", "1.1", "connection: keep-alive", "connection: upgrade", "upgrade: h2c"), 200, id="2x"
        ),
        pytest.param(handshake("/a").replace(b"GET", b"POST"), 200, id="POST handshake"),
        pytest.param(handshake("/a", "content-length: 3") + b"abc", 200, id="handshake with a body"),
        pytest.param(handshake("/a", "transfer-encoding: chunked") + chunked(UP), 200, id="in chunks"),
        pytest.param(post("/a", b"abc", *H2C, "content-length: 3, 3"), 400, id="two lengths"),
        pytest.param(post("/a", b"0\r\n\r\n", *H2C, "transfer-encoding: gzip"), 400, id="an unknown coding"),
        pytest.param(post("/a", b"zz\r\n", *H2C, "transfer-encoding: chunked"), 400, id="no chunk"),
        pytest.param(
            post("/a", b"abc", *H2C, "content-length: 3", "transfer-encoding: chunked"),
            400,
            id="both framings",
        ),
        pytest.param(b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 400, id="CONNECT"),
    ],
)
def test_an_upgrade_that_is_not_ours_hides_no_request(request_: bytes, status: int) -> None:
    async def work() -> None:
        for segments in ([request_ + UP], [request_, UP], cut(request_ + UP, 1)):
            _, wire = await hear(echo, *segments)
            told = answers(wire.said)
            assert [one for one, _ in told] == ([200, 200] if status == 200 else [400])
            assert status != 200 or (told[0][1][1], told[1][1]) == ("/a", ["GET", "/up", ""])

    held(work)


def test_http_1_0_upgrades_to_nothing() -> None:
    async def work() -> None:
        for request in (handshake("/a"), post("/a", b"abc", *H2C, "content-length: 3")):
            dialogue, wire = await hear(echo, request.replace(b"HTTP/1.1", b"HTTP/1.0") + UP)
            assert [value[1] for _, value in answers(wire.said)] == ["/a"]
            assert wire.closed and dialogue.refusals == {"upgrade": 1}

    held(work)


def test_a_handshake_may_be_in_a_list_and_announce_an_empty_body() -> None:
    async def work(world: World) -> None:
        for fields in (["upgrade: h2c, websocket"], ["upgrade: websocket ", "content-length: 0"]):
            peer = await world.connect()
            plain = handshake("/cable").decode().replace("upgrade: websocket\r\n", "", 1)
            peer.say(plain.replace("\r\n\r\n", "\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode())
            assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
            assert json.loads(await peer.text())["type"] == "welcome"
            peer.leave()
        await until(lambda: not world.connections.count)

    run(work)
