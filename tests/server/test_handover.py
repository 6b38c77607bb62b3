"""handover: from uvicorn's protocols to ours on a real uvloop with real sockets, nothing lost on the way."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Hashable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Opcode
from websockets.protocol import Protocol as Rfc6455
from websockets.protocol import Side, State

from dashboard_rt.hub.subscription import Subscription
from dashboard_rt.server.handover import HttpProtocol, WebSocketProtocol
from dashboard_rt.server.handshake import Handshake, ReadyWebSocket
from dashboard_rt.server.limits import BODY_TIMEOUT
from dashboard_rt.server.websocket import (
    MAX_MESSAGE,
    PER_CONNECTION,
    HandedOverWebSocket,
    OpenProtocol,
    quiet_logger,
)
from dashboard_rt.transports.cable.frames import EXT_PROTOCOL
from dashboard_rt.transports.connection import HANDOVER_EXTENSION, Connection, handover_offer
from tests.handovers import Peer, World, frame, get, handshake, run, turns, until
from tests.leaks import no_cycles

STREAM = get("/dashboard/stream?stream=events")
IDENTIFIER = '{"channel":"$pubsub","stream_name":"events"}'
SUBSCRIBE = frame(json.dumps({"command": "subscribe", "identifier": IDENTIFIER}))
PING = '{"command":"ping"}'
BIG = 8 << 20  # more than two sockets buffer


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert [
        record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR
    ] == []


async def big(scope: Any, receive: Any, send: Any) -> None:
    """A whole response that does not fit in any buffer."""
    headers = [(b"content-length", str(BIG).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * BIG})


class Recorder:
    """Takes over a connection and remembers what it is called with."""

    transport = "sse"  # its label

    def __init__(self) -> None:
        self.sink: Any = None
        self.socket: Any = None
        self.paused = False
        self.calls: list[Any] = []

    def on_text(self, text: str) -> None:
        self.calls.append(text)
        if text == "fill":
            self.sink.write(frame_of(BIG))

    def on_binary(self) -> None:
        self.calls.append(b"binary")

    def pause_writing(self) -> None:
        self.paused = True
        self.calls.append("paused")

    def resume_writing(self) -> None:
        self.paused = False
        self.calls.append("resumed")

    def lost(self, reason: str) -> None:
        self.calls.append(("lost", reason))

    def on_closing(self) -> None:
        self.calls.append("ending")


def frame_of(size: int) -> bytes:
    return b"\x82\x7f" + size.to_bytes(8) + b"x" * size


def recorded(world: World) -> Recorder:
    """An endpoint that hands its connection to the recorder returned here."""
    recorder = Recorder()

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        handover_offer(scope).take(recorder, lambda head: recorder.sink.write(head))  # noqa: PLW0108  the sink is set by it

    world.routes["/cable"] = endpoint
    return recorder


# ---- HTTP


def test_a_stream_leaves_uvicorn_with_a_chunked_head() -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(STREAM)
        head = (await peer.head()).decode().lower()
        assert head.startswith("http/1.1 200 ok\r\n")
        assert "\r\ntransfer-encoding: chunked\r\n" in head and "\r\nconnection: close\r\n" in head
        await peer.until(b"event: verdict")
        await until(lambda: not world.state.tasks)
        assert not world.state.connections
        world.publish("events", 1)
        await peer.until(b'data: {"n": 1, "pad": "x"}\n\n\r\n')
        (client,) = world.connections
        client.goodbye("server_restart", 1000)
        assert (await peer.rest()).endswith(b"0\r\n\r\n")
        await until(lambda: not world.connections.count)

    run(work)


def test_a_second_request_behind_a_stream_is_not_answered() -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(STREAM + get("/nothing"))
        await peer.until(b"event: verdict")
        world.publish("events", 1)
        (client,) = world.connections
        client.goodbye("full", 1000)
        rest = await peer.rest()
        assert b"id: e1-1" in rest and b"404" not in rest
        assert len(world.scopes) == 1

    run(work)


@pytest.mark.parametrize("runs_uvloop", [True, False])
def test_without_the_handover_a_stream_hears_that_its_client_left_behind_a_second_request(
    runs_uvloop: bool,
) -> None:
    async def work(world: World) -> None:
        stream = world.routes["/dashboard/stream"]

        async def plain(scope: Any, receive: Any, send: Any) -> None:
            scope.pop("extensions", None)
            await stream(scope, receive, send)

        world.routes["/dashboard/stream"] = plain
        peer = await world.connect()
        peer.say(STREAM + get("/nothing"))
        await peer.until(b"event: verdict")
        peer.leave()
        await until(lambda: not world.connections.count and not world.state.tasks)

    run(work, uvloop_=runs_uvloop)


def test_a_stream_behind_another_request_follows_its_answer() -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(get("/nothing") + STREAM)
        assert (await peer.head()).startswith(b"HTTP/1.1 404 ")
        await peer.until(b"none")
        assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
        await peer.until(b"event: verdict")
        peer.leave()
        await until(lambda: not world.connections.count)

    run(work)


def test_a_transport_that_is_paused_at_the_handover_makes_a_lagging_client() -> None:
    async def work(world: World) -> None:
        world.routes["/big"] = big
        peer = await world.connect()
        peer.say(get("/big"))
        await peer.head()
        peer.say(STREAM)
        await until(lambda: world.connections.count)
        (client,) = world.connections
        assert client.paused
        world.publish("events", 3)
        assert world.process.hub.topics["events"].groups == {}
        await peer.reader.readexactly(BIG)
        await peer.until(b"event: verdict")
        await peer.until(b"id: e1-3\n")
        await until(lambda: not client.paused)
        assert len(world.process.hub.topics["events"].groups) == 1
        peer.leave()
        await until(lambda: not world.connections.count)

    run(work)


@pytest.mark.parametrize("runs_uvloop", [True, False])
def test_http_1_0_gets_no_chunks(runs_uvloop: bool) -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(get("/dashboard/stream", "1.0"))
        head = (await peer.head()).lower()
        assert b"transfer-encoding" not in head and b"content-length" not in head
        assert (await peer.until(b"\n\n")).startswith(b"retry: ")
        assert (await peer.until(b"\n\n")).startswith(b"event: verdict")
        (client,) = world.connections
        client.goodbye("full", 1000)
        assert (await peer.rest()).endswith(b'"retry_ms":1000}\n\n')

    run(work, uvloop_=runs_uvloop)


def test_an_ordinary_answer_to_http_1_0_ends_with_the_connection() -> None:
    async def work(world: World) -> None:
        async def drips(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for piece in (b"one ", b"two ", b""):
                await send({"type": "http.response.body", "body": piece, "more_body": bool(piece)})

        world.routes["/drips"] = drips
        peer = await world.connect()
        peer.say(get("/drips", "1.0"))
        assert b"transfer-encoding" not in (await peer.head()).lower()
        assert await peer.rest() == b"one two "

    run(work)


def test_a_loop_that_is_not_uvloop_is_offered_nothing() -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(STREAM)
        assert b"transfer-encoding: chunked" in await peer.head()
        await peer.until(b"event: verdict")
        world.publish("events", 1)
        await peer.until(b"id: e1-1\n")
        assert handover_offer(world.scopes[0]) is None
        assert world.state.tasks  # the plain path: the ASGI task stays
        peer.leave()
        await until(lambda: not world.connections.count and not world.state.tasks)

    run(work, uvloop_=False)


def test_an_offer_can_be_taken_once_and_not_from_a_lost_connection() -> None:
    async def work(world: World) -> None:
        taken: list[object] = []
        gone = asyncio.Event()

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            await gone.wait()
            client = Recorder()
            handover_offer(scope).take(client, [], taken.append)
            with pytest.raises(AssertionError):
                handover_offer(scope).take(client, [], taken.append)
            gone.clear()

        world.routes["/late"] = endpoint
        peer = await world.connect()
        peer.say(get("/late"))
        await until(lambda: world.state.tasks)
        peer.leave()
        await until(lambda: not world.state.connections)
        gone.set()
        await until(lambda: not gone.is_set() and not world.state.tasks)
        assert taken == []

    run(work)


@pytest.mark.parametrize("path", ["/late", "/late-cable"])
@pytest.mark.parametrize("noticed", [False, True])
def test_the_offer_of_a_connection_that_was_cut_is_not_taken(path: str, noticed: bool) -> None:
    """Its protocol hears of that in a later turn of the loop, and uvloop refuses what is written meanwhile."""

    async def work(world: World) -> None:
        taken: list[object] = []

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.accept"})
            (connection,) = world.state.connections
            connection.transport.abort()
            if noticed:
                await turns()
            arguments = [[], taken.append] if scope["type"] == "http" else [taken.append]
            handover_offer(scope).take(Recorder(), *arguments)

        world.routes[path] = endpoint
        peer = await world.connect()
        peer.say(handshake(path) if "cable" in path else get(path))
        assert await peer.rest() == b""
        await until(lambda: world.scopes and not world.state.tasks)
        assert taken == []

    run(work)


def test_the_offer_of_a_request_that_was_refused_meanwhile_is_not_taken() -> None:
    """Its socket is still open, for the peer to read why."""

    async def work(world: World) -> None:
        taken: list[object] = []

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            connection: Any = next(iter(world.state.connections))
            connection.refuse(BODY_TIMEOUT)
            handover_offer(scope).take(Recorder(), [], taken.append)

        world.routes["/late"] = endpoint
        peer = await world.connect()
        peer.say(get("/late", "1.1", "content-length: 1"))
        assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")
        assert taken == []

    run(work)


@pytest.mark.parametrize("noticed", [False, True])
def test_an_app_that_accepts_a_websocket_that_was_cut_is_told_so(noticed: bool) -> None:
    async def work(world: World) -> None:
        raised: list[BaseException] = []

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            (connection,) = world.state.connections
            connection.transport.abort()
            if noticed:
                await turns()
            try:
                await send({"type": "websocket.accept"})
            except OSError as error:  # as ASGI has it
                raised.append(error)
                raise

        world.routes["/late"] = endpoint
        peer = await world.connect()
        peer.say(handshake("/late"))
        await until(lambda: world.scopes and not world.state.tasks)
        assert [type(error) for error in raised] == [ClientDisconnected]

    run(work)


def test_a_client_that_leaves_with_its_request_is_no_error() -> None:
    async def work(world: World) -> None:
        for request in (STREAM, handshake("/cable")):
            peer = await world.connect()
            peer.say(request)
            peer.writer.write_eof()
            await peer.rest()
        await until(lambda: not world.state.tasks and not world.connections.count)

    run(work)


def test_a_client_that_leaves_between_head_and_body_is_no_error() -> None:
    asked, left = asyncio.Event(), asyncio.Event()
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        asked.set()
        await left.wait()
        try:
            await send({"type": "http.response.body", "body": b"hello"})
        except Exception as error:  # noqa: BLE001  uvicorn would log it as a fault of the app
            raised.append(error)

    async def work(world: World) -> None:
        world.routes["/file"] = app
        peer = await world.connect()
        peer.say(get("/file"))
        await asked.wait()
        peer.writer.transport.abort()
        await until(lambda: not world.state.connections)
        left.set()
        await until(lambda: not world.state.tasks)
        assert raised == []

    run(work)


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x00\xa5\x01\x00", b"nonsense\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_400(garbage: bytes) -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(garbage)
        assert (await peer.rest()).startswith(b"HTTP/1.1 400 ")
        assert not world.scopes

    run(work)


# ---- copies


def test_a_later_connection_is_what_uvicorns_constructor_would_have_made() -> None:
    config = Config(lambda: None, log_config=None, http=HttpProtocol)
    config.load()

    async def work() -> None:
        state, lifespan = ServerState(), {"a": 1}
        stock = HttpToolsProtocol(config, state, lifespan)
        HttpProtocol(config, state, lifespan)
        later = HttpProtocol(config, state, lifespan)
        own = {"parser", "pipeline", "offers_handover", "admission", "limits"}
        assert {k: v for k, v in vars(later).items() if k not in own} == {
            k: v for k, v in vars(stock).items() if k not in own
        }
        assert type(later.parser) is type(stock.parser) and later.pipeline == stock.pipeline
        assert HttpProtocol(config, state, lifespan).pipeline is not later.pipeline
        assert HttpProtocol(config, ServerState(), lifespan).server_state is not state

    asyncio.run(work())


# ---- the way into a WebSocket


def test_the_attributes_are_those_of_uvicorns_own_constructor() -> None:
    """A uvicorn that adds, drops or renames one is noticed here: then look at ReadyWebSocket again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnected

    config = Config(app, log_config=None, ws=WebSocketProtocol, http=HttpProtocol)
    config.load()

    async def work() -> None:
        state = ServerState()
        stock = WebSocketsSansIOProtocol(config, state, {})
        http = HttpProtocol(config, state, {})
        http.connection_made(_Transport())
        http.on_message_begin()
        http.on_url(b"/cable?x=1")
        http.headers.append((b"sec-websocket-key", b"k"))
        ready = ReadyWebSocket(http, Handshake((b"/cable", b"x=1"), "k", []), b"", False)
        await asyncio.sleep(0)
        ours = {"key", "early", "head", "_conn", "_queue", "connect_sent", "inbound"}
        attributes = {*vars(ready), *(name for name in vars(ReadyWebSocket) if name in vars(stock))}
        assert attributes - ours - {"scope"} == set(vars(stock))
        assert not ours & set(vars(stock))
        fixed = set(vars(stock)) - {"conn", "queue", "writable", "transport", "server", "client", "scheme"}
        fixed -= {"connections", "tasks", "handshake_initiated", "handshake_complete", "app", "loop"}
        assert {name: getattr(ready, name) for name in fixed} == {
            name: getattr(stock, name) for name in fixed
        }
        assert ready.connections is state.connections and ready.tasks is state.tasks
        assert isinstance(ready.conn, type(stock.conn))
        for task in state.tasks:
            task.cancel()

    asyncio.run(work())


