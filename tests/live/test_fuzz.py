"""Fuzzing: random bytes and mutated commands neither end the server, nor grow its memory, nor disturb its clients."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Callable, Iterator

import psutil  # type: ignore[import-untyped]
import pytest

from tests.live.cable import BINARY, EXT, TEXT, V1, CableClient, CableClosed, command, frame, identifier
from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, follow
from tests.live.server import Server
from tests.live.wire import Closed, Wire, request_bytes, until

pytestmark = pytest.mark.slow

RANDOM_STRINGS = 20_000
MUTATED_COMMANDS = 20_000
BATCH = 100
SEED = 20_260
MEMORY_SLACK = 12 * 1024**2  # bytes: above what allocators vary by, below a leak of 300 bytes per input
QUIET, NOISY = "log0", "log1"

COMMANDS = [
    command("subscribe", identifier(NOISY)),
    command("subscribe", identifier(NOISY, n=1), last_event_id="k3f9-1"),
    command("subscribe", identifier(NOISY, n=2), history={"since": 1, "streams": {}}),
    command("subscribe", '{"channel":"$pubsub","stream_name":"log1"}'),
    command("unsubscribe", identifier(NOISY)),
    command("message", identifier(NOISY), data='{"action":"refresh"}'),
    command("history", identifier(NOISY), history={"streams": {NOISY: {"epoch": "k3f9", "offset": 2}}}),
    command("ping"),
    command("pong"),
]
REQUESTS = [
    request_bytes(
        "GET", f"/dashboard/stream?stream={NOISY}", [("host", "localhost"), ("last-event-id", "k3f9-1")]
    ),
    request_bytes(
        "POST", f"/streams/{NOISY}", [("host", "localhost"), ("authorization", "Bearer no")], b'{"n":1}'
    ),
    request_bytes("HEAD", "/dashboard", [("host", "localhost"), ("connection", "keep-alive")]),
    request_bytes("POST", "/streams/x", [("host", "localhost"), ("transfer-encoding", "chunked")])
    + b"3\r\nabc\r\n0\r\n\r\n",
    request_bytes(
        "GET",
        "/cable",
        [
            ("host", "localhost"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", EXT),
        ],
    )
    + frame(TEXT, COMMANDS[0]),
]
INSERTIONS = ['"', "\\", "{", "}", "[", "]", ",", ":", "null", "-1", "1e999", "\\ud800", "\u0000", "😀", "\u2028",
              "true"]  # fmt: skip


class Client(threading.Thread):
    """A healthy client in a thread of its own; its follower fails on any update lost or doubled."""

    def __init__(self, server: Server, transport: str) -> None:
        super().__init__(daemon=True)
        self.follower = follow(transport, server.address, QUIET)
        self.seen = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while self.follower.next()["n"] >= 0:
                self.seen += 1
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error


@contextlib.contextmanager
def healthy_clients(server: Server) -> Iterator[Callable[[], None]]:
    """Healthy clients of every transport; yields a function that publishes one more update to them."""
    clients = [Client(server, transport) for transport in TRANSPORTS]
    for client in clients:
        client.start()
    published = 0

    def publish() -> None:
        nonlocal published
        server.publish(QUIET, {"n": published})
        published += 1

    yield publish
    server.publish(QUIET, {"n": -1})
    for client in clients:
        client.join(20)
        assert (client.error, client.seen) == (None, published)
        client.follower.drop()


def test_random_input(servers: Servers, handover: str) -> None:
    dice = random.Random(SEED)
    with servers.new(HANDOVER=handover) as server:
        server.count(NOISY, 0, 5)
        with healthy_clients(server) as publish:
            send_everything(server, dice, publish, share=0.1)  # caches and arenas reach their size
            before = settled_memory(server)
            send_everything(server, dice, publish, share=0.9)
            after = settled_memory(server)
        assert after - before < MEMORY_SLACK, f"{before} -> {after} bytes"


def settled_memory(server: Server) -> int:
    """Private bytes of the server once only the three healthy clients are left."""
    until(
        lambda: server.connections("sse") + server.connections("cable") == len(TRANSPORTS),
        "all other clients have left",
    )
    return int(psutil.Process(server.pid).memory_full_info().uss)


def send_everything(server: Server, dice: random.Random, publish: Callable[[], None], share: float) -> None:
    strings, commands = int(RANDOM_STRINGS * share), int(MUTATED_COMMANDS * share)
    frames(server, dice, publish, (random_frame(dice) for _ in range(int(strings * 0.8))))
    frames(
        server, dice, publish, (frame(TEXT, mutated(dice, dice.choice(COMMANDS))) for _ in range(commands))
    )
    raw(server, dice, publish, (cable_garbage(dice) for _ in range(int(strings * 0.1))), cable=True)
    raw(server, dice, publish, (http_garbage(dice) for _ in range(int(strings * 0.1))), cable=False)


def random_frame(dice: random.Random) -> bytes:
    """Random bytes in a frame that RFC 6455 allows: binary, or text that is UTF-8."""
    data = dice.randbytes(dice.randrange(200))
    return frame(BINARY, data) if dice.random() < 0.5 else frame(TEXT, data.decode("latin-1"))


def cable_garbage(dice: random.Random) -> bytes:
    """Random bytes where frames are expected, or text that is not UTF-8."""
    data = dice.randbytes(dice.randrange(1, 200))
    return data if dice.random() < 0.7 else frame(TEXT, data, fin=dice.random() < 0.5)


def http_garbage(dice: random.Random) -> bytes:
    """Random bytes where a request is expected, or a request with some of it changed."""
    if dice.random() < 0.3:
        return dice.randbytes(dice.randrange(1, 300))
    data = bytearray(dice.choice(REQUESTS))
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(data))
        data[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(data)


def mutated(dice: random.Random, text: str) -> str:
    """A valid command with one to four small changes."""
    for _ in range(dice.randrange(1, 5)):
        at = dice.randrange(len(text) + 1)
        cut = dice.choice((0, 0, 1, 1, 3, 20))
        put = dice.choice((dice.choice(INSERTIONS), chr(dice.randrange(32, 127)), text[at : at + 10], ""))
        text = text[:at] + put + text[at + cut :]
    return text


def frames(server: Server, dice: random.Random, publish: Callable[[], None], source: Iterator[bytes]) -> None:
    """Send valid frames in batches; after each the same socket still answers: malformed input closes nothing."""
    with CableClient(server.address, (V1,)) as v1, CableClient(server.address, (EXT,)) as ext:
        clients = (v1, ext)
        while batch := [data for data, _ in zip(source, range(BATCH), strict=False)]:
            client = dice.choice(clients)
            client.wire.send(b"".join(batch))
            client.fence()
            publish()


def raw(
    server: Server, dice: random.Random, publish: Callable[[], None], source: Iterator[bytes], *, cable: bool
) -> None:
    """Send bytes that may end a connection, on a connection each."""
    for number, data in enumerate(source):
        with contextlib.suppress(Closed, CableClosed, ConnectionError):
            send_one(server, data, cable=cable, read=dice.random() < 0.3)
        if number % BATCH == 0:
            publish()


def send_one(server: Server, data: bytes, *, cable: bool, read: bool) -> None:
    if cable:
        with CableClient(server.address, early=data if read else b"") as client:
            client.wire.send(data)
    else:
        wire = Wire(server.address.connect())
        wire.send(data)
        if read:
            wire.sock.shutdown(1)
            wire.sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                wire.some()
        wire.close()


def test_mutations_are_valid_and_invalid_json() -> None:
    """Enough of each, so that both the parser and what is behind it are tested."""
    dice = random.Random(SEED)
    parsed = 0
    for _ in range(500):
        with contextlib.suppress(ValueError):
            json.loads(mutated(dice, dice.choice(COMMANDS)))
            parsed += 1
    assert 50 < parsed < 450
