"""The faults. Each is begun, lasts, and is ended; none touches what another one has in hand."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from tests.chaos.ledger import Ledger
from tests.chaos.world import Node, World
from tests.live.server import Server
from tests.services.fault_proxy import FaultProxy
from tests.services.process import Service

Pause = Callable[[float], object]  # returns early when the run is over
CHANNEL = "dashboard_rt"
START_LIMIT = 90.0  # seconds, in which a server starts beside other faults
STARTUP_FAILED = 1  # the status of a server that waited in vain for its database


class Fault(NamedTuple):
    """`subject`: what it touches; two faults of one subject never overlap. `run` ends when it is over."""

    name: str
    subject: str
    run: Callable[[random.Random, Pause], None]


def all_faults(world: World) -> list[Fault]:
    """List what can happen, each as often as it is to come up."""
    faults = [
        Fault("redis killed", "redis", partial(kill_service, world.redis)),
        Fault("redis frozen", "redis", partial(freeze_service, world.redis)),
        Fault("redis cut", "redis", partial(cut_redis, world)),
        Fault("redis poisoned", "redis", partial(poison_redis, world)),
        Fault("postgres killed", "postgres", partial(kill_service, world.postgres)),
        Fault("postgres frozen", "postgres", partial(freeze_service, world.postgres)),
        Fault("postgres cut", "postgres", partial(cut_postgres, world)),
    ]
    for node in world.nodes:
        faults += node_faults(node)
    return faults


def node_faults(node: Node) -> list[Fault]:
    """List what can happen to one server and to its connections."""
    faults = [
        Fault("server killed", f"{node.name} process", partial(kill_server, node.server)),
        Fault("server terminated", f"{node.name} process", partial(terminate_server, node.server)),
        Fault("server frozen", f"{node.name} process", partial(freeze_server, node.server)),
    ]
    for way, proxy in (("clients", node.front), ("redis", node.redis), ("postgres", node.postgres)):
        for name, run in (
            ("cut", cut),
            ("half-closed", half_close),
            ("held", hold),
            ("slow", delay),
            ("refused", refuse),
        ):
            faults.append(Fault(f"way to {way} {name}", f"{node.name} {way}", partial(run, proxy)))
    return faults


def kill_service(service: Service, dice: random.Random, pause: Pause) -> None:
    service.kill()
    pause(dice.uniform(0, 4))
    service.start()


def freeze_service(service: Service, dice: random.Random, pause: Pause) -> None:
    service.freeze()
    pause(dice.uniform(0.5, 8))
    service.thaw()


def cut_redis(world: World, dice: random.Random, pause: Pause) -> None:
    world.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
    world.redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def poison_redis(world: World, dice: random.Random, pause: Pause) -> None:
    """Publish what no server can read on the channel of the notifications."""
    poison = ("", "null", "[]", "\x00", "é" * 1000, '{"stream":1}', "9" * 5000)
    for text in dice.sample(poison, 3):
        world.redis.ask("PUBLISH", CHANNEL, text)


def cut_postgres(world: World, dice: random.Random, pause: Pause) -> None:
    world.postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{world.database}' AND pid <> pg_backend_pid()"
    )


def start_patiently(server: Server) -> None:
    """Start a server as a platform does: again when it ended, because other faults keep its database away meanwhile."""
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            server.start(deadline - time.monotonic())
            return
        except AssertionError:
            ended = server.process is not None and server.process.poll() == STARTUP_FAILED
            if not ended or time.monotonic() > deadline:
                raise


def kill_server(server: Server, dice: random.Random, pause: Pause) -> None:
    for process in family(server):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    server.kill()
    pause(dice.uniform(0, 3))
    start_patiently(server)


def terminate_server(server: Server, dice: random.Random, pause: Pause) -> None:
    """Deploy: SIGTERM to all of its processes, its end, and the start of the next one."""
    for process in family(server):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    status = server.wait(40)
    assert status in (0, 1), f"a server ended with {status}"  # 1: what it waited for had been frozen
    start_patiently(server)


def freeze_server(server: Server, dice: random.Random, pause: Pause) -> None:
    frozen = family(server)
    for process in frozen:
        process.suspend()
    pause(dice.uniform(0.5, 8))
    for process in frozen:
        process.resume()


def family(server: Server) -> list[psutil.Process]:
    parent = psutil.Process(server.pid)
    return [parent, *parent.children(recursive=True)]


def cut(proxy: FaultProxy, dice: random.Random, pause: Pause) -> None:
    proxy.cut()


def half_close(proxy: FaultProxy, dice: random.Random, pause: Pause) -> None:
    proxy.half_close()


def hold(proxy: FaultProxy, dice: random.Random, pause: Pause) -> None:
    proxy.hold()
    pause(dice.uniform(0.5, 8))
    proxy.heal()


def delay(proxy: FaultProxy, dice: random.Random, pause: Pause) -> None:
    proxy.delay(dice.uniform(0.01, 0.5))
    pause(dice.uniform(1, 8))
    proxy.heal()


def refuse(proxy: FaultProxy, dice: random.Random, pause: Pause) -> None:
    proxy.refuse()
    proxy.cut()
    pause(dice.uniform(0.5, 4))
    proxy.heal()


class Mischief(threading.Thread):
    """Injects one fault after the other until it is stopped. Several of them share `busy`."""

    def __init__(
        self, faults: list[Fault], ledger: Ledger, busy: set[str], lock: threading.Lock, seed: int
    ) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self._faults = faults
        self._ledger = ledger
        self._busy = busy
        self._lock = lock
        self._random = random.Random(seed)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End what is under way early, and begin nothing more."""
        self._stopped.set()

    def run(self) -> None:
        try:
            while not self._stopped.wait(self._random.uniform(0, 2)):
                if fault := self._choose():
                    self._inject(fault)
        except BaseException as error:  # noqa: BLE001  the ledger names it
            self.error = error

    def _choose(self) -> Fault | None:
        fault = self._random.choice(self._faults)
        with self._lock:
            if fault.subject in self._busy:
                return None
            self._busy.add(fault.subject)
            self._ledger.faults[fault.name] += 1
        return fault

    def _inject(self, fault: Fault) -> None:
        try:
            fault.run(self._random, self._stopped.wait)
        finally:
            with self._lock:
                self._busy.discard(fault.subject)