class _Transport(asyncio.Transport):
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...

    def close(self) -> None: ...

    def is_closing(self) -> bool:
        return True


def test_uvicorn_still_calls_what_we_override() -> None:
    for name in ("data_received", "on_headers_complete", "on_message_begin", "_start_asgi_task", "on_body"):
        assert hasattr(HttpToolsProtocol, name)
    for name in ("run_asgi", "send", "receive", "start_keepalive", "on_task_complete"):
        assert hasattr(WebSocketsSansIOProtocol, name)


def test_a_handshake_is_answered_with_its_key_and_protocol() -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(
            handshake("/cable", f"sec-websocket-protocol: chat, {EXT_PROTOCOL}", "origin: http://a.example")
        )
        head = (await peer.head()).decode()
        assert "\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head  # RFC 6455 §1.3
        assert f"\r\nsec-websocket-protocol: {EXT_PROTOCOL}\r\n" in head
        assert await peer.text() == '{"type":"welcome"}'
        await until(lambda: not world.state.tasks)
        assert not world.state.connections
        (scope,) = world.scopes
        assert (scope["type"], scope["path"], scope["subprotocols"]) == (
            "websocket",
            "/cable",
            ["chat", EXT_PROTOCOL],
        )
        peer.leave()
        await until(lambda: not world.connections.count)

    run(work)


