"""Who takes part: clients that come back where they were, publishers that repeat what was not acknowledged."""

from __future__ import annotations

import http.client
import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from tests.chaos.ledger import ClientRecord, Ledger
from tests.live.followers import ENDINGS, Follower, Jumped, Position, follow
from tests.live.server import TOKEN
from tests.live.wire import Address
from tests.services.redis import RedisServer

STREAM = "chaos"
RAW = "raw"  # the channel whose messages enter the log, and their stream
END = -1
PATIENCE = 5.0  # seconds without a heartbeat after which a client tries another server
ANSWER_SECONDS = 8.0


class ResumingClient(threading.Thread):
    """Follows the stream over one transport, from its last position, on another server each time, up to END."""

    def __init__(self, record: ClientRecord, transport: str, addresses: Sequence[Address], seed: int) -> None:
        super().__init__(daemon=True, name=record.name)
        self.record = record
        self.error: BaseException | None = None
        self._transport = transport
        self._addresses = addresses
        self._random = random.Random(seed)
        self._cursor: Position | None = None
        self.started = threading.Event()

    def run(self) -> None:
        try:
            while not (self.record.seen and self.record.seen[-1][1] == END):
                try:
                    self._connect()
                except (*ENDINGS, OSError):
                    threading.Event().wait(
                        self._random.uniform(0.05, 0.5)
                    )  # as clients do between two attempts
        except BaseException as error:  # noqa: BLE001  the ledger names it
            self.error = error

    def _connect(self) -> None:
        """One connection to its end."""
        address = self._random.choice(self._addresses)
        with follow(self._transport, address, STREAM, self._cursor) as follower:
            self._begin(follower)
            while not (self.record.seen and self.record.seen[-1][1] == END):
                try:
                    n = follower.next()["n"]
                except Jumped as jumped:
                    self.record.skips.append((jumped.behind.id, jumped.to.id))
                    continue
                finally:
                    self._cursor = follower.cursor
                self.record.seen.append((follower.cursor.id, n))

    def _begin(self, follower: Follower) -> None:
        """Take the verdict in."""
        self.record.connections += 1
        if self._cursor is None:
            self.record.start = follower.cursor.id
        elif follower.verdict != "recovered":
            self.record.skips.append((self._cursor.id, follower.cursor.id))
        self._cursor = follower.cursor
        self.started.set()


class PacedThread(threading.Thread):
    """Takes one step after the other until it is stopped, with a pause of `pause` seconds between two on average."""

    def __init__(self, seed: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self.random = random.Random(seed)
        self._pause = pause
        self._stopped = threading.Event()

    def step(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """End behind the step in work."""
        self._stopped.set()

    def run(self) -> None:
        try:
            while not self._stopped.wait(self.random.uniform(0, 2 * self._pause)):
                self.step()
        except BaseException as error:  # noqa: BLE001  the ledger names it
            self.error = error


class RepeatingPublisher(PacedThread):
    """Publishes one number after the other, each with its key, on any server, until it is acknowledged."""

    def __init__(
        self, ledger: Ledger, numbers: Iterator[int], addresses: Sequence[Address], seed: int, pause: float
    ) -> None:
        super().__init__(seed, pause)
        self._ledger = ledger
        self._numbers = numbers
        self._addresses = addresses

    def step(self) -> None:
        n = next(self._numbers)
        acknowledged = publish(n, lambda: self.random.choice(self._addresses), self._ledger)
        self._ledger.acknowledged[n] = acknowledged


class RawPublisher(PacedThread):
    """Publishes rising numbers on the channel of Redis, as another program would: whether anybody hears them or not."""

    def __init__(self, redis: RedisServer, seed: int, pause: float) -> None:
        super().__init__(seed, pause)
        self.sent = 0
        self._redis = redis

    def step(self) -> None:
        self._redis.ask("PUBLISH", RAW, json.dumps({"n": self.sent}))
        self.sent += 1


def publish(n: int, choose: Callable[[], Address], ledger: Ledger, limit: float = math.inf) -> int:
    """Publish a number until it is acknowledged, for at most `limit` seconds; the id of its position."""
    deadline = time.monotonic() + limit
    while True:
        assert time.monotonic() < deadline, f"{n} was not acknowledged in {limit:g} s"
        try:
            status, answer = post(choose(), n)
        except (OSError, http.client.HTTPException, ValueError) as error:
            ledger.unanswered[type(error).__name__] += 1
        else:
            if status == 201:
                return Position.of(answer["position"]).id
            assert status == 503, (status, answer)
            ledger.unanswered[f"{status}"] += 1
        threading.Event().wait(0.1)  # as publishers do between two attempts


def post(address: Address, n: int) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=ANSWER_SECONDS)
    try:
        headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": f"number{n}"}
        connection.request("POST", f"/streams/{STREAM}", json.dumps({"n": n}), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
