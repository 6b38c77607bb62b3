"""bench/crosscheck: the C tool against the floor, faulty servers and garbage; its parser cut at every byte."""

from __future__ import annotations

import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from bench.crosscheck import agreement, compare
from bench.crosscheck.agreement import Agreement, Made, Sample
from bench.serving import target
from bench.serving.server import Server
from bench.serving.target import Target
from bench.statistics.stats import Ratio
from tests.needs import missing

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "bench" / "crosscheck"
TRANSPORTS = ("sse", "cable")
CLIENTS = 20

pytestmark = pytest.mark.live

Programs = dict[str, Path]


class Outcome(NamedTuple):
    """How the tool ended; `found` is empty when it measured nothing."""

    status: int
    found: dict[str, float]
    said: str


# ---- building and running


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """`plain`, and with AddressSanitizer and UndefinedBehaviorSanitizer `checked` and `pieces`."""
    if shutil.which("cc") is None or shutil.which("make") is None:
        missing("A C COMPILER (cc AND make)", "On Debian: apt install gcc libc6-dev make.")
    folder = tmp_path_factory.mktemp("crosscheck")
    make(f"BUILD={folder / 'plain'}")
    make(f"BUILD={folder / 'checked'}", "SANITIZE=1", "all", "pieces")
    return {
        "plain": folder / "plain" / "crosscheck",
        "checked": folder / "checked" / "crosscheck",
        "pieces": folder / "checked" / "pieces",
    }