@pytest.mark.parametrize("deflate", [False, True])
def test_what_comes_in_the_same_segment_behind_the_upgrade_is_not_lost(deflate: bool) -> None:
    async def work(world: World) -> None:
        peer = await world.upgrade(SUBSCRIBE + frame(PING))
        assert [json.loads(await peer.text())["type"] for _ in range(3)] == [
            "welcome",
            "confirm_subscription",
            "pong",
        ]
        peer.leave()
        await until(lambda: not world.connections.count)

    run(work, ws_per_message_deflate=deflate)


def has_heard(protocol: Any) -> bool:
    """Whether all that is sent below has come, or as much as is kept."""
    return protocol.read_paused or len(protocol.early or b"") >= len(SUBSCRIBE + frame(PING) * 3)


@pytest.mark.parametrize("handover", [True, False])
@pytest.mark.parametrize("count", [3, 4000])
def test_what_comes_before_the_answer_is_handled_in_order_after_it(handover: bool, count: int) -> None:
    async def work(world: World) -> None:
        open_ = asyncio.Event()
        cable = world.routes["/cable"]

        async def hesitating(scope: Any, receive: Any, send: Any) -> None:
            await open_.wait()
            if not handover:
                del scope["extensions"][HANDOVER_EXTENSION]
            await cable(scope, receive, send)

        world.routes["/cable"] = hesitating
        peer = await world.connect()
        peer.say(handshake("/cable") + SUBSCRIBE[:7])  # a frame cut in two
        await until(lambda: world.scopes)
        peer.say(SUBSCRIBE[7:] + frame(PING) * count)  # the longer one is more than is kept: reading pauses
        await until(lambda: any(has_heard(it) for it in world.state.connections))
        open_.set()
        await peer.head()
        assert json.loads(await peer.text())["type"] == "welcome"
        assert json.loads(await peer.text())["type"] == "confirm_subscription"
        assert [await peer.text() for _ in range(count)] == ['{"type":"pong"}'] * count
        peer.leave()
        await until(lambda: not world.connections.count)

    run(work)


