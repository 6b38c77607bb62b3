"""A simulated process with cable sessions on it: what each is sent, and what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from dashboard_rt.settings import Settings
from dashboard_rt.transports.cable.session import CableSession
from dashboard_rt.types import Kind
from tests.simulation import FakeLog, FakeTransport, Process, VirtualLoop

STREAM = "dashboard_updates"
STATE = '{"channel":"DashboardUpdatesChannel"}'
LOG = '{"channel":"$pubsub","stream_name":"events"}'


class Client:
    """A connected session and what it was sent."""

    def __init__(self, world: World, ext: bool, session: CableSession | None = None) -> None:
        self.transport = FakeTransport()
        self.session = session or CableSession(
            world.process.connections, world.process.wires, world.telemetry, ext=ext, raw=False
        )
        self.transport.client = self.session
        self.session.sink = self.session.socket = self.transport
        self.session.open(b"", None)
        assert self.hear() == [{"type": "welcome"}]

    def hear(self) -> list[Any]:
        """All that waits, and what comes because there is room again."""
        heard = b""
        while data := self.transport.read():
            heard += data
        return [json.loads(line) for line in heard.splitlines()]

    def say(self, command: str, identifier: str | None = STATE, **more: Any) -> list[Any]:
        """Send a command; what is answered at once."""
        about = {} if identifier is None else {"identifier": identifier}
        self.session.on_text(json.dumps({"command": command, **about, **more}))
        return self.hear()


class World:
    def __init__(self, **environ: str) -> None:
        self.log = FakeLog({STREAM: Kind.STATE, "events": Kind.LOG})
        self.settings = Settings.read({"STREAMS": "dashboard_updates:state,events:log", **environ})
        self.process = Process(self.log, self.settings)
        self.telemetry = self.process.telemetry

    def publish(self, stream: str, count: int) -> None:
        self.process.follower.on_notification(self.log.append(stream, count))

    def connect(self, ext: bool = True, session: CableSession | None = None) -> Client:
        return Client(self, ext, session)

    def ignored(self, reason: str) -> float:
        return self.telemetry.value("ignored", reason=reason)


def simulate(work: Callable[[World], Awaitable[None]], **environ: str) -> None:
    async def run() -> None:
        world = World(**environ)
        await world.process.start()
        await work(world)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


async def settle(turns: int = 30) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
