"""sse: what the endpoint answers before anything streams, and what a client is told at its moments."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from starlette.applications import Starlette

from dashboard_rt.http.responses import exception_handlers
from dashboard_rt.hub.subscription import Resume
from dashboard_rt.settings import Settings
from dashboard_rt.transports import sse
from dashboard_rt.transports.sse import CHUNKED, IDENTITY, CorrectedSseConnection, SseConnection, SseRequest
from dashboard_rt.types import Kind, Position, Update, Verdict
from tests.simulation import FakeLog, FakeTransport, Process, VirtualLoop

STREAM = "dashboard_updates"
Message = MutableMapping[str, Any]


class World:
    """One process, and an app with the endpoint that answers over plain ASGI."""

    def __init__(self, **environ: str) -> None:
        self.log = FakeLog({STREAM: Kind.STATE, "events": Kind.LOG})
        self.settings = Settings.read({"STREAMS": "dashboard_updates:state,events:log", **environ})
        self.process = Process(self.log, self.settings)
        self.telemetry = self.process.telemetry
        route = sse.TRANSPORT.route(self.process.connections, self.settings, self.telemetry, None)
        self.app = Starlette(routes=[route], exception_handlers=dict(exception_handlers))

    def publish(self, stream: str, count: int) -> None:
        self.process.follower.on_notification(self.log.append(stream, count))

    async def ask(
        self, method: str = "GET", query: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Status, head and body of a request whose peer leaves once all is said that can be said at once."""
        scope = {
            "type": "http",
            "method": method,
            "path": "/dashboard/stream",
            "http_version": "1.1",
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
            "client": ("10.0.0.1", 4321),
        }
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            await asyncio.sleep(0.1)
            return {"type": "http.disconnect"}

        await self.app(scope, receive, send)
        head = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return sent[0]["status"], head, b"".join(m["body"] for m in sent[1:]).decode()


def simulate(work: Callable[[World], Awaitable[None]], **environ: str) -> None:
    async def run() -> None:
        world = World(**environ)
        await world.process.start()
        await work(world)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def events(body: str) -> list[dict[str, str]]:
    """The fields of each block."""
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in body.split("\n\n") if block]


def verdict(body: str) -> dict[str, Any]:
    """The first event of a connection, without the reconnection time, which is the one in front of it."""
    retry, first = events(body)[:2]
    assert 1000 <= int(retry["retry"]) <= 5000
    assert first["event"] == "verdict"
    data: dict[str, Any] = json.loads(first["data"])
    assert first["id"] == data["position"]
    assert data.pop("retry_ms") == int(retry["retry"])
    return data


def test_the_head_forbids_caches_and_buffers() -> None:
    async def work(world: World) -> None:
        status, head, _ = await world.ask()
        assert status == 200
        assert head == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache, no-store, no-transform",
            "x-accel-buffering": "no",
            "x-content-type-options": "nosniff",
            "connection": "close",
            "vary": "Origin",
        }

    simulate(work)


def test_without_a_position_a_state_starts_with_its_newest_and_a_log_with_the_next() -> None:
    async def work(world: World) -> None:
        for stream, position, replaying in ((STREAM, "e1-2", 1), ("events", "e1-3", 0)):
            world.publish(stream, 3)
            _, _, body = await world.ask(query=f"stream={stream}")
            assert verdict(body) == {
                "verdict": "fresh",
                "position": position,
                "replaying": replaying,
                "missed": None,
            }
            assert [e["id"] for e in events(body)[2:]] == ["e1-3"] * replaying

    simulate(work)


@pytest.mark.parametrize("how", ["query", "header", "both"])
def test_a_position_is_resumed_and_the_header_wins(how: str) -> None:
    async def work(world: World) -> None:
        world.publish("events", 5)
        query = {"query": "&last_event_id=e1-3", "header": "", "both": "&last_event_id=e1-1"}[how]
        headers = {} if how == "query" else {"Last-Event-ID": "e1-3"}
        _, _, body = await world.ask(query="stream=events" + query, headers=headers)
        assert verdict(body) == {"verdict": "recovered", "position": "e1-3", "replaying": 2, "missed": None}
        assert [e["id"] for e in events(body)[2:]] == ["e1-4", "e1-5"]

    simulate(work)