@pytest.mark.parametrize("deflate", [False, True])
def test_without_the_handover_text_that_is_no_utf8_is_1007_and_no_traceback(deflate: bool) -> None:
    async def work(world: World) -> None:
        cable = world.routes["/cable"]

        async def plain(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"].pop(HANDOVER_EXTENSION, None)
            await cable(scope, receive, send)

        world.routes["/cable"] = plain
        peer = await world.upgrade(frame(PING))
        peer.say(frame(b"\xff", fin=False) + frame(b"", Opcode.CONT))
        assert await peer.close_code() == 1007
        peer.leave()
        await until(lambda: not world.connections.count)
        early = await world.connect()
        early.say(handshake("/cable") + frame(b"\xff"))
        assert await early.rest() or deflate

    run(work, ws_per_message_deflate=deflate)


def test_a_handshake_on_a_paused_transport_waits_for_room() -> None:
    async def work(world: World) -> None:
        world.routes["/big"] = big
        peer = await world.connect()
        peer.say(get("/big"))
        await peer.head()
        peer.say(handshake("/cable") + SUBSCRIBE)
        await until(lambda: len(world.scopes) == 2)
        world.publish("events", 2)
        await peer.reader.readexactly(BIG)
        await peer.head()
        assert json.loads(await peer.text())["type"] == "welcome"
        assert json.loads(await peer.text())["position"] == "e1-2"
        peer.leave()
        await until(lambda: not world.connections.count)

    run(work)


def test_another_origin_is_404_without_an_upgrade() -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(handshake("/cable", "origin: http://evil.example") + SUBSCRIBE)
        answer = await peer.rest()
        assert answer.startswith(b"HTTP/1.1 404 ") and b'"error":"not_found"' in answer
        await until(lambda: not world.state.tasks and not world.state.connections)

    run(work)


@pytest.mark.parametrize("deflate", [False, True])
def test_a_handshake_in_work_at_the_shutdown_is_503(deflate: bool) -> None:
    asked, answering = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await answering.wait()
        await send({"type": "websocket.accept"})

    async def work(world: World) -> None:
        world.routes["/slow"] = app
        peer = await world.connect()
        peer.say(handshake("/slow"))
        await asked.wait()
        (connection,) = world.state.connections
        connection.shutdown()
        answering.set()
        answer = await peer.rest()
        assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 1\r\n" in answer.lower()
        assert answer.count(b"HTTP/1.1") == 1
        await until(lambda: not world.state.tasks)

    run(work, ws_per_message_deflate=deflate)


@pytest.mark.parametrize("deflate", [False, True])
def test_a_handshake_whose_client_has_left_is_no_error_at_the_shutdown(deflate: bool) -> None:
    asked, answering = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await answering.wait()

    async def work(world: World) -> None:
        world.routes["/slow"] = app
        peer = await world.connect()
        peer.say(handshake("/slow"))
        await asked.wait()
        (connection,) = world.state.connections
        connection.transport.abort()
        await turns()  # uvloop refuses a write only once the socket is closed
        connection.shutdown()
        answering.set()
        assert await peer.rest() == b""
        await until(lambda: not world.state.tasks)

    run(work, ws_per_message_deflate=deflate)


def test_a_client_that_leaves_before_the_app_declines_the_handover_is_no_error() -> None:
    async def work(world: World) -> None:
        heard: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            (connection,) = world.state.connections
            connection.transport.abort()
            await turns()  # uvloop refuses a write only once the socket is closed
            heard.append((await receive())["type"])

        world.routes["/declines"] = app
        peer = await world.connect()
        peer.say(handshake("/declines"))
        assert await peer.rest() == b""
        await until(lambda: not world.state.tasks)
        assert heard == ["websocket.disconnect"]

    run(work)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (handshake("/cable", key="short"), 400),
        (handshake("/cable", key="short") + SUBSCRIBE, 400),
        (handshake("/cable", key="=" * 24), 400),
        (handshake("/cable", "sec-websocket-key: " + "A" * 22 + "=="), 400),
        (handshake("/cable", version="12"), 400),
        (handshake("http://[::1"), 400),
        (handshake("http://a.example"), 400),
    ],
)
def test_faulty_handshakes_are_refused(request_: bytes, status: int) -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(request_)
        answer = await peer.rest()
        assert answer.startswith(b"HTTP/1.1 ") and int(answer[9:12]) == status
        assert not world.connections.count

    run(work)


