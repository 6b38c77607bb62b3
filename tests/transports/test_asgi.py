"""plain: the outbox that looks like a transport, and both clients over plain ASGI messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import pytest

from dashboard_rt.hub.subscription import Subscription
from dashboard_rt.settings import Settings
from dashboard_rt.transports.asgi import HIGH_WATER, LOW_WATER, Outbox, run_stream, run_websocket
from dashboard_rt.transports.cable.session import CableSession
from dashboard_rt.transports.connection import Connection
from dashboard_rt.transports.sse import IDENTITY, SseConnection, SseRequest
from dashboard_rt.types import Kind
from tests.leaks import no_cycles
from tests.simulation import FakeLog, Process, VirtualLoop

STREAM = "dashboard_updates"
IDENTIFIER = '{"channel":"DashboardUpdatesChannel"}'
Message = MutableMapping[str, Any]


class Peer:
    """The far end of an ASGI connection: what it was sent, what it says, and whether it takes anything."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.says: asyncio.Queue[Message] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.takes.set()
        self.gone = False

    async def send(self, message: Message) -> None:
        await self.takes.wait()
        if self.gone:
            raise OSError("gone")
        self.sent.append(message)

    async def receive(self) -> Message:
        return await self.says.get()

    def say(self, **command: Any) -> None:
        self.says.put_nowait({"type": "websocket.receive", "text": json.dumps(command)})

    def leave(self, kind: str) -> None:
        self.gone = True
        self.says.put_nowait({"type": f"{kind}.disconnect"})
        self.takes.set()

    def texts(self) -> list[Any]:
        return [json.loads(m["text"]) for m in self.sent if m["type"] == "websocket.send"]

    def body(self) -> bytes:
        return b"".join(m["body"] for m in self.sent)


class Flow:
    """A client that only remembers."""

    def __init__(self) -> None:
        self.paused = False
        self.calls: list[str] = []

    def pause_writing(self) -> None:
        self.paused = True
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.paused = False
        self.calls.append("resume")


class World:
    def __init__(self) -> None:
        self.log = FakeLog({STREAM: Kind.STATE, "events": Kind.LOG})
        environ = {"STREAMS": "dashboard_updates:state,events:log", "SEND_TIMEOUT": "10"}
        self.process = Process(self.log, Settings.read(environ))
        self.peer = Peer()

    def publish(self, stream: str, count: int) -> None:
        self.process.follower.on_notification(self.log.append(stream, count))

    def sse(self) -> tuple[SseConnection, asyncio.Task[None]]:
        client = SseConnection(self.process.connections, IDENTITY)

        async def serve() -> None:
            def begin(head: bytes) -> None:
                client.open(head, SseRequest("events", None), None)

            try:
                await run_stream(client, self.peer.receive, self.peer.send, begin)
            finally:
                client.lost("lost")

        return client, asyncio.ensure_future(serve())

    def cable(self) -> tuple[CableSession, asyncio.Task[None]]:
        session = CableSession(
            self.process.connections, self.process.wires, self.process.telemetry, ext=True, raw=False
        )

        async def serve() -> None:
            try:
                begin = lambda head: session.open(head, None)  # noqa: E731
                await run_websocket(session, self.peer.receive, self.peer.send, begin)
            finally:
                session.lost("lost")

        return session, asyncio.ensure_future(serve())