@pytest.mark.parametrize(
    "name",
    [
        "last_event_id",
        "lastEventId",
        "lastEventID",
        "LastEventId",
        "lasteventid",
        "last-event-id",
        "Last-Event-ID",
        "last%5Fevent%5Fid",
        "evs_last_event_id",
        "evs-last-event-id",
    ],
)
def test_the_position_is_read_however_its_name_is_spelled(name: str) -> None:
    async def work(world: World) -> None:
        world.publish("events", 5)
        _, _, body = await world.ask(query=f"stream=events&{name}=e1-3")
        assert verdict(body) == {"verdict": "recovered", "position": "e1-3", "replaying": 2, "missed": None}

    simulate(work)


@pytest.mark.parametrize(
    ("query", "headers", "position"),
    [
        ("last_event_id=e1-1&lastEventId=e1-3", {}, "e1-3"),
        ("lastEventId=e1-1&last_event_id=e1-3", {}, "e1-3"),
        ("last_event_id=e1-3&lastEventId=", {}, "e1-3"),
        ("lastEventId=e1-1", {"Last-Event-ID": "e1-3"}, "e1-3"),
        ("lastEventId=e1-3", {"Last-Event-ID": " "}, "e1-3"),
        ("", {"Last-Event-ID": "e1-3 \t"}, "e1-3"),
    ],
)
def test_of_several_positions_the_header_wins_and_then_the_last(
    query: str, headers: dict[str, str], position: str
) -> None:
    async def work(world: World) -> None:
        world.publish("events", 5)
        _, _, body = await world.ask(query=f"stream=events&{query}", headers=headers)
        assert (verdict(body)["verdict"], verdict(body)["position"]) == ("recovered", position)

    simulate(work)


@pytest.mark.parametrize(
    ("query", "ignored"),
    [
        ("lastid=e1-3", ["lastid"]),
        ("streams=events&Stream=events", ["streams", "Stream"]),
        ("_=1&_=2&last_event_id=e1-3", ["_"]),
        ("%22%0Aa=1", ['"\na']),
        ("&".join(f"n{n}=" for n in range(15)), ["n0", "n1", "n2", "n3", "n4"]),
        ("x" * 100 + "=1", ["x" * 64]),
    ],
)
def test_a_name_that_means_nothing_is_told_with_the_verdict(query: str, ignored: list[str]) -> None:
    async def work(world: World) -> None:
        status, _, body = await world.ask(query=query)
        assert (status, verdict(body)["ignored"]) == (200, ignored)
        assert verdict(body)["verdict"] in ("fresh", "recovered", "gap")
        assert world.telemetry.value("ignored", reason="query") == 1

    simulate(work)


def test_only_the_first_verdict_tells_the_names_that_mean_nothing() -> None:
    async def work(world: World) -> None:
        client = CorrectedSseConnection(world.process.connections, IDENTITY, ("lastid",))
        transport = FakeTransport()
        transport.client, client.sink = client, transport
        client.open(b"", SseRequest("events", None), None)
        assert b'"ignored":["lastid"]' in transport.read()
        client.pause_writing()
        world.publish("events", 9)
        client.resume_writing()
        said = transport.read()
        assert b'"verdict":"gap"' in said and b"ignored" not in said

    simulate(work, MAX_REPLAY="3")


@pytest.mark.parametrize("position", ["nonsense", "e0-2", "e1-99", "-1", "e1-2x", "%00", "é"])
def test_a_position_that_says_nothing_is_a_gap_and_never_an_error(position: str) -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 3)
        status, _, body = await world.ask(query=f"last_event_id={position}")
        assert status == 200
        assert verdict(body) == {"verdict": "gap", "position": "e1-2", "replaying": 1, "missed": None}
        assert world.telemetry.value("gaps", transport="sse") == 1

    simulate(work)