def test_any_other_upgrade_is_answered_as_if_none_was_asked() -> None:
    async def work(world: World) -> None:
        peer = await world.connect()
        peer.say(get("/nothing", "1.1", "upgrade: h2c", "connection: upgrade"))
        assert (await peer.head()).startswith(b"HTTP/1.1 404 ")
        peer.leave()

    run(work)


def test_an_upgrade_behind_a_request_in_work_closes_behind_its_answer() -> None:
    async def work(world: World) -> None:
        answer = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await answer.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

        world.routes["/slow"] = slow
        peer = await world.connect()
        peer.say(get("/slow") + handshake("/cable"))
        await until(lambda: world.scopes)
        peer.say(SUBSCRIBE)
        await turns()
        answer.set()
        rest = await peer.rest()
        assert rest.startswith(b"HTTP/1.1 200 ") and rest.endswith(b"\r\n\r\nok")
        peer.leave()
        await until(lambda: not world.state.connections and not world.state.tasks)

    run(work)


# ---- the link


async def linked(world: World) -> tuple[Recorder, Peer]:
    recorder = recorded(world)
    return recorder, await world.upgrade()


def test_messages_fragments_and_pings_between_them() -> None:
    async def work(world: World) -> None:
        recorder, peer = await linked(world)
        peer.say(frame("whole") + frame("fr", fin=False) + frame("p", Opcode.PING))
        peer.say(frame("", Opcode.CONT, fin=False) * 5000 + frame("ag", Opcode.CONT, fin=False))
        peer.say(frame("ment é", Opcode.CONT) + frame(b"\x00", Opcode.BINARY, fin=False))
        peer.say(frame(b"\x00", Opcode.CONT) + frame("", Opcode.TEXT) + frame(b"late", Opcode.PONG))
        pong = await peer.frame()
        assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"p")
        await until(lambda: len(recorder.calls) == 4)
        assert recorder.calls == ["whole", "fragment é", b"binary", ""]
        peer.leave()
        await until(lambda: recorder.calls[-1] == ("lost", "lost"))

    run(work)


