"""The world that faults happen to: PostgreSQL, Redis, server processes, and a proxy on each way between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.clients import PATIENCE, RAW, STREAM
from tests.live.server import Server
from tests.live.wire import Address
from tests.services.fault_proxy import FaultProxy
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

WORKERS = ("1", "1", "2")  # of each server
SETTINGS = {
    "STREAMS": f"dashboard_updates:state,{STREAM}:log,{RAW}:log",
    "INGEST_CHANNEL": RAW,
    "SSE_HEARTBEAT": "1",
    "CABLE_PING": "1",
    "KEEP_EVENTS": "1000000",
    "MAX_REPLAY": "1000000",  # so that nobody may be told `gap`
    "TAIL_SIZE": "200",  # so that clients read on from the log
    "DRAIN_SECONDS": "2",
    "RETRY_MIN": "100",
    "RETRY_MAX": "1000",
}


@dataclass
class Node:
    """One server, with a proxy in front of it, one before its Redis and one before its PostgreSQL."""

    name: str
    server: Server
    front: FaultProxy
    redis: FaultProxy
    postgres: FaultProxy

    @property
    def address(self) -> Address:
        """Where clients reach it."""
        return Address("127.0.0.1", self.front.port, patience=PATIENCE)


@dataclass
class World:
    """Everything that runs."""

    redis: RedisServer
    postgres: PostgresServer
    database: str
    nodes: list[Node] = field(default_factory=list)

    @property
    def addresses(self) -> list[Address]:
        return [node.address for node in self.nodes]

    def heal(self) -> None:
        """End all faults, and have everything running."""
        for service in (self.redis, self.postgres):
            if service.running:
                service.thaw()
            else:
                service.start()
        for node in self.nodes:
            for proxy in (node.front, node.redis, node.postgres):
                proxy.heal()
            if not node.server.alive:
                node.server.start()


@contextlib.contextmanager
def running(directory: Path) -> Iterator[World]:
    """Start everything below `directory`, which other users can reach, and end it."""
    with contextlib.ExitStack() as stack:
        folders = {name: directory / name for name in ("redis", "postgres")}
        for folder in folders.values():
            folder.mkdir()
        redis, postgres = RedisServer(folders["redis"]), PostgresServer(folders["postgres"])
        for service in (redis, postgres):
            stack.callback(service.kill)
            service.start()
        world = World(redis, postgres, postgres.new_database())
        for number, workers in enumerate(WORKERS, 1):
            world.nodes.append(start_node(stack, world, directory / f"server{number}", workers))
        yield world
        world.heal()


def start_node(stack: contextlib.ExitStack, world: World, directory: Path, workers: str) -> Node:
    """Start one server with its proxies."""
    directory.mkdir()
    redis = stack.enter_context(FaultProxy(world.redis.port))
    postgres = stack.enter_context(FaultProxy(world.postgres.port))
    services = {
        "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
        "DATABASE_URL": world.postgres.url(world.database, postgres.port),
        "WEB_CONCURRENCY": workers,
    }
    server = Server(directory, {**SETTINGS, **services})
    server.start()
    stack.callback(server.kill)
    front = stack.enter_context(FaultProxy(server.address.port))
    return Node(directory.name, server, front, redis, postgres)