def test_an_empty_position_is_none() -> None:
    async def work(world: World) -> None:
        _, _, body = await world.ask(query="last_event_id=")
        assert verdict(body)["verdict"] == "fresh"

    simulate(work)


def test_what_was_missed_is_counted_when_known() -> None:
    async def work(world: World) -> None:
        world.publish("events", 5)
        _, _, body = await world.ask(query="stream=events&last_event_id=e1-1")
        assert verdict(body) == {"verdict": "gap", "position": "e1-5", "replaying": 0, "missed": 4}

    simulate(work, MAX_REPLAY="3")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("stream=unknown", 404, "unknown_stream"),
        ("stream=events&stream=events", 400, "bad_request"),
        ("&" * 50, 400, "bad_request"),
        ("a=1&" * 50, 400, "bad_request"),
    ],
)
def test_refusals_are_json(query: str, status: int, code: str) -> None:
    async def work(world: World) -> None:
        answered, head, body = await world.ask(query=query)
        assert (answered, head["content-type"]) == (status, "application/json")
        answer = json.loads(body)
        assert answer["error"] == code and answer["detail"]
        assert world.telemetry.value("rejected", transport="sse", reason=code) == 1

    simulate(work)


def test_head_is_the_head_alone() -> None:
    async def work(world: World) -> None:
        status, head, body = await world.ask("HEAD")
        assert (status, head["content-type"], body) == (200, "text/event-stream; charset=utf-8", "")
        assert world.process.connections.count == 0

    simulate(work)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_405_with_allow(method: str) -> None:
    async def work(world: World) -> None:
        status, head, body = await world.ask(method)
        assert (status, set(head["allow"].split(", "))) == (405, {"GET", "HEAD"})
        assert json.loads(body)["error"] == "method_not_allowed"

    simulate(work)