def test_a_character_may_be_cut_by_a_fragment() -> None:
    async def work(world: World) -> None:
        recorder, peer = await linked(world)
        data = "é".encode()
        peer.say(frame(data[:1], fin=False) + frame(data[1:], Opcode.CONT))
        await until(lambda: recorder.calls == ["é"])
        peer.leave()
        await until(lambda: len(recorder.calls) == 2)

    run(work)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(b"\xff\xfe"), 1007, id="no UTF-8"),
        pytest.param(frame("x" * 65537), 1009, id="too long"),
        pytest.param(frame("x" * 40000, fin=False) + frame("x" * 40000, Opcode.CONT), 1009, id="long in sum"),
        pytest.param(b"\x81\x02hi", 1002, id="not masked"),
        pytest.param(b"\xc1\x80\x00\x00\x00\x00", 1002, id="a reserved bit"),
        pytest.param(b"\x83\x80\x00\x00\x00\x00", 1002, id="an unknown opcode"),
        pytest.param(b"\x09\x80\x00\x00\x00\x00", 1002, id="a ping in fragments"),
        pytest.param(frame("x", Opcode.CONT), 1002, id="goes on where nothing began"),
        pytest.param(frame("x", fin=False) + frame("y"), 1002, id="begins in the middle"),
        pytest.param(frame(b"\x03", Opcode.CLOSE), 1002, id="half a close code"),
        pytest.param(frame(b"\x03\xed", Opcode.CLOSE), 1002, id="close code 1005 is for no wire"),
    ],
)
def test_faults_end_with_their_code_and_nothing_behind_it(data: bytes, code: int) -> None:
    async def work(world: World) -> None:
        healthy = await world.upgrade(SUBSCRIBE)
        faulty = await world.upgrade(SUBSCRIBE)
        for peer in (healthy, faulty):
            assert json.loads(await peer.text())["type"] == "welcome"
            assert json.loads(await peer.text())["type"] == "confirm_subscription"
        faulty.say(data + frame(PING))
        assert await faulty.close_code() == code
        assert not world.process.hub.topics["events"].lagging
        world.publish("events", 1)  # its transport can no longer be written to, and nobody tries
        world.connections._on_tick(0)
        for client in list(world.connections):
            client.send_heartbeat()
        assert json.loads(await healthy.text())["message"]["n"] == 1
        assert await faulty.rest() == b""
        assert world.process.telemetry.value("swallowed", where="hub.write") == 0
        for client in list(world.connections):
            client.goodbye("server_restart", 1000)
        while (told := json.loads(await healthy.text())["type"]) == "ping":
            pass
        assert told == "disconnect"
        faulty.leave()
        healthy.leave()
        await until(lambda: not world.connections.count)

    run(work)


