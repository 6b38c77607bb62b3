"""One run: start the world, let faults loose on it for a while, heal it, and compare what everybody saw."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.chaos.clients import END, RAW, STREAM, RawPublisher, RepeatingPublisher, ResumingClient, publish
from tests.chaos.faults import Mischief, all_faults
from tests.chaos.ledger import ClientRecord, Ledger, Seen
from tests.chaos.world import World, running
from tests.live.followers import TRANSPORTS, Position, follow

Worker: TypeAlias = Mischief | RepeatingPublisher | RawPublisher
END_LIMIT = 90.0  # seconds that everybody has to catch up once all is healed


@dataclass(frozen=True)
class Plan:
    """`seconds` of faults, by `mischief` hands at once; `clients` of each transport."""

    seed: int
    seconds: float = 600.0
    clients: int = 12
    publishers: int = 4
    mischief: int = 3
    pause: float = 0.05  # the mean of seconds between two publishes of one publisher


@dataclass(frozen=True)
class Outcome:
    """The ledger in words, and what is wrong."""

    report: str
    wrong: list[str]


def run(plan: Plan, directory: Path) -> Outcome:
    """Run a plan below `directory`, which other users can reach."""
    ledger = Ledger()
    with running(directory) as world:
        clients = start_clients(plan, world, ledger)
        publishers = start_publishers(plan, world, ledger)
        raw = RawPublisher(world.redis, plan.seed, plan.pause)
        raw.start()
        hands = start_mischief(plan, world, ledger)
        let_pass(plan.seconds, [*hands, *publishers, raw, *clients])
        stop(hands)
        world.heal()
        stop([raw, *publishers])
        last = ledger.acknowledged[END] = publish(END, lambda: world.nodes[0].address, ledger, END_LIMIT)
        wrong = [*failures([*hands, raw, *publishers]), *finish(clients)]
        log = read_log(world, last)
        ledger.raw_sent, ledger.raw_seen = raw.sent, read_raw(world)
    return Outcome(ledger.report(log), [*wrong, *ledger.faults_found(log)])


def start_clients(plan: Plan, world: World, ledger: Ledger) -> list[ResumingClient]:
    """Start all clients and wait until each is connected."""
    clients: list[ResumingClient] = []
    for number, transport in itertools.product(range(plan.clients), TRANSPORTS):
        record = ClientRecord(f"{transport} {number}")
        ledger.clients.append(record)
        seed = plan.seed * 1000 + len(clients)
        clients.append(ResumingClient(record, transport, world.addresses, seed))
    for client in clients:
        client.start()
    for client in clients:
        assert client.started.wait(30), f"{client.name} has not connected"
    return clients


def start_mischief(plan: Plan, world: World, ledger: Ledger) -> list[Mischief]:
    lock, busy, faults = threading.Lock(), set[str](), all_faults(world)
    hands = [Mischief(faults, ledger, busy, lock, plan.seed * 1000 + n) for n in range(plan.mischief)]
    for hand in hands:
        hand.start()
    return hands


def start_publishers(plan: Plan, world: World, ledger: Ledger) -> list[RepeatingPublisher]:
    numbers = itertools.count()
    publishers = [
        RepeatingPublisher(ledger, numbers, world.addresses, plan.seed * 1000 + n, plan.pause)
        for n in range(plan.publishers)
    ]
    for publisher in publishers:
        publisher.start()
    return publishers


def let_pass(seconds: float, threads: Sequence[Worker | ResumingClient]) -> None:
    """Let the time pass that the plan asks for, or less when somebody has failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not any(thread.error for thread in threads):
        threading.Event().wait(0.2)


def stop(threads: Sequence[Worker]) -> None:
    """Have threads end what they have in hand, and wait for that."""
    for thread in threads:
        thread.stop()
    deadline = time.monotonic() + END_LIMIT
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def failures(threads: Sequence[Worker]) -> list[str]:
    """Name the threads that failed, and those that have not ended."""
    failed = [f"FAILED: {type(thread).__name__}: {_full(thread.error)}" for thread in threads if thread.error]
    return failed + [f"FAILED: {type(t).__name__} does not end" for t in threads if t.is_alive()]


def _full(error: BaseException) -> str:
    """Return an error with its notes, such as the log of a server that did not start."""
    return "\n".join([repr(error), *getattr(error, "__notes__", [])])


def finish(clients: list[ResumingClient]) -> list[str]:
    """Wait until each client has seen the last update; who has not, and why."""
    deadline = time.monotonic() + END_LIMIT
    wrong = []
    for client in clients:
        client.join(max(0.0, deadline - time.monotonic()))
        if client.error is not None:
            wrong.append(f"FAILED: {client.name}: {client.error!r}")
        elif client.is_alive():
            wrong.append(f"LOST: {client.name} has not seen the last update in {END_LIMIT:g} s")
    return wrong


def read_log(world: World, last: int) -> list[Seen]:
    """Read the whole stream as a client that comes back to its beginning."""
    address = world.nodes[0].server.address
    with follow("sse", address, STREAM) as newcomer:
        epoch = newcomer.cursor.epoch
    with follow("sse", address, STREAM, Position(epoch, 0)) as reader:
        return list(zip(range(1, last + 1), reader.numbers(last), strict=True))


def read_raw(world: World) -> list[int]:
    """Read what came from the channel, in the order of the log."""
    address = world.nodes[0].server.address
    with follow("sse", address, RAW) as newcomer:
        epoch, last = newcomer.cursor
    with follow("sse", address, RAW, Position(epoch, 0)) as reader:
        return reader.numbers(last)
