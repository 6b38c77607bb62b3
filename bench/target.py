"""A target: how to start a server that speaks the two protocols, where its wires are, how to publish to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.connection import Wire

STREAM = "bench"
TOKEN = "bench-token"  # of a server on loopback that lives for seconds
IDENTIFIER = '{"channel":"DashboardUpdatesChannel","stream":"bench"}'
TRANSPORTS = ("sse", "cable")
FLOOR = Path(__file__).with_name("targets") / "floor.py"


@dataclass(frozen=True)
class HttpPublish:
    """Publishing by POST: one update, or several as NDJSON."""

    path: str = f"/streams/{STREAM}"
    token: str = TOKEN


@dataclass(frozen=True)
class Target:
    """A server to measure. `{port}`, `{directory}` and `{kind}` in command and environment are filled in at start.

    `ready_path` answers 200 once the server works.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    sse_path: str = f"/dashboard/stream?stream={STREAM}"
    cable_path: str = "/cable"
    identifier: str = IDENTIFIER
    protocol: str = "actioncable-v1-json"
    ready: str = "verdict"
    ready_path: str = "/ready"
    publish: HttpPublish = HttpPublish()

    def wire(self, transport: str, host: str, port: int) -> Wire:
        """How a load client opens `transport`."""
        path = self.sse_path if transport == "sse" else self.cable_path
        return Wire(transport, host, port, path, self.identifier, self.protocol, self.ready)

    def filled(self, **values: str) -> tuple[list[str], dict[str, str]]:
        """Command and environment with their places filled in."""

        def fill(text: str) -> str:
            for name, value in values.items():
                text = text.replace("{" + name + "}", value)
            return text

        return [fill(word) for word in self.command], {
            name: fill(text) for name, text in self.environment.items()
        }


def app() -> Target:
    """dashboard-rt on its embedded defaults: SQLite on disk, the broker in the process, no jobs."""
    return Target(
        name="app",
        command=(sys.executable, "-m", "dashboard_rt", "serve"),
        environment={
            "HOST": "127.0.0.1",
            "PORT": "{port}",
            "DATABASE_URL": "sqlite:///{directory}/bench.db",
            "JOBS": "off",
            "WEB_CONCURRENCY": "1",
            "PUBLISH_TOKEN": TOKEN,
            "STREAMS": STREAM + ":{kind}",
            "DRAIN_SECONDS": "1",
            "LOG_LEVEL": "warning",
        },
    )


def floor(joined: bool = False) -> Target:
    """The floor; with `joined` all messages of one publish in one write per client."""
    command = (sys.executable, str(FLOOR), "--port", "{port}", "--kind", "{kind}")
    return Target(
        name="floor-joined" if joined else "floor",
        command=(*command, "--joined") if joined else command,
    )


def with_settings(target: Target, name: str, **environment: str) -> Target:
    """A variant of a target under another name."""
    return replace(target, name=name, environment={**target.environment, **environment})


def by_name(name: str) -> Target:
    """A target of the command line; raises KeyError with the names that exist."""
    known: dict[str, Callable[[], Target]] = {
        "app": app,
        "floor": floor,
        "floor-joined": lambda: floor(joined=True),
        "app-plain": lambda: with_settings(app(), "app-plain", HANDOVER="off"),
    }
    if name not in known:
        raise KeyError(f"no target {name!r}; there are {', '.join(known)}")
    return known[name]()