def test_the_longest_message_passes() -> None:
    async def work(world: World) -> None:
        recorder, peer = await linked(world)
        peer.say(frame("x" * 65536))
        await until(lambda: recorder.calls == ["x" * 65536])
        peer.leave()
        await until(lambda: len(recorder.calls) == 2)

    run(work)


def test_a_peer_that_closes_is_answered_and_let_go() -> None:
    async def work(world: World) -> None:
        recorder, peer = await linked(world)
        peer.say(frame((1000).to_bytes(2) + b"bye", Opcode.CLOSE) + frame("too late"))
        assert await peer.close_code() == 1000
        assert await peer.rest() == b""
        await until(lambda: recorder.calls == ["ending", ("lost", "closed")])

    run(work)


def test_our_close_waits_for_the_answer_of_the_peer() -> None:
    async def work(world: World) -> None:
        recorder, peer = await linked(world)
        await until(lambda: recorder.socket)
        recorder.socket.close(1001)
        recorder.socket.close(1001)
        assert recorder.calls == ["ending"]
        assert await peer.close_code() == 1001
        peer.say(frame("too late") + frame((1001).to_bytes(2), Opcode.CLOSE))
        assert await peer.rest() == b""
        await until(lambda: recorder.calls[-1] == ("lost", "closed"))
        assert "too late" not in recorder.calls

    run(work)