def simulate(work: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        await world.process.start()
        world.process.connections.start()
        await work(world)
        world.process.connections.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


def test_an_outbox_asks_for_a_pause_and_resumes_when_there_is_room() -> None:
    async def work(world: World) -> None:
        flow: Any = Flow()
        taken: list[int] = []
        gate = asyncio.Event()

        async def send(data: bytes) -> None:
            await gate.wait()
            taken.append(len(data))

        async def forever() -> None:
            await asyncio.Event().wait()

        async def end() -> None:
            taken.append(0)

        outbox = Outbox(flow, send)
        running = asyncio.ensure_future(outbox.run(forever(), end))
        for _ in range(5):
            outbox.write(b"x" * (HIGH_WATER // 4))
        assert flow.calls == ["pause"]
        assert outbox.get_write_buffer_size() == HIGH_WATER // 4 * 5
        await settle()
        gate.set()
        await outbox.room()
        assert flow.calls == ["pause", "resume"]
        assert outbox.get_write_buffer_size() <= LOW_WATER
        outbox.close()
        outbox.write(b"too late")
        await running
        assert taken == [HIGH_WATER // 4] * 5 + [0]

    simulate(work)


def test_an_aborted_outbox_ends_at_once_even_in_its_last_word() -> None:
    async def work(world: World) -> None:
        async def stuck(data: bytes = b"") -> None:
            await asyncio.Event().wait()

        async def taken(data: bytes) -> None:
            pass

        for send in (stuck, taken):
            outbox = Outbox(cast(Connection, Flow()), send)
            running = asyncio.ensure_future(outbox.run(stuck(), stuck))
            outbox.write(b"x")
            outbox.close()
            await settle()
            assert not running.done()
            outbox.abort()
            await running

    simulate(work)


def test_a_fault_in_the_listener_is_not_hidden_but_a_lost_peer_is_none() -> None:
    async def work(world: World) -> None:
        async def fails(error: Exception) -> None:
            raise error

        async def end() -> None: ...

        async def send(data: bytes) -> None: ...

        with pytest.raises(ValueError, match="a fault of ours"):
            await Outbox(cast(Connection, Flow()), send).run(fails(ValueError("a fault of ours")), end)
        await Outbox(cast(Connection, Flow()), send).run(fails(OSError("gone")), end)

    simulate(work)


def test_sse_streams_until_the_peer_leaves() -> None:
    async def work(world: World) -> None:
        _client, serving = world.sse()
        await settle()
        world.publish("events", 2)
        await settle()
        body = world.peer.body().decode()
        assert body.startswith("retry: ") and body.endswith('"}\n\n')
        assert "event: verdict" in body and "id: e1-2\n" in body
        assert all(m["more_body"] for m in world.peer.sent)
        world.peer.leave("http")
        await serving
        assert world.process.connections.count == 0

    simulate(work)


def test_sse_ends_its_body_behind_the_goodbye() -> None:
    async def work(world: World) -> None:
        client, serving = world.sse()
        await settle()
        client.goodbye("server_restart", 1500)
        world.publish("events", 1)
        await serving
        assert world.peer.body().decode().endswith('{"reason":"server_restart","retry_ms":1500}\n\n')
        assert [m["more_body"] for m in world.peer.sent][-2:] == [True, False]

    simulate(work)


def test_a_stuck_sse_peer_lags_and_then_reads_on_without_a_loss() -> None:
    async def work(world: World) -> None:
        client, serving = world.sse()
        await settle()
        world.peer.takes.clear()
        for _ in range(5):
            world.publish("events", 300)
        assert client.paused
        waiting = client.sink.get_write_buffer_size()
        world.publish("events", 50)
        assert client.sink.get_write_buffer_size() == waiting  # a stuck peer costs its buffer and no more
        world.peer.takes.set()
        for _ in range(200):
            await settle()
        ids = [line for line in world.peer.body().decode().split("\n") if line.startswith('data: {"n"')]
        assert [json.loads(line[6:])["n"] for line in ids] == list(range(1, 1551))
        world.peer.leave("http")
        await serving

    simulate(work)


def test_a_stuck_peer_is_cut_after_send_timeout() -> None:
    async def work(world: World) -> None:
        _client, serving = world.sse()
        await settle()
        world.peer.takes.clear()
        for _ in range(5):
            world.publish("events", 300)
        await asyncio.sleep(11)
        await serving
        assert world.process.telemetry.value("aborted", transport="sse") == 1

    simulate(work)


def test_cable_sends_one_message_a_frame() -> None:
    async def work(world: World) -> None:
        _session, serving = world.cable()
        world.peer.say(command="subscribe", identifier=IDENTIFIER)
        await settle()
        world.publish(STREAM, 3)
        await settle()
        texts = world.peer.texts()
        assert [text.get("type") for text in texts[:2]] == ["welcome", "confirm_subscription"]
        assert [text["offset"] for text in texts[2:]] == [1, 2, 3]
        world.peer.says.put_nowait({"type": "websocket.receive", "bytes": b"x", "text": None})
        world.peer.leave("websocket")
        await serving
        assert world.process.telemetry.value("ignored", reason="binary") == 1

    simulate(work)


def test_cable_says_disconnect_closes_with_its_code_and_hears_no_more() -> None:
    async def work(world: World) -> None:
        session, serving = world.cable()
        world.peer.say(command="subscribe", identifier=IDENTIFIER)
        await settle()
        world.peer.takes.clear()
        session.goodbye("server_restart", 1500)
        session.goodbye("server_restart", 1500)
        world.peer.say(command="ping")
        await settle()
        world.publish(STREAM, 1)
        world.peer.takes.set()
        await serving
        assert world.peer.texts()[-1]["type"] == "disconnect"
        assert world.peer.sent[-1] == {"type": "websocket.close", "code": 1001}
        assert world.process.telemetry.value("commands", command="ping") == 0

    simulate(work)


def test_a_cable_peer_that_does_not_take_its_close_is_cut() -> None:
    async def work(world: World) -> None:
        session, serving = world.cable()
        await settle()
        world.peer.takes.clear()
        session.goodbye("full", 1500)
        await asyncio.sleep(11)
        await serving
        assert world.process.telemetry.value("aborted", transport="cable") == 1

    simulate(work)


def test_a_cable_peer_is_not_listened_to_while_its_outbox_is_full() -> None:
    async def work(world: World) -> None:
        session, serving = world.cable()
        world.peer.say(command="subscribe", identifier=IDENTIFIER)
        await settle()
        world.peer.takes.clear()
        for _ in range(3):
            world.publish(STREAM, 300)
        assert session.paused
        for _ in range(10):
            world.peer.say(command="ping")
        await settle()
        assert world.process.telemetry.value("commands", command="ping") <= 1
        world.peer.takes.set()
        for _ in range(300):
            await settle()
        assert world.process.telemetry.value("commands", command="ping") == 10
        assert [t["offset"] for t in world.peer.texts() if "offset" in t] == list(range(1, 901))
        world.peer.leave("websocket")
        await serving

    simulate(work)


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_nothing_is_left_to_the_collector(kind: str) -> None:
    async def work(world: World) -> None:
        with no_cycles(Connection, Subscription, Outbox):
            client, serving = world.sse() if kind == "http" else world.cable()
            if kind == "websocket":
                world.peer.say(command="subscribe", identifier=IDENTIFIER)
            await settle()
            world.peer.leave(kind)
            await serving
            del client, serving
            world.peer = Peer()
            await settle()

    simulate(work)