def test_cors_is_for_listed_origins_only() -> None:
    async def work(world: World) -> None:
        _, head, _ = await world.ask(headers={"Origin": "https://dash.example"})
        assert head["access-control-allow-origin"] == "https://dash.example"
        _, head, _ = await world.ask(headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in head

    simulate(work, ALLOWED_ORIGINS="https://dash.example")


@pytest.mark.parametrize("why", ["full", "server_restart"])
def test_who_cannot_come_in_is_told_with_a_200(why: str) -> None:
    async def work(world: World) -> None:
        if why == "full":
            world.process.connections.count = world.settings.max_clients
        else:
            world.process.connections.draining = True
        status, _, body = await world.ask()
        assert status == 200
        (goodbye,) = events(body)
        data = json.loads(goodbye["data"])
        assert (goodbye["event"], data["reason"]) == ("goodbye", why)
        assert int(goodbye["retry"]) == data["retry_ms"]
        assert world.telemetry.value("rejected", transport="sse", reason=why) == 1

    simulate(work)


# ---- the client


def opened(world: World, stream: str = "events") -> tuple[SseConnection, FakeTransport]:
    client, transport = SseConnection(world.process.connections, IDENTITY), FakeTransport()
    transport.client = client
    client.sink = transport
    client.open(b"HEAD\r\n\r\n", SseRequest(stream, None), None)
    return client, transport


def test_head_retry_and_verdict_leave_in_one_write() -> None:
    async def work(world: World) -> None:
        writes: list[bytes] = []

        class Sink(FakeTransport):
            def write(self, data: bytes) -> None:
                writes.append(data)

        client = SseConnection(world.process.connections, IDENTITY)
        client.sink = Sink()
        client.open(b"HEAD\r\n\r\n", SseRequest(STREAM, None), None)
        assert len(writes) == 1
        assert writes[0].startswith(b"HEAD\r\n\r\nretry: ") and b"event: verdict" in writes[0]

    simulate(work)


def test_a_heartbeat_carries_the_position_also_of_one_who_waits_for_the_log() -> None:
    async def work(world: World) -> None:
        client, transport = opened(world)
        for _ in range(4):
            world.publish("events", 3)
            transport.read()
        client.send_heartbeat()
        assert b"event: heartbeat\nid: e1-12\n" in transport.read()
        world.log.broken = True
        position = Position("e1", 2)  # which the Tail no longer holds
        late, transport = SseConnection(world.process.connections, IDENTITY), FakeTransport()
        transport.client, late.sink = late, transport
        late.open(b"", SseRequest("events", position), None)
        await asyncio.sleep(0.1)
        world.process.connections.heartbeat_cache.clear()
        late.send_heartbeat()
        assert transport.read().endswith(b'"position":"e1-2"}\n\n')
        world.log.broken = False
        await asyncio.sleep(3)
        assert b"id: e1-12\n" in transport.read()

    simulate(work, TAIL_SIZE="4")


def test_nothing_follows_the_goodbye() -> None:
    async def work(world: World) -> None:
        client, transport = opened(world)
        transport.read()
        client.goodbye("server_restart", 2000)
        said = transport.buffer
        client.goodbye("server_restart", 2000)
        client.send_heartbeat()
        world.publish("events", 1)
        assert transport.buffer == said
        assert transport.closed

    simulate(work)


def test_what_an_eventsource_says_is_not_read() -> None:
    async def work(world: World) -> None:
        client, transport = opened(world)
        before = transport.buffer
        client.data_received(b"GET / HTTP/1.1\r\n\r\n")
        client.eof_received()
        assert transport.buffer == before
        assert not transport.reading
        client.connection_lost(OSError("reset"))
        assert world.telemetry.value("closed", transport="sse", reason="error") == 1
        assert world.process.connections.count == 0
        client.goodbye("full", 1)
        client.send_heartbeat()

    simulate(work)


# ---- the bytes of events

TWO = [Update("s", 8, '{"n":8}'), Update("s", 9, '"é"')]


def test_an_update_is_an_id_line_and_a_data_line() -> None:
    assert IDENTITY.encode(TWO, "k3").decode() == 'id: k3-8\ndata: {"n":8}\n\nid: k3-9\ndata: "é"\n\n'


def test_a_batch_is_one_chunk_counted_in_bytes() -> None:
    payload = IDENTITY.encode(TWO, "k3")
    assert CHUNKED.encode(TWO, "k3") == f"{len(payload):x}\r\n".encode() + payload + b"\r\n"
    assert (CHUNKED.end, IDENTITY.end) == (b"0\r\n\r\n", b"")


def test_the_verdict_event() -> None:
    start = 'event: verdict\nid: k3-7\ndata: {"verdict":"gap","position":"k3-7","replaying":1,"missed":null'
    resume = Resume(Verdict.GAP, 7, 1, None)
    assert sse.verdict_event(resume, "k3") == start + "}\n\n"
    assert sse.first_verdict_event(resume, "k3", 2310) == start + ',"retry_ms":2310}\n\n'
    assert sse.first_verdict_event(resume, "k3", 2310, ["a", '"']) == (
        start + ',"retry_ms":2310,"ignored":["a","\\""]}\n\n'
    )


def test_heartbeat_goodbye_and_retry() -> None:
    assert sse.heartbeat_event(1767225600.0, Position("k3", 7)) == (
        'event: heartbeat\nid: k3-7\ndata: {"time":"2026-01-01T00:00:00.000Z","position":"k3-7"}\n\n'
    )
    assert sse.goodbye_event("server_restart", 2310) == (
        'retry: 2310\nevent: goodbye\ndata: {"reason":"server_restart","retry_ms":2310}\n\n'
    )
    assert sse.retry_block(1500) == "retry: 1500\n\n"