def test_frames_left_over_while_paused_are_handled_after_the_resume() -> None:
    async def work(world: World) -> None:
        recorder, peer = await linked(world)
        peer.say(
            b"".join([frame("one"), frame("fill"), frame("two"), frame("three"), frame("p", Opcode.PING)])
        )
        await until(lambda: "paused" in recorder.calls)
        peer.say(frame("four"))
        seen = [(await peer.frame()).opcode for _ in range(2)]
        assert sorted(seen) == sorted([Opcode.BINARY, Opcode.PONG])
        peer.say(frame("five"))
        await until(lambda: recorder.calls[-1] == "five")
        assert recorder.calls == ["one", "fill", "paused", "resumed", "two", "three", "four", "five"]
        peer.leave()
        await until(lambda: recorder.calls[-1] == ("lost", "lost"))

    run(work)


def test_a_stuck_reader_costs_its_buffer_and_is_resumed_without_a_loss() -> None:
    async def work(world: World) -> None:
        peer = await world.upgrade(SUBSCRIBE)
        (client,) = [await first(world)]
        while not client.paused:
            world.publish("events", 50)
            await asyncio.sleep(0)
        waiting = client.sink.get_write_buffer_size()
        world.publish("events", 50)
        assert client.sink.get_write_buffer_size() <= waiting
        head = world.process.hub.position("events").id
        numbers: list[int] = []
        while not numbers or numbers[-1] < head:
            told = json.loads(await peer.text())
            if "message" in told:
                numbers.append(told["message"]["n"])
        assert numbers == list(range(1, head + 1))
        peer.leave()
        await until(lambda: not world.connections.count)

    run(work)


async def first(world: World) -> Connection:
    topic = world.process.hub.topics["events"]
    await until(lambda: topic.groups)
    client = next(iter(world.connections))
    assert isinstance(client, Connection)
    return client


def test_an_open_websocket_is_what_websockets_own_constructor_makes() -> None:
    """A websockets that adds an attribute of each connection's own is noticed here: then look at OpenProtocol."""
    stock = Rfc6455(Side.SERVER, state=State.OPEN, max_size=MAX_MESSAGE, logger=quiet_logger)
    ours, other = OpenProtocol(), OpenProtocol()
    alike = {
        name for name, value in vars(stock).items() if name != "id" and isinstance(value, Hashable)
    } - PER_CONNECTION
    assert {name: getattr(ours, name) for name in alike} == {name: getattr(stock, name) for name in alike}
    assert set(vars(stock)) - alike - PER_CONNECTION == {"id", "extensions"} and ours.extensions == []
    assert set(vars(ours)) == PER_CONNECTION
    assert all(getattr(ours, name) is not getattr(other, name) for name in PER_CONNECTION)
    ours.receive_data(b"\x88\x80abcd")
    assert (ours.state, other.state) == (State.CLOSING, State.OPEN) and ours.extensions == []


# ---- nothing stays behind


def test_connections_that_have_gone_leave_nothing_to_the_collector() -> None:
    async def work(world: World) -> None:
        kinds = (
            Connection,
            Subscription,
            HandedOverWebSocket,
            OpenProtocol,
            HttpProtocol,
            ReadyWebSocket,
            RequestResponseCycle,
        )
        with no_cycles(*kinds):
            peers = [await world.upgrade(SUBSCRIBE)]
            for request in (STREAM, get("/nothing")):
                peers.append(await world.connect())
                peers[-1].say(request)
                await peers[-1].head()
            await until(lambda: world.connections.count == 2)
            for peer in peers:
                peer.leave()
                await peer.writer.wait_closed()
            await until(lambda: not world.connections.count and not world.state.connections)
            await until(lambda: not world.state.tasks)
            world.scopes.clear()
            world.peers.clear()
            del peers, peer
            await turns()

    run(work)