def make(*words: str) -> None:
    command = ["make", "-s", "-C", str(SOURCE), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def measure(
    program: Path, port: int, pid: int, transport: str, *more: str, clients: int = CLIENTS
) -> Outcome:
    """20 updates to warm up, 20 that are measured; `more` options win."""
    words = ["--port", str(port), "--pid", str(pid), "--transport", transport, "--clients", str(clients)]
    command = [str(program), *words, "--rate", "20", "--seconds", "1", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Outcome(done.returncode, orjson.loads(done.stdout) if done.stdout else {}, done.stderr)


def faulty(fault: str) -> Target:
    script = str(ROOT / "tests" / "faulty_floor.py")
    command = (sys.executable, script, fault, "--port", "{port}", "--kind", "{kind}")
    return replace(target.floor(), name=fault, command=command, environment={"PYTHONPATH": str(ROOT)})


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def books(outcome: Outcome) -> tuple[float, ...]:
    return tuple(outcome.found[name] for name in ("lost", "doubled", "disordered", "closed"))


# ---- real servers


@pytest.mark.parametrize("program", ["plain", "checked"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_floor_is_clean(programs: Programs, program: str, transport: str) -> None:
    with Server(target.floor()) as server:
        outcome = measure(programs[program], server.port, server.pid, transport)
    assert outcome.status == 0, outcome.said
    assert outcome.said == ""
    found = outcome.found
    assert (found["deliveries"], *books(outcome)) == (20 * CLIENTS, 0, 0, 0, 0)
    assert found["us_per_delivery"] > 0
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"] * 1.01
    assert 0 < found["client_cpu_share"] < 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_receiver_that_never_sleeps_hears_the_same_and_may_keep_its_core_busy(
    programs: Programs, transport: str
) -> None:
    with Server(target.floor()) as server:
        asleep = measure(programs["plain"], server.port, server.pid, transport)
        awake = measure(programs["plain"], server.port, server.pid, transport, "--awake")
    assert (awake.status, awake.said) == (0, "")
    assert (awake.found["deliveries"], *books(awake)) == (20 * CLIENTS, 0, 0, 0, 0)
    assert awake.found["client_cpu_share"] > 2 * asleep.found["client_cpu_share"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_state_stream_begins_with_an_update_that_is_not_ours(programs: Programs, transport: str) -> None:
    with Server(target.floor(), kind="state") as server:
        once = ("--rate", "50", "--seconds", "0.2")
        measure(programs["plain"], server.port, server.pid, transport, *once, clients=1)
        outcome = measure(programs["plain"], server.port, server.pid, transport, *once)
    assert (outcome.status, *books(outcome)) == (0, 0, 0, 0, 0), outcome.said


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_long_updates_arrive_whole(programs: Programs, transport: str) -> None:
    with Server(target.floor()) as server:
        outcome = measure(
            programs["checked"], server.port, server.pid, transport, "--size", "60000", clients=3
        )
    assert (outcome.status, outcome.found["deliveries"]) == (0, 60), outcome.said


@pytest.mark.parametrize(("fault", "wrong"), [("drop", 0), ("double", 1), ("swap", 2)])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_fault_is_found_on_every_client(programs: Programs, transport: str, fault: str, wrong: int) -> None:
    expected = [0, 0, 0, 0]
    expected[wrong] = CLIENTS
    with Server(faulty(fault)) as server:
        outcome = measure(programs["plain"], server.port, server.pid, transport, "--seconds", "0.2")
    assert outcome.status == 1, outcome.said
    assert list(books(outcome)) == expected


def test_a_core_that_others_keep_busy_is_no_place_to_measure(programs: Programs) -> None:
    core = max(os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, {{{core}}}); print(flush=True)\nwhile True: pass"
    with (
        subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as neighbour,
        Server(target.floor()) as server,
    ):
        assert neighbour.stdout is not None
        neighbour.stdout.readline()
        outcome = measure(programs["plain"], server.port, server.pid, "sse", "--core", str(core))
        neighbour.kill()
    assert outcome.status == 2
    assert outcome.found["core_share"] > 0.8
    assert "give it less load, or to itself" in outcome.said


# ---- what cannot be measured


def test_nobody_listens(programs: Programs) -> None:
    outcome = measure(programs["plain"], free_port(), os.getpid(), "sse")
    assert (outcome.status, outcome.found) == (3, {})
    assert "is the server running there?" in outcome.said


def test_a_process_that_is_not_there(programs: Programs) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    outcome = measure(programs["plain"], free_port(), gone.pid, "sse")
    assert outcome.status == 3
    assert f"process {gone.pid} of the server is not there" in outcome.said


def test_a_process_that_is_another(programs: Programs) -> None:
    idle = "import sys; print(flush=True); sys.stdin.read()"
    with (
        subprocess.Popen(
            [sys.executable, "-c", idle], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
        Server(target.floor()) as server,
    ):
        assert other.stdout is not None
        other.stdout.readline()
        outcome = measure(programs["plain"], server.port, other.pid, "sse", "--seconds", "0.2")
    assert outcome.status == 3
    assert "used no CPU" in outcome.said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--rate", "fast"), "--rate is 'fast': give a number from"),
        (("--clients", "1.5"), "give a whole number"),
        (("--clients", "0"), "give a number from 1"),
        (("--transport", "pigeon"), "give sse or cable"),
        (("--stream", 'a"b'), "letters, digits"),
        (("--host", "localhost"), "an IPv4 address"),
        (("--core", "1023"), "give one that this process may run on"),
        (("--speed", "1"), "--transport sse|cable"),
        (("extra",), "are needed"),
    ],
)
def test_a_wrong_command_line_is_refused(programs: Programs, words: Sequence[str], why: str) -> None:
    outcome = measure(programs["plain"], 1, os.getpid(), "sse", *words)
    assert (outcome.status, outcome.found) == (3, {})
    assert why in outcome.said


def test_help_is_no_failure(programs: Programs) -> None:
    command = [str(programs["plain"]), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--transport sse|cable" in done.stdout


# ---- streams by hand

SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)
UPGRADE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n"
)
CABLE_HEAD = UPGRADE + b"\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
IDENTIFIER = '{"channel":"DashboardUpdatesChannel","stream":"bench"}'


def chunk(body: bytes, extension: bytes = b"") -> bytes:
    return b"%X%b\r\n%b\r\n" % (len(body), extension, body)


def frame(payload: bytes, opcode: int = TEXT, *, final: bool = True, width: int = 0) -> bytes:
    """One frame of a server's; `width` is how many bytes say the length beyond the first, at least."""
    first = bytes([opcode | 0x80 * final])
    if len(payload) < 126 and width == 0:
        return first + bytes([len(payload)]) + payload
    if len(payload) < 65536 and width <= 2:
        return first + b"\x7e" + len(payload).to_bytes(2) + payload
    return first + b"\x7f" + len(payload).to_bytes(8) + payload


def message(update: bytes) -> bytes:
    return b'{"identifier":%b,"message":%b}' % (orjson.dumps(IDENTIFIER), update)


HELLO = {
    "sse": SSE_HEAD + chunk(b'retry: 2000\n\nevent: verdict\nid: a-0\ndata: {"verdict":"fresh"}\n\n'),
    "cable": CABLE_HEAD
    + frame(b'{"type":"welcome"}')
    + frame(b"hey", PING)
    + frame(b'{"identifier":"{}","type":"confirm_subscription","position":"a-0"}'),
}
BODIES = {
    "sse": chunk(b'id: a-1\ndata: {"seq":1,"t":700}\n\n')
    + chunk(
        b': comment\r\n\r\nid: a-2\r\ndata:{"t" : 800,\r\ndata: "x":"\\"}\\\\", "seq" : 2}\r\n\r\n', b";a=b"
    )
    + chunk(b'event: heartbeat\ndata: {"seq":9,"t":9}\n\ndata: {"a":[{"seq":3}]')
    + chunk(b',"t":900}\n\ndata: {"seq":4,"t":99}\r\rdata\n\nevent\ndata: {"nothing":{}}\n\n')
    + chunk(b"event: goodbye\ndata: {}\n\n"),
    "cable": frame(message(b'{"seq":1,"t":700}'), width=2)
    + frame(message(b'{"t" : 800, "x":"\\"}\\\\", "type":"a", "seq" : 2}'), width=8)
    + frame(b'{"identifier":"{}","mess', final=False)
    + frame(b"in between", PING)
    + frame(b'age":{"seq":3,', 0, final=False)
    + frame(b'"t":900}}', 0)
    + frame(b"", PONG)
    + frame(b'{"type":"ping","message":1694041735}')
    + frame(message(b'{"seq":4,"t":99,"long":"' + b"x" * 100 + b'"}'))
    + frame(b"\x03\xe9", CLOSE),
}
UPDATES = "update 1 700; update 2 800; {}update 3 900; update 4 99; ended"
HEARD = {
    "sse": "ready; " + UPDATES.format(""),
    "cable": "welcome; ping hey; ready; " + UPDATES.format("ping in between; "),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stream_says_the_same_wherever_it_is_cut(programs: Programs, transport: str) -> None:
    stream = HELLO[transport] + BODIES[transport]
    lines = pieces(programs, transport, stream)
    assert len(lines) == len(stream) + 2  # each place to cut, the two ends too, and single bytes
    assert set(lines) == {HEARD[transport]}


def test_a_stream_without_chunks(programs: Programs) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type:text/event-stream\r\n\r\n"
    assert set(pieces(programs, "sse", head + b'event:verdict\ndata:1\n\ndata:{"seq":1,"t":2}\n\n')) == {
        "ready; update 1 2; "
    }


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_stream_makes_the_parser_read_where_it_must_not(programs: Programs, transport: str) -> None:
    stream = HELLO[transport] + BODIES[transport]
    assert pieces(programs, transport, stream, "20000") == []  # the sanitizers would have ended it


def pieces(programs: Programs, transport: str, stream: bytes, *rounds: str) -> list[str]:
    command = [str(programs["pieces"]), transport, *rounds]
    done = subprocess.run(command, input=stream, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


GARBAGE = [
    ("sse", b"hello\r\n", "not an HTTP response: 'hello"),
    ("sse", b"", "the server ended the connection"),
    ("sse", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "the stream was refused: HTTP 404"),
    ("sse", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n", "HTTP 200, text/html"),
    ("sse", SSE_HEAD[:-2] + b"content-encoding: gzip\r\n\r\n", "compression nobody asked for: gzip"),
    ("sse", SSE_HEAD + b"zz\r\n", "chunks that are not framed"),
    ("sse", SSE_HEAD + b"3\r\nabcd\r\n", "chunks that are not framed"),
    ("sse", SSE_HEAD + b"f" * 16 + b"\r\n", "chunks that are not framed"),
    ("sse", SSE_HEAD + chunk(b"data: {oops\n\n"), "not JSON: '{oops'"),
    ("sse", SSE_HEAD + chunk(b"event: goodbye\ndata: {}\n\n"), "ended the connection"),
    ("sse", SSE_HEAD + b"0\r\n\r\n", "ended the connection"),
    ("sse", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 4000, "a response head of more than 16 KiB"),
    ("cable", b"HTTP/1.1 404 Not Found\r\n\r\n", "the upgrade was refused: HTTP 404"),
    ("cable", CABLE_HEAD.replace(b"s3pP", b"AAAA"), "a wrong sec-websocket-accept"),
    (
        "cable",
        CABLE_HEAD.replace(b"v1-json", b"v1-ext-json"),
        "another subprotocol: 'actioncable-v1-ext-json'",
    ),
    (
        "cable",
        UPGRADE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        "an extension nobody offered",
    ),
    ("cable", CABLE_HEAD + b"\xc1\x02{}", "a reserved bit"),
    ("cable", CABLE_HEAD + b"\x81\x82", "a masked frame"),
    ("cable", CABLE_HEAD + b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "a frame of more than 16 MiB"),
    ("cable", CABLE_HEAD + frame(b"x", 0), "a continuation of nothing"),
    ("cable", CABLE_HEAD + frame(b"{", final=False) + frame(b"}"), "a new message inside another"),
    ("cable", CABLE_HEAD + frame(b"x" * 126, PING), "a control frame that is too long"),
    ("cable", CABLE_HEAD + frame(b"{}", BINARY), "a frame of kind 2"),
    ("cable", CABLE_HEAD + frame(b"]["), "not JSON"),
    ("cable", CABLE_HEAD + frame(b'{"a":"'), "not JSON"),
    ("cable", CABLE_HEAD + frame(b'{"type":"reject_subscription"}'), "the subscription was rejected"),
    ("cable", CABLE_HEAD + frame(b'{"type":"disconnect","reconnect":true}'), "ended the connection"),
]


@pytest.mark.parametrize(("transport", "answer", "why"), GARBAGE)
def test_garbage_is_named(programs: Programs, transport: str, answer: bytes, why: str) -> None:
    class Garbage(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                self.request.recv(65536)
                self.request.sendall(answer)
                if answer:
                    until_it_leaves(self.request)

    with serving(Garbage) as port:
        outcome = measure(programs["checked"], port, os.getpid(), transport, clients=1)
    assert (outcome.status, outcome.found) == (3, {})
    assert why in outcome.said


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """A server in threads of this process; answers its port, and waits for its threads at the end."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        running = threading.Thread(target=server.serve_forever, args=(0.01,))
        running.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            running.join()


def until_it_leaves(sock: socket.socket) -> bytes:
    """What the other side still says."""
    said = b""
    while piece := sock.recv(65536):
        said += piece
    return said


# ---- a server that writes byte by byte


class Dripping(socketserver.BaseRequestHandler):
    """One subscriber and one publisher: both are answered in single bytes."""

    transport = "sse"
    status = b"201 Created"
    subscriber: socket.socket
    heard: bytes

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.request.makefile("rb") as requests, suppress(ConnectionError):
            while first := requests.readline():
                headers = dict(line.lower().split(b": ", 1) for line in iter(requests.readline, b"\r\n"))
                if first.startswith(b"POST /streams/bench "):
                    self.publish(requests.read(int(headers[b"content-length"])), headers)
                else:
                    type(self).subscriber = self.request
                    self.drip(self.request, HELLO[self.transport])
                    type(self).heard = requests.read()

    def publish(self, update: bytes, headers: dict[bytes, bytes]) -> None:
        assert headers[b"authorization"] == b"bearer bench-token\r\n"
        self.deliver(update)
        self.drip(self.request, b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n{}" % self.status)

    def deliver(self, update: bytes) -> None:
        event = chunk(b"data: %b\n\n" % update) if self.transport == "sse" else frame(message(update))
        self.drip(self.subscriber, event)

    @staticmethod
    def drip(sock: socket.socket, data: bytes) -> None:
        for byte in data:
            sock.sendall(bytes([byte]))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_writes_byte_by_byte(programs: Programs, transport: str) -> None:
    class Handler(Dripping):
        pass

    Handler.transport = transport
    with serving(Handler) as port:
        outcome = measure(programs["checked"], port, os.getpid(), transport, "--size", "200", clients=1)
    assert (outcome.status, outcome.found["deliveries"], *books(outcome)) == (0, 20, 0, 0, 0, 0), outcome.said
    if transport == "cable":
        assert read_by_another(Handler.heard) == [
            (Opcode.TEXT, {"command": "subscribe", "identifier": IDENTIFIER}),
            (Opcode.PONG, "hey"),
        ]


def read_by_another(data: bytes) -> list[tuple[Opcode, object]]:
    """What a client said, by an independent parser."""
    server = Protocol(Side.SERVER, state=State.OPEN)
    server.receive_data(data)
    frames = [event for event in server.events_received() if isinstance(event, Frame)]
    return [
        (one.opcode, orjson.loads(one.data) if one.opcode is Opcode.TEXT else bytes(one.data).decode())
        for one in frames
    ]


def test_a_refused_publish_is_no_measurement(programs: Programs) -> None:
    class Refusing(Dripping):
        status = b"401 Unauthorized"

    with serving(Refusing) as port:
        outcome = measure(programs["plain"], port, os.getpid(), "sse", clients=1)
    assert outcome.status == 3
    assert "answered with HTTP 401: are --token and --stream right" in outcome.said


@pytest.mark.parametrize(("last", "expected"), [(1, (39, 0, 0, 1)), (40, (0, 0, 0, 1))])
def test_a_server_that_hangs_up_is_wrong(programs: Programs, last: int, expected: tuple[int, ...]) -> None:
    """Also when all was delivered before."""

    class Leaving(Dripping):
        def deliver(self, update: bytes) -> None:
            seq = orjson.loads(update)["seq"]
            if seq <= last:
                super().deliver(update)
            if seq == last:
                self.subscriber.shutdown(socket.SHUT_RDWR)

    with serving(Leaving) as port:
        outcome = measure(programs["checked"], port, os.getpid(), "sse", clients=1)
    assert outcome.status == 1
    assert books(outcome) == expected
    assert "client 0 is lost: the server ended the connection" in outcome.said


@pytest.mark.parametrize(
    ("another", "status", "why"),
    [
        (b'{"seq":7,"t":5}', 0, ""),
        (b'{"seq":1,"t":999999999999999999}', 3, "give this run a stream of its own"),
        (b'{"figures":[]}', 0, ""),
    ],
)
def test_an_update_that_was_not_published_here(
    programs: Programs, another: bytes, status: int, why: str
) -> None:
    """An old one is what a state stream begins with, and may come late; a new one is another publisher's."""

    class Busy(Dripping):
        def deliver(self, update: bytes) -> None:
            super().deliver(another)
            super().deliver(update)

    with serving(Busy) as port:
        outcome = measure(programs["checked"], port, os.getpid(), "sse", "--seconds", "0.2", clients=1)
    assert outcome.status == status, outcome.said
    assert why in outcome.said


# ---- the comparison


def made(pair: int, instrument: str, us: float, p50: float, *doubts: str) -> Made:
    return Made(pair, instrument, Sample({"us_per_delivery": us, "p50_ms": p50}, list(doubts), {}))


def test_agreement_is_judged_on_the_pairs_in_which_nothing_is_in_doubt() -> None:
    runs = [
        made(0, "bench", 7.0, 3.0),
        made(0, "crosscheck", 7.0, 3.0),
        made(1, "crosscheck", 7.0, 3.0),
        made(1, "bench", 99.0, 99.0, "noise"),
        made(2, "bench", 8.4, 2.7),
        made(2, "crosscheck", 7.0, 3.0),
    ]
    cpu, median = agreement.agreements(runs)
    assert (cpu.ratio.pairs, median.ratio.pairs) == (2, 2)
    assert cpu.ratio.value == pytest.approx(1.2**0.5)
    assert median.ratio.value == pytest.approx(0.9**0.5)
    assert agreement.exit_code([cpu, median]) == 0
    assert agreement.agreements(runs[2:4]) == []
    assert agreement.exit_code([]) == 2


def test_what_waking_costs_is_told_apart_from_agreement() -> None:
    costs = {"bench": 8.0, "crosscheck": 10.0, "bench awake": 8.0, "crosscheck awake": 8.0}
    runs = [made(pair, name, us, 3.0) for pair in (0, 1) for name, us in costs.items()]
    waking = agreement.of_waking(runs)
    assert {name: one.value for name, one in waking.items()} == pytest.approx(
        {"bench": 1.0, "crosscheck": 0.8}
    )
    words = agreement.waking_words("crosscheck", waking["crosscheck"])
    assert "crosscheck awake / crosscheck: 0.800 x" in words
    assert "one pair" in agreement.waking_words("bench", agreement.of_waking(runs[:4])["bench"])
    asleep, _, awake, _ = agreement.agreements(runs)
    assert [asleep.ratio.value, awake.ratio.value] == pytest.approx([0.8, 1.0])
    assert "bench / crosscheck: 0.800 x" in asleep.words()
    assert "bench awake / crosscheck awake: 1.000 x" in awake.words()
    assert agreement.of_waking([one for one in runs if "awake" not in one.instrument]) == {}


@pytest.mark.parametrize(
    ("value", "low", "high", "reached", "settled"),
    [
        (1.00, 0.95, 1.05, True, True),
        (1.09, 1.05, 1.13, True, False),
        (1.11, 1.05, 1.17, False, False),
        (1.20, 1.15, 1.25, False, True),
        (0.90, 0.89, 0.905, False, True),
        (0.92, None, None, True, False),
    ],
)
def test_what_an_interval_lets_one_say(
    value: float, low: float | None, high: float | None, reached: bool, settled: bool
) -> None:
    one = Agreement("us_per_delivery", Ratio(value, low, high, 3), 0.10)
    assert (one.reached, one.settled) == (reached, settled)
    assert ("MISSED" in one.words()) == (not reached)
    assert ("run more pairs" in one.words()) == (not settled and low is not None)
    assert agreement.exit_code([one]) == (0 if reached else 1)


def test_a_run_of_the_tool_is_doubted_for_what_it_printed() -> None:
    clean = {"lost": 0, "doubled": 0, "disordered": 0, "closed": 0, "server_core_others": 0.1}
    assert compare.doubts(clean, 0, "") == []
    assert compare.doubts({**clean, "lost": 3}, 1, "") == ["3 lost, 0 doubled, 0 disordered, 0 closed"]
    assert compare.doubts(clean, 2, "first\nthis core was busy\n") == ["this core was busy"]
    assert (
        "others used 31% of the server's core"
        in compare.doubts({**clean, "server_core_others": 0.31}, 0, "")[0]
    )


def test_each_pair_holds_both_instruments_in_an_order_that_the_seed_decides() -> None:
    def order(seed: int) -> list[tuple[int, str]]:
        def sample(name: str) -> Sample:
            return Sample({}, [], {"by": name})

        instruments = {name: lambda name=name: sample(name) for name in agreement.INSTRUMENTS}
        return [(one.pair, one.sample.facts["by"]) for one in compare.interleaved(instruments, 9, seed)]

    for pair in range(9):
        assert sorted(name for number, name in order(1) if number == pair) == sorted(agreement.INSTRUMENTS)
    assert order(1) == order(1)
    assert order(1) != order(2)


def said_by_the_readme() -> dict[tuple[str, str], list[str]]:
    """The cells behind "app over SSE": CPU asleep and awake, median asleep and awake."""
    rows = re.findall(r"(?m)^\| (app|floor) over (SSE|cable) \| (.+) \|$", (SOURCE / "README.md").read_text())
    return {(target, transport.lower()): cells.split(" | ") for target, transport, cells in rows}


def found_in_the_results() -> dict[tuple[str, str], list[str]]:
    """The same, computed anew from the runs of each file."""
    found = {}
    for path in sorted((ROOT / "bench" / "results" / "crosscheck").glob("*.json")):
        document = orjson.loads(path.read_bytes())
        runs = [
            Made(run["pair"], run["instrument"], Sample(run["figures"], run["doubts"], {}))
            for run in document["runs"]
        ]
        ratios = {(one.figure, one.instruments): one.ratio for one in agreement.agreements(runs)}
        wanted = [ratios[figure, form] for figure in agreement.LIMITS for form in agreement.FORMS]
        cells = [f"{one.value:.3f} ({one.low:.3f}-{one.high:.3f})" for one in wanted]
        found[document["plan"]["target"], document["plan"]["transport"]] = cells
    return found


def test_the_readme_says_what_the_result_files_say() -> None:
    said = said_by_the_readme()
    assert len(said) == 4
    assert said == found_in_the_results()


@pytest.mark.alone
def test_the_whole_comparison_on_the_floor(programs: Programs, tmp_path: Path) -> None:
    small = ["--clients", "20", "--seconds", "0.5", "--pairs", "1", "--seed", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "bench.crosscheck.compare", "--target", "floor", "--awake", *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode in (0, 1, 2), (
        done.stderr
    )  # with so few deliveries on a busy machine, they may differ
    (path,) = tmp_path.glob("*-crosscheck.json")
    found = orjson.loads(path.read_bytes())
    assert {run["instrument"] for run in found["runs"]} == {*agreement.INSTRUMENTS, *agreement.AWAKE}
    assert all(run["figures"]["us_per_delivery"] > 0 for run in found["runs"])
    assert len(found["agreement"]) in ((0,) if done.returncode == 2 else (2, 4))


def test_an_unknown_target_is_refused_with_the_names_that_exist() -> None:
    command = [sys.executable, "-m", "bench.crosscheck.compare", "--target", "ceiling"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no target 'ceiling'" in done.stderr
