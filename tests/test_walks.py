"""The three walks of docs/architecture.md, taken for real: the modules that run are those that the document names."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from dashboard_rt.app import create_app, serving
from dashboard_rt.server import admission
from dashboard_rt.server.handover import HttpProtocol, WebSocketProtocol
from dashboard_rt.settings import Settings
from tests.handovers import Peer, frame, get, handshake, until
from tests.patience import HANG_LIMIT

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "dashboard_rt"
# They run everywhere, and no walk has to name them.
EVERYWHERE = {"types.py", "telemetry.py", "settings.py"}
# The answer to who published leaves before the update does.
ANSWER = {"http/responses.py", "server/responses.py", "server/connection.py"}
STREAM = "dashboard_updates"


def named() -> dict[str, set[str]]:
    """The modules that each walk of the document names, by the first word of its title."""
    part = (ROOT / "docs" / "architecture.md").read_text().split("## Three walks", 1)[1].split("\n## ", 1)[0]
    walks = re.split(r"\n### An? ", part)[1:]
    return {walk.split()[0].strip(","): set(re.findall(r"`([\w/]+\.py)`", walk)) for walk in walks}


@contextmanager
def watched() -> Iterator[set[str]]:
    """Collect the modules of the package in which functions are called, on this thread and on new ones."""
    seen: set[str] = set()

    def look(code_frame: FrameType, event: str, _argument: Any) -> None:
        path = Path(code_frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            seen.add(path.relative_to(PACKAGE).as_posix())

    sys.setprofile(look)
    threading.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[int, set[Any]]]:
    """The whole app behind uvicorn's protocols with ours, on a real socket; its port, and what uvicorn holds."""
    settings = Settings.read(
        {
            "DATABASE_URL": f"sqlite:///{folder}/walk.db",
            "JOBS": "off",
            "PUBLISH_TOKEN": "t",
            "ALLOWED_HOSTS": "a, a.example",
        }
    )
    app = create_app(settings)
    config = Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        log_config=None,
        lifespan="off",
        access_log=False,  # whoever runs the server sets up its log lines
        ws_per_message_deflate=False,
    )
    config.load()
    state = ServerState()
    listener = socket.create_server(("127.0.0.1", 0))

    def protocol() -> Any:
        return HttpProtocol(config, state, {})

    async with serving(app.state.parts):
        server = await asyncio.get_running_loop().create_server(protocol, sock=listener)
        # Nothing runs beside the walks: no heartbeat, no look at the log, no trim of what an earlier process left.
        parts = app.state.parts
        parts.connections.stop()
        await parts.follower.stop()
        await until(parts.publisher._trimmer.done)
        yield listener.getsockname()[1], state.connections
        server.close()


async def connected(port: int, request: bytes) -> Peer:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
    peer.say(request)
    return peer


def post(number: int) -> bytes:
    body = json.dumps({"n": number}).encode()
    head = f"POST /streams/{STREAM} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer t\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def walk(folder: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with watched() as seen:
        async with served(folder) as (port, held), asyncio.timeout(HANG_LIMIT):
            publisher = await connected(port, post(1))
            answer = (await publisher.until(b"}")).decode()
            position = json.loads(answer[answer.index("{") :])["position"]

            line = f"last-event-id: {position.rpartition('-')[0]}-0"
            sse = await connected(port, b"")
            await until(
                lambda: len(held) == 2
            )  # the publisher's, and this one: a walk begins with its request
            seen.clear()
            sse.say(get("/dashboard/stream", "1.1", line))
            await sse.until(b'data: {"n": 1}\n\n')
            found["connect"] = set(seen)

            seen.clear()
            publisher.say(post(2))
            await sse.until(b'data: {"n": 2}\n\n')
            found["update"] = seen - ANSWER

            cable = await connected(port, handshake("/cable"))
            await cable.head()
            assert "welcome" in await cable.text()
            seen.clear()
            identifier = '{"channel":"DashboardUpdatesChannel"}'
            cable.say(frame(json.dumps({"command": "subscribe", "identifier": identifier})))
            assert "confirm_subscription" in await cable.text()
            assert '"n": 2' in await cable.text()
            found["cable"] = set(seen)
            for peer in (publisher, sse, cable):
                peer.writer.transport.abort()
            await until(lambda: True)
    return found


def test_each_walk_crosses_the_modules_that_the_document_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in `served`: the look at connections that are late may fall into a walk.
    monkeypatch.setattr(admission, "Timer", lambda *_: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(walk(tmp_path))
    documented = named()
    limits = {"update": 12, "connect": 9, "cable": 9}
    for name, limit in limits.items():
        crossed = found[name] - EVERYWHERE
        unnamed = crossed - documented[name]
        assert not unnamed, f"{name} also crosses {sorted(unnamed)}"
        assert len(crossed) <= limit, f"{name} crosses {len(crossed)}: {sorted(crossed)}"
