"""A target: how to start a server that speaks the protocols, where its wires are, how to publish to it. Data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bench.errors import Environment
from bench.load.wire import Wire
from bench.serving.broadcast import STREAM, Broadcast, HttpPublish
from bench.serving.build import Build
from bench.serving.need import Need
from bench.serving.placeholder import filled

IDENTIFIER = '{"channel":"DashboardUpdatesChannel","stream":"bench"}'


@dataclass(frozen=True)
class SseEnd:
    """Its event stream. `ready` and `envelope` are those of bench.load.wire.Wire: the event behind which nothing can be
    missed, and where in the JSON of an event the update is."""

    path: str = f"/dashboard/stream?stream={STREAM}"
    ready: str = "verdict"
    envelope: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CableEnd:
    """Its Action Cable, and the subscription that gets the updates."""

    path: str = "/cable"
    identifier: str = IDENTIFIER
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Deflate:
    """What a start for `cable+deflate` needs on top, so that permessage-deflate is agreed to."""

    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


class Outside(NamedTuple):
    """A server that somebody else started: loopback address, port, and the root of its process tree."""

    host: str
    port: int
    pid: int


@dataclass(frozen=True)
class Target:
    """A server to measure. Places such as `{port}` in command and environment are filled in at its start.

    `ready_path` answers 200 once the server works. `resumes`: a client that comes back with its position gets what
    it missed. `keeps_state`: started with kind `state` it gives each new client the newest update. `loop_lag_metric`
    is the name of a Prometheus gauge on /metrics, in seconds. `processes` is how many of its processes take clients
    in. `file` is the path that it was named by, if it was. `missing` tells what this machine lacks.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    transports: tuple[str, ...] = ("sse", "cable")
    sse: SseEnd = SseEnd()
    cable: CableEnd = CableEnd()
    ready_path: str = "/ready"
    broadcast: Broadcast = field(default_factory=HttpPublish)
    services: tuple[str, ...] = ()
    deflate: Deflate = Deflate()
    resumes: bool = False
    keeps_state: bool = False
    loop_lag_metric: str | None = None
    processes: int = 1
    outside: Outside | None = None
    build: Build | None = None
    needs: tuple[Need, ...] = ()
    about: str = ""
    file: str = ""

    def wire(self, transport: str, host: str, port: int) -> Wire:
        """How a load client opens `transport`."""
        if transport == "sse":
            end = self.sse
            headers = tuple(end.headers.items())
            return Wire(
                transport, host, port, end.path, ready=end.ready, envelope=end.envelope, headers=headers
            )
        headers = tuple(self.cable.headers.items())
        return Wire(transport, host, port, self.cable.path, self.cable.identifier, headers=headers)

    def speaking(self, transport: str) -> Target:
        """The target as it has to be started for `transport`; raises Environment when it does not speak it."""
        if transport not in self.transports:
            raise Environment(
                f"{self.name} does not speak {transport}; it speaks {', '.join(self.transports)}"
            )
        if transport != "cable+deflate":
            return self
        return replace(
            self,
            command=(*self.command, *self.deflate.arguments),
            environment={**self.environment, **self.deflate.environment},
        )

    def filled(self, **values: str) -> tuple[list[str], dict[str, str]]:
        """Command and environment with their places filled in."""
        environment = {name: filled(text, values) for name, text in self.environment.items()}
        return [filled(word, values) for word in self.command], environment

    @property
    def http_publish(self) -> HttpPublish | None:
        """How to publish over HTTP; None when it is done in another way."""
        return self.broadcast if isinstance(self.broadcast, HttpPublish) else None

    @property
    def missing(self) -> str:
        """What this machine lacks to run it and how to get that; empty when it can run."""
        return "; ".join(str(need) for need in self.needs if not need.met)
